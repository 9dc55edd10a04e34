//! Maps keyed by numbers that this process gave out itself.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map keyed by [`CallId`](super::CallId), [`RequestId`](super::RequestId) or
/// [`PeerId`](crate::transport::PeerId): numbers that this process counted itself, so that
/// nobody outside can choose ones that collide, and a multiplication is hash enough.
pub type IdMap<K, V> = HashMap<K, V, BuildHasherDefault<IdHasher>>;

/// The hasher of an [`IdMap`].
#[derive(Clone, Copy, Debug, Default)]
pub struct IdHasher(u64);

/// 2⁶⁴ divided by the golden ratio, the usual multiplier of Fibonacci hashing.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(SPREAD);
    }

    /// A product's low bits know nothing of the high bits of what was multiplied, so that numbers
    /// which are a power of two apart, as when few of many are left, would share their places.
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::BuildHasher;

    use super::*;

    #[test]
    fn numbers_that_are_a_power_of_two_apart_have_places_of_their_own() {
        let hasher = BuildHasherDefault::<IdHasher>::default();
        for shift in 0..32 {
            // As a table of so many looks at them.
            let places: HashSet<u64> =
                (0..1_024_u64).map(|at| hasher.hash_one(at << shift) % 2_048).collect();
            assert!(places.len() > 512, "{} places with a shift of {shift}", places.len());
        }
    }
}

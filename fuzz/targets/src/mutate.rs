//! Inputs from others: what a fuzzer without coverage can do.

use std::ops::Range;

use fastrand::Rng;

/// No input is longer.
const LONGEST: usize = 16 * 1024;
/// How many inputs that a decoder took are kept to go on from.
const KEPT: usize = 256;
/// None that is longer is kept: each would be a little longer than the one before.
const LONGEST_KEPT: usize = 4 * 1024;

/// What means something to one of the decoders.
pub const WORDS: [&str; 56] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "null",
    "true",
    "0",
    "-1",
    "1e999",
    "18446744073709551616",
    "\\u0000",
    "\\ud800",
    "\\u00e9",
    "\"\"",
    "{}",
    "[]",
    "{\"\":\"\"}",
    "\n",
    "\0",
    "\u{feff}",
    "\"Header\":",
    "\"body\":",
    "\"Body\":\"aGk=\"",
    "=",
    "\"Micro-ID\":\"0\"",
    "\"Micro-Id\":\"1\"",
    "\"Micro-Error\":\"EOS\"",
    "\"Micro-Stream\":\"0\"",
    "\"Micro-Endpoint\":\"Micro.Probe\"",
    "\"X-Micro-Error\":\"x\"",
    "\"Content-Type\":\"text/plain\"",
    "\"Timeout\":\"1\"",
    "\"id\":",
    "\"code\":",
    "\"detail\":",
    "\"status\":",
    "\"Service\":",
    "\"Action\":\"delete\"",
    "\"name\":",
    "\"version\":",
    "\"metadata\":",
    "\"endpoints\":",
    "\"nodes\":[{\"id\":\"1\"}]",
    "\"values\":",
    "\"lease\":1",
    "\"micro-lease\":\"1\"",
    "\"hash\":",
    "nats://",
    "tls://",
    "u:p@",
    "%41",
    "[::1]",
    ":4222",
];

/// Makes inputs for one target; the same seed makes the same ones, as long as the same are kept.
#[derive(Debug)]
pub struct Mutator {
    rng: Rng,
    corpus: Vec<Vec<u8>>,
    kept: Vec<Vec<u8>>,
    input: Vec<u8>,
}

impl Mutator {
    /// Starts from a corpus.
    pub fn new(corpus: Vec<Vec<u8>>, seed: u64) -> Self {
        Self { rng: Rng::with_seed(seed), corpus, kept: Vec::new(), input: Vec::new() }
    }

    /// The next input.
    pub fn make(&mut self) -> &[u8] {
        let start = self.any().to_vec();
        self.input = start;
        for _ in 0..self.rng.usize(1..=4) {
            self.mutate();
        }
        self.input.truncate(LONGEST);
        &self.input
    }

    /// The last one that was made.
    pub fn input(&self) -> &[u8] {
        &self.input
    }

    /// The decoder took the last input, so that some of the next ones start from it.
    pub fn keep(&mut self) {
        if self.rng.u8(..) >= 8 || self.input.len() > LONGEST_KEPT {
            return;
        }
        if self.kept.len() < KEPT {
            self.kept.push(self.input.clone());
        } else {
            let at = self.rng.usize(..KEPT);
            self.kept[at].clone_from(&self.input);
        }
    }

    /// An input to start from, or to take a piece of.
    fn any(&mut self) -> &[u8] {
        let kept = !self.kept.is_empty() && self.rng.bool();
        let from = if kept { &self.kept } else { &self.corpus };
        match self.rng.u8(..) {
            0..4 => b"",
            _ => self.rng.choice(from).map_or(b"", Vec::as_slice),
        }
    }

    fn mutate(&mut self) {
        let at = self.rng.usize(..=self.input.len());
        match self.rng.u8(..9) {
            0 => self.change(at, |byte, rng| byte ^ (1 << rng.u8(..8))),
            1 => self.change(at, |_, rng| rng.u8(..)),
            2 => self.change(at, |byte, _| byte.wrapping_add(1)),
            3 => {
                let word = WORDS[self.rng.usize(..WORDS.len())];
                self.replace(at..at, word.as_bytes().to_vec());
            }
            4 => {
                let word = WORDS[self.rng.usize(..WORDS.len())];
                let end = (at + word.len()).min(self.input.len());
                self.replace(at..end, word.as_bytes().to_vec());
            }
            5 => {
                let gone = self.range(at);
                self.replace(gone, Vec::new());
            }
            6 => {
                let range = self.range(at);
                let twice = self.input[range].to_vec();
                self.replace(at..at, twice);
            }
            7 => {
                let other = self.any().to_vec();
                let (a, b) = (self.rng.usize(..=other.len()), self.rng.usize(..=other.len()));
                self.replace(at..at, other[a.min(b)..a.max(b)].to_vec());
            }
            _ if self.rng.u8(..8) == 0 => self.input.truncate(at),
            _ => {
                let length = self.rng.usize(..24);
                let noise = (0..length).map(|_| self.rng.u8(..)).collect();
                self.replace(at..at, noise);
            }
        }
    }

    fn change(&mut self, at: usize, to: impl Fn(u8, &mut Rng) -> u8) {
        if let Some(byte) = self.input.get_mut(at) {
            *byte = to(*byte, &mut self.rng);
        }
    }

    /// From here on, mostly a few bytes.
    fn range(&mut self, at: usize) -> Range<usize> {
        let left = self.input.len() - at;
        let most = if self.rng.u8(..4) == 0 { left } else { left.min(32) };
        at..at + self.rng.usize(..=most)
    }

    fn replace(&mut self, range: Range<usize>, with: Vec<u8>) {
        if self.input.len() + with.len() <= LONGEST {
            self.input.splice(range, with);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(seed: u64) -> Vec<Vec<u8>> {
        let mut mutator = Mutator::new(vec![b"{\"a\":1}".to_vec(), vec![b'x'; LONGEST]], seed);
        let mut made = Vec::new();
        for _ in 0..2000 {
            made.push(mutator.make().to_vec());
            mutator.keep();
        }
        made
    }

    #[test]
    fn the_same_seed_makes_the_same_inputs_and_another_others() {
        assert_eq!(some(1), some(1));
        assert_ne!(some(1), some(2));
    }

    #[test]
    fn no_input_is_longer_than_the_limit() {
        assert!(some(3).iter().all(|input| input.len() <= LONGEST));
    }
}

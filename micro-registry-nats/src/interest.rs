//! What somebody here watches.

use std::collections::BTreeMap;

use micro_core::registry::ServiceName;

/// Counts watchers by what they watch.
#[derive(Debug, Default)]
pub(crate) struct Interest {
    watchers: usize,
    /// Somebody watches everything, or did while others watched: the state is then kept complete
    /// until nobody watches any more.
    all: bool,
    names: BTreeMap<String, usize>,
}

/// What nobody watches any more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Released {
    Nothing,
    Name(ServiceName),
    Everything,
}

impl Interest {
    pub(crate) fn is_empty(&self) -> bool {
        self.watchers == 0
    }

    /// Whether everything is watched.
    pub(crate) fn is_all(&self) -> bool {
        self.all
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    /// Whether somebody watches this service.
    pub(crate) fn covers(&self, name: &str) -> bool {
        self.all || self.names.contains_key(name)
    }

    /// One watcher more; true if what it watches was not watched before.
    pub(crate) fn add(&mut self, name: Option<&ServiceName>) -> bool {
        self.watchers += 1;
        match name {
            None => !std::mem::replace(&mut self.all, true),
            Some(name) => {
                let watchers = self.names.entry(name.to_string()).or_default();
                *watchers += 1;
                *watchers == 1 && !self.all
            }
        }
    }

    /// One watcher less.
    pub(crate) fn release(&mut self, name: Option<&ServiceName>) -> Released {
        self.watchers = self.watchers.saturating_sub(1);
        let mut released = Released::Nothing;
        if let Some(name) = name
            && let Some(watchers) = self.names.get_mut(name.as_str())
        {
            *watchers -= 1;
            if *watchers == 0 {
                self.names.remove(name.as_str());
                if !self.all {
                    released = Released::Name(name.clone());
                }
            }
        }
        if self.watchers == 0 {
            self.all = false;
            released = Released::Everything;
        }
        released
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> ServiceName {
        ServiceName::new(name).unwrap()
    }

    #[test]
    fn only_the_first_watcher_of_a_name_is_news_and_only_the_last_gives_it_up() {
        let (mut interest, a, b) = (Interest::default(), name("a"), name("b"));
        assert!(interest.add(Some(&a)));
        assert!(!interest.add(Some(&a)));
        assert!(interest.add(Some(&b)));
        assert!(interest.covers("a") && !interest.covers("c"));
        assert_eq!(interest.release(Some(&a)), Released::Nothing);
        assert_eq!(interest.release(Some(&a)), Released::Name(a));
        assert_eq!(interest.release(Some(&b)), Released::Everything);
        assert!(interest.is_empty());
    }

    #[test]
    fn what_was_complete_is_kept_so_while_anybody_watches() {
        let (mut interest, a) = (Interest::default(), name("a"));
        assert!(interest.add(None));
        assert!(!interest.add(Some(&a)));
        assert_eq!(interest.release(None), Released::Nothing);
        assert!(interest.is_all() && interest.covers("b"));
        assert_eq!(interest.release(Some(&a)), Released::Everything);
        assert!(!interest.is_all());
    }
}

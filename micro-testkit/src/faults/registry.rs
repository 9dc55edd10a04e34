//! A registry that does one thing wrong.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use micro_core::registry::{
    Change, RegisterOptions, Registry, Service, ServiceName, WatchOptions, Watcher,
};
use micro_core::{Error, ErrorKind, Result, async_trait};
use tokio::sync::mpsc;
use tokio_stream::Stream;

super::faults! { RegistryFault of "registry":
    /// A second registration is counted: it takes two to take it away.
    CountsTwice => registering_again_is_one_registration,
    /// What was registered first stays.
    KeepsTheOldDescription => registering_again_tells_the_newest_description,
    /// A node that was taken away can never come back.
    BuriesNodes => a_lost_node_can_be_registered_again,
    /// Of several nodes in one call only the first counts.
    TakesOneNode => nodes_of_one_call_are_registrations_of_their_own,
    /// A node's id is taken away in all versions.
    IgnoresVersions => one_id_in_two_versions_is_two_registrations,
    /// The whole version is taken away with one node.
    TakesTheVersionAway => deregistering_takes_only_what_is_named,
    /// To take away what is not there is an error.
    MindsTheUnknown => deregistering_what_is_not_there_is_fine,
    /// Anything can be registered, and vanishes if it is wrong.
    TakesAnything => what_cannot_be_registered_is_refused,
    /// Endpoints lose their types.
    ForgetsTypes => a_description_arrives_unchanged,
    /// A large description vanishes in silence.
    LosesTheLarge => a_description_too_large_is_refused,
    /// Each node is told as a service of its own.
    MergesNothing => nodes_of_one_version_are_merged,
    /// All versions are told as one.
    MixesVersions => versions_are_told_apart,
    /// An unknown name is an empty list.
    FindsNothing => an_unknown_name_is_not_found,
    /// Names that begin like the one that was asked for are told too.
    MatchesBeginnings => names_that_begin_alike_are_told_apart,
    /// A list tells one node of each service.
    ListsOneNode => list_tells_what_get_tells,
    /// It is always ill.
    IsIll => every_handle_has_the_same_name_and_is_healthy,
    /// A lease never ends.
    LeasesNeverEnd => a_lease_that_is_not_renewed_ends,
    /// A watcher is not told that a service has gone.
    EndsInSilence => a_watcher_sees_the_end_of_a_lease,
    /// Registering again is nothing new, so the lease runs on.
    RenewsNothing => registering_again_renews_the_lease,
    /// Every registration ends, asked for or not.
    LeasesEverything => a_registration_without_a_lease_stays,
    /// A lease of no time is none.
    TakesNothingForNone => a_lease_of_no_time_ends_at_once,
    /// A watcher is not told the present state.
    MissesThePresent => a_watcher_first_tells_the_present_state,
    /// `Synced` comes first.
    SyncsTooEarly => a_watcher_first_tells_the_present_state,
    /// `Synced` never comes.
    NeverSyncs => a_watcher_of_nothing_is_synced,
    /// A watcher loses every second change.
    LosesChanges => a_watcher_tells_what_changes,
    /// A watcher tells of all names, whatever was asked.
    TellsOtherNames => a_watcher_of_a_name_tells_no_other,
    /// What is renewed is told again.
    TellsRenewals => a_renewal_is_no_change,
    /// A watcher is not told that a service has lost a node.
    LeavesInSilence => deregistering_is_told_at_once,
    /// A watcher that is not read loses what does not fit.
    Overflows => a_slow_watcher_misses_nothing,
    /// `close` leaves everything registered.
    ClosesNothing => closing_deregisters_what_was_registered_here,
    /// The watchers of a closed handle go on for ever.
    WatchesOn => closing_ends_the_watchers_of_this_handle,
    /// A second `close` is an error.
    ClosesOnce => closing_twice_is_fine,
}

/// A name, a version and a node's id.
type Key = (String, String, String);

/// A registry with one fault, or none.
pub struct FaultyRegistry {
    inner: Arc<dyn Registry>,
    fault: Option<RegistryFault>,
    /// Every node and how often it was registered.
    registered: Mutex<BTreeMap<Key, (Service, usize)>>,
    buried: Mutex<BTreeSet<Key>>,
    closed: AtomicBool,
}

impl FaultyRegistry {
    /// Breaks a registry.
    pub fn new(inner: Arc<dyn Registry>, fault: impl Into<Option<RegistryFault>>) -> Self {
        Self {
            inner,
            fault: fault.into(),
            registered: Mutex::default(),
            buried: Mutex::default(),
            closed: AtomicBool::new(false),
        }
    }

    fn has(&self, fault: RegistryFault) -> bool {
        self.fault == Some(fault)
    }

    async fn every_node_of(&self, service: &Service, any_version: bool) -> Result<Vec<Service>> {
        let known = self.inner.list().await?;
        let of_name = known.into_iter().filter(|known| known.name == service.name);
        Ok(of_name.filter(|known| any_version || known.version == service.version).collect())
    }
}

#[async_trait]
impl Registry for FaultyRegistry {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    async fn register(&self, service: &Service, options: RegisterOptions) -> Result<()> {
        use RegistryFault as F;
        let (mut service, mut options) = (service.clone(), options);
        let again = {
            let mut registered = lock(&self.registered);
            let old: Vec<_> = keys(&service).map(|key| registered.get(&key).cloned()).collect();
            for key in keys(&service) {
                let (last, times) = registered.entry(key).or_default();
                *last = service.clone();
                *times += 1;
            }
            old
        };
        let known = again.iter().all(Option::is_some);
        let same = again.iter().flatten().any(|(old, _)| old.name == service.name);
        let buried = {
            let buried = lock(&self.buried);
            keys(&service).any(|key| buried.contains(&key))
        };
        let large = service.metadata.values().any(|value| value.len() > 100_000);
        match self.fault {
            Some(F::KeepsTheOldDescription | F::RenewsNothing) if known && same => return Ok(()),
            Some(F::BuriesNodes) if buried => return Ok(()),
            Some(F::TakesAnything) if service.check().is_err() => return Ok(()),
            Some(F::LosesTheLarge) if large => return Ok(()),
            Some(F::TakesOneNode) => service.nodes.truncate(1),
            Some(F::ForgetsTypes) => {
                service.endpoints.iter_mut().for_each(|endpoint| endpoint.request = None);
            }
            Some(F::LeasesNeverEnd) => options.ttl = None,
            Some(F::TakesNothingForNone) => options.ttl = options.ttl.filter(|ttl| !ttl.is_zero()),
            Some(F::LeasesEverything) => {
                options.ttl.get_or_insert(Duration::from_millis(300));
            }
            _ => {}
        }
        self.inner.register(&service, options).await
    }

    async fn deregister(&self, service: &Service) -> Result<()> {
        use RegistryFault as F;
        if self.has(F::TakesAnything) && service.check().is_err() {
            return Ok(());
        }
        let left = {
            let mut registered = lock(&self.registered);
            let times = keys(service).map(|key| match registered.remove(&key) {
                Some((last, times)) if times > 1 => {
                    registered.insert(key, (last, times - 1));
                    times - 1
                }
                _ => 0,
            });
            times.max().unwrap_or(0)
        };
        lock(&self.buried).extend(keys(service));
        match self.fault {
            Some(F::CountsTwice) if left > 0 => return Ok(()),
            Some(F::IgnoresVersions) => {
                for mut other in self.every_node_of(service, true).await? {
                    other.nodes = service.nodes.clone();
                    self.inner.deregister(&other).await?;
                }
            }
            Some(F::TakesTheVersionAway) => {
                for whole in self.every_node_of(service, false).await? {
                    self.inner.deregister(&whole).await?;
                }
            }
            Some(F::MindsTheUnknown) => {
                let known = self.every_node_of(service, false).await?;
                let known: BTreeSet<_> = known.iter().flat_map(keys).collect();
                if keys(service).any(|key| !known.contains(&key)) {
                    return Err(Error::not_found("it is not registered"));
                }
            }
            _ => {}
        }
        self.inner.deregister(service).await
    }

    async fn get(&self, name: &ServiceName) -> Result<Vec<Service>> {
        use RegistryFault as F;
        let mut found = match self.inner.get(name).await {
            Err(error) if error.kind() == ErrorKind::NotFound && self.has(F::FindsNothing) => {
                return Ok(Vec::new());
            }
            other => other?,
        };
        match self.fault {
            Some(F::MergesNothing) => {
                found = found.iter().flat_map(each_node).collect();
            }
            Some(F::MixesVersions) => {
                let nodes = found.iter().flat_map(|service| service.nodes.clone()).collect();
                found.truncate(1);
                found[0].nodes = nodes;
            }
            Some(F::MatchesBeginnings) => {
                found = self.inner.list().await?;
                found.retain(|service| service.name.starts_with(name.as_str()));
            }
            _ => {}
        }
        Ok(found)
    }

    async fn list(&self) -> Result<Vec<Service>> {
        let mut listed = self.inner.list().await?;
        if self.has(RegistryFault::ListsOneNode) {
            listed.iter_mut().for_each(|service| service.nodes.truncate(1));
        }
        Ok(listed)
    }

    async fn watch(&self, mut options: WatchOptions) -> Result<Watcher> {
        if self.has(RegistryFault::TellsOtherNames) {
            options.name = None;
        }
        let mut inner = self.inner.watch(options).await?;
        if self.has(RegistryFault::Overflows) {
            let (sender, few) = mpsc::channel(2);
            tokio::spawn(async move {
                while let Some(change) = inner.next().await {
                    let _ = sender.try_send(change);
                    tokio::task::yield_now().await;
                }
            });
            return Ok(Watcher::new(Few(few)));
        }
        let queue = VecDeque::new();
        Ok(Watcher::new(Changes { inner, fault: self.fault, queue, synced: false, count: 0 }))
    }

    fn health(&self) -> Result<()> {
        if self.has(RegistryFault::IsIll) {
            return Err(Error::unavailable("it is ill"));
        }
        self.inner.health()
    }

    async fn close(&self) -> Result<()> {
        let again = self.closed.swap(true, Ordering::SeqCst);
        match self.fault {
            Some(RegistryFault::ClosesNothing) => Ok(()),
            Some(RegistryFault::ClosesOnce) if again => Err(Error::unavailable("it is closed")),
            _ => self.inner.close().await,
        }
    }
}

fn keys(service: &Service) -> impl Iterator<Item = Key> {
    let of = |id: &String| (service.name.clone(), service.version.clone(), id.clone());
    service.nodes.iter().map(move |node| of(&node.id))
}

fn each_node(service: &Service) -> impl Iterator<Item = Service> {
    let alone = |node| Service { nodes: vec![node], ..service.clone() };
    service.nodes.iter().cloned().map(alone)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for FaultyRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyRegistry").field("fault", &self.fault).finish_non_exhaustive()
    }
}

/// What is told of a watcher's changes.
struct Changes {
    inner: Watcher,
    fault: Option<RegistryFault>,
    queue: VecDeque<Change>,
    synced: bool,
    count: usize,
}

impl Changes {
    /// What is told in place of a change.
    fn tell(&mut self, change: Change) {
        use RegistryFault as F;
        let is_synced = change == Change::Synced;
        let lost = match self.fault {
            Some(F::MissesThePresent) => !self.synced && !is_synced,
            Some(F::NeverSyncs) => is_synced,
            Some(F::EndsInSilence) => matches!(change, Change::Removed(_)),
            Some(F::LeavesInSilence) => matches!(&change, Change::Updated(s) if s.nodes.len() == 1),
            Some(F::LosesChanges) if self.synced => {
                self.count += 1;
                self.count.is_multiple_of(2)
            }
            _ => false,
        };
        self.synced |= is_synced;
        if lost {
            return;
        }
        let repeated = match (&change, self.fault) {
            (Change::Added(service), Some(F::TellsRenewals)) => Some(service.clone()),
            _ => None,
        };
        self.queue.push_back(change);
        self.queue.extend(repeated.map(Change::Updated));
    }
}

impl Stream for Changes {
    type Item = Change;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Change>> {
        let this = &mut *self;
        if this.fault == Some(RegistryFault::SyncsTooEarly) && !this.synced {
            this.synced = true;
            return Poll::Ready(Some(Change::Synced));
        }
        loop {
            if let Some(change) = this.queue.pop_front() {
                return Poll::Ready(Some(change));
            }
            match Pin::new(&mut this.inner).poll_next(cx) {
                Poll::Ready(Some(Change::Synced))
                    if this.fault == Some(RegistryFault::SyncsTooEarly) => {}
                Poll::Ready(Some(change)) => this.tell(change),
                Poll::Ready(None) if this.fault == Some(RegistryFault::WatchesOn) => {
                    return Poll::Pending;
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// A watcher whose buffer is too small.
struct Few(mpsc::Receiver<Change>);

impl Stream for Few {
    type Item = Change;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Change>> {
        self.0.poll_recv(cx)
    }
}

//! Which nodes a call may go to.

use std::fmt;
use std::sync::Arc;

use micro_core::registry::{Node, Service};

/// Which nodes a call may go to. Where none passes, the call fails as
/// [`Unavailable`](crate::ErrorKind::Unavailable) and not sent.
///
/// ```
/// use micro::client::Filter;
///
/// let filter = Filter::version("2").and(Filter::metadata("region", "eu"));
/// ```
#[derive(Clone)]
pub struct Filter(Arc<Test>);

type Test = dyn Fn(&Service, &Node) -> bool + Send + Sync;

impl Filter {
    /// Nodes for which this holds. It is asked for each node of each call: it should be quick.
    pub fn new(test: impl Fn(&Service, &Node) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(test))
    }

    /// Nodes of this version of the service.
    pub fn version(version: impl Into<String>) -> Self {
        let version = version.into();
        Self::new(move |service, _| service.version == version)
    }

    /// Nodes that have this entry in their metadata.
    pub fn metadata(key: impl Into<String>, value: impl Into<String>) -> Self {
        let (key, value) = (key.into(), value.into());
        Self::new(move |_, node| node.metadata.get(&key) == Some(&value))
    }

    /// Nodes of versions that have this endpoint.
    pub fn endpoint(endpoint: impl Into<String>) -> Self {
        let endpoint = endpoint.into();
        Self::new(move |service, _| service.endpoints.iter().any(|known| known.name == endpoint))
    }

    /// Nodes that pass both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self::new(move |service, node| self.passes(service, node) && other.passes(service, node))
    }

    /// Whether a node passes.
    pub fn passes(&self, service: &Service, node: &Node) -> bool {
        (self.0)(service, node)
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Filter(..)")
    }
}

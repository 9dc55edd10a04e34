//! Our end of a stream, shared by what sends and what receives.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::hub::Half;

/// Our end of a stream.
pub(crate) struct End {
    pub(crate) half: Half,
    /// What lives as long as a stream that we opened; `None` where we serve it.
    keeps: Option<Box<dyn Any + Send + Sync>>,
}

impl End {
    /// Of a stream that we opened.
    pub(crate) fn opened(half: Half, keeps: impl Any + Send + Sync) -> Arc<Self> {
        Arc::new(Self { half, keeps: Some(Box::new(keeps)) })
    }

    /// Of a stream that we serve.
    pub(crate) fn accepted(half: Half) -> Arc<Self> {
        Arc::new(Self { half, keeps: None })
    }

    pub(super) fn is_ours(&self) -> bool {
        self.keeps.is_some()
    }
}

/// Whoever lets go of a stream that is not over gives it up.
impl Drop for End {
    fn drop(&mut self) {
        if self.is_ours() {
            self.half.give_up();
        }
    }
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.half.fmt(f)
    }
}

//! A call that waits for its answer.

use std::sync::Arc;

use micro_core::wire::{CallId, Reply};
use micro_core::{Error, RequestState, Result};
use tokio::sync::oneshot;

use super::conn::Conn;

/// What a call comes to: what the other side or this one says; or its time was over, and this is
/// known of the request.
pub(crate) type Outcome = Result<Result<Reply>, RequestState>;

/// A call that waits for its answer. Dropping it gives the call up.
pub(crate) struct Pending {
    conn: Arc<Conn>,
    id: CallId,
    answer: oneshot::Receiver<Outcome>,
    answered: bool,
}

impl Pending {
    pub(super) fn new(conn: Arc<Conn>, id: CallId, answer: oneshot::Receiver<Outcome>) -> Self {
        Self { conn, id, answer, answered: false }
    }

    /// The answer; comes at the latest when the call's time is over.
    pub(crate) async fn answer(mut self) -> Outcome {
        let answer = (&mut self.answer).await;
        self.answered = true;
        answer.unwrap_or_else(|_| {
            let closed = Error::unavailable("the client was closed");
            Ok(Err(closed.with_request(RequestState::Unknown)))
        })
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.answered {
            self.conn.give_up(self.id);
        }
    }
}

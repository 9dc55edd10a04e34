//! A handler without its types.

use std::any::Any;
use std::borrow::Cow;
use std::future::{Future, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::CatchUnwind;
use micro_core::codec::{Decode, Encode, check_content_type};
use micro_core::wire::Reply;
use micro_core::{Error, Result};

use crate::context::Context;

/// What a handler gives.
pub(super) type Answer = Result<Reply>;
pub(super) type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// A handler without its types.
#[derive(Clone)]
pub(super) struct Handler(Arc<Start>);
type Start = dyn Fn(Context, Option<Cow<'static, str>>, Bytes) -> Answering + Send + Sync;

/// A handler at work; a panic is an answer too.
pub(super) struct Running(CatchUnwind<AssertUnwindSafe<Answering>>);

impl Handler {
    /// What it answers to a body of this content type, without any layer.
    pub(super) fn answer(
        &self,
        context: Context,
        content_type: Option<Cow<'static, str>>,
        body: Bytes,
    ) -> Answering {
        (self.0)(context, content_type, body)
    }
}

impl Running {
    pub(super) fn start(start: impl FnOnce() -> Answering) -> Self {
        let started = catch_unwind(AssertUnwindSafe(start));
        let answering = started.unwrap_or_else(|panic| Box::pin(ready(Err(panicked(&*panic)))));
        Self(AssertUnwindSafe(answering).catch_unwind())
    }
}

impl Future for Running {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Answer> {
        self.0.poll_unpin(cx).map(|done| done.unwrap_or_else(|panic| Err(panicked(&*panic))))
    }
}

pub(super) fn typed<C, T, R, F, Fut>(handler: F) -> Handler
where
    C: Decode<T> + Encode<R>,
    T: 'static,
    R: Send + 'static,
    F: Fn(Context, T) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R>> + Send + 'static,
{
    Handler(Arc::new(move |context, given, body| {
        let decoded = check_content_type::<C>(given.as_deref())
            .and_then(|()| C::decode_as(body, given.as_deref().unwrap_or_default()));
        match decoded {
            Ok(value) => {
                let content_type = C::reply_content_type(given);
                let working = handler(context, value);
                Box::pin(async move {
                    let body = C::encode_as(&working.await?, &content_type)?;
                    Ok(Reply::new(content_type, body))
                })
            }
            Err(error) => Box::pin(ready(Err(error))),
        }
    }))
}

/// What a caller is told of a panic: that there was one. Its words are for the log.
fn panicked(panic: &(dyn Any + Send)) -> Error {
    let words = (panic.downcast_ref::<&str>().copied())
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without words");
    tracing::error!(panic = words, "a handler panicked");
    Error::internal("the handler panicked")
}

//! Handlers of streams, without their types.

use std::borrow::Cow;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use micro_core::codec::{Codec, Decode, Encode, Json, check_content_type};
use micro_core::wire::Reply;
use micro_core::{Error, Result};

use super::{End, Receiver, Sender};
use crate::context::Context;

/// What serves the streams of an endpoint: made by [`server_streaming`], [`client_streaming`] or
/// [`bidirectional`], and given to [`Server::stream_handler`](crate::Server::stream_handler).
#[derive(Clone)]
pub struct StreamHandler(Arc<Serve>);

type Serve = dyn Fn(Context, Ends) -> Serving + Send + Sync;
type Serving = Pin<Box<dyn Future<Output = Result<Reply>> + Send>>;

/// A stream that is to be served, and in which content type.
pub(crate) struct Ends {
    pub(crate) end: Arc<End>,
    pub(crate) content_type: Option<Cow<'static, str>>,
}

/// A handler that gets one request and sends any number of replies, in JSON.
pub fn server_streaming<Q, R, F, Fut>(handler: F) -> StreamHandler
where
    Json: Decode<Q> + Encode<R>,
    Q: Send + 'static,
    R: 'static,
    F: Fn(Context, Q, Sender<R>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    server_streaming_with::<Json, Q, R, F, Fut>(handler)
}

/// [`server_streaming`] with a codec of one's own choice.
pub fn server_streaming_with<C, Q, R, F, Fut>(handler: F) -> StreamHandler
where
    C: Decode<Q> + Encode<R>,
    Q: Send + 'static,
    R: 'static,
    F: Fn(Context, Q, Sender<R>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    let handler = Arc::new(handler);
    serve::<C>(move |context, end, given, content_type| {
        let mut requests = Receiver::<Q>::new::<C>(end.clone(), given);
        let sender = Sender::<R>::new::<C>(end, content_type);
        let handler = handler.clone();
        Box::pin(async move {
            let Some(request) = requests.recv().await? else {
                return Err(Error::invalid_input("the stream ended before its request came"));
            };
            // Whatever else comes is not for this handler.
            drop(requests);
            handler(context, request, sender).await?;
            Ok(nothing())
        })
    })
}

/// A handler that gets any number of requests and gives one reply, in JSON.
pub fn client_streaming<Q, R, F, Fut>(handler: F) -> StreamHandler
where
    Json: Decode<Q> + Encode<R>,
    Q: 'static,
    R: Send + 'static,
    F: Fn(Context, Receiver<Q>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R>> + Send + 'static,
{
    client_streaming_with::<Json, Q, R, F, Fut>(handler)
}

/// [`client_streaming`] with a codec of one's own choice.
pub fn client_streaming_with<C, Q, R, F, Fut>(handler: F) -> StreamHandler
where
    C: Decode<Q> + Encode<R>,
    Q: 'static,
    R: Send + 'static,
    F: Fn(Context, Receiver<Q>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R>> + Send + 'static,
{
    serve::<C>(move |context, end, given, content_type| {
        let working = handler(context, Receiver::<Q>::new::<C>(end, given));
        Box::pin(async move {
            let body = C::encode_as(&working.await?, &content_type)?;
            Ok(Reply::new(content_type, body))
        })
    })
}

/// A handler that gets and sends any number of messages, in JSON.
pub fn bidirectional<Q, R, F, Fut>(handler: F) -> StreamHandler
where
    Json: Decode<Q> + Encode<R>,
    Q: 'static,
    R: 'static,
    F: Fn(Context, Receiver<Q>, Sender<R>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    bidirectional_with::<Json, Q, R, F, Fut>(handler)
}

/// [`bidirectional`] with a codec of one's own choice.
pub fn bidirectional_with<C, Q, R, F, Fut>(handler: F) -> StreamHandler
where
    C: Decode<Q> + Encode<R>,
    Q: 'static,
    R: 'static,
    F: Fn(Context, Receiver<Q>, Sender<R>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    serve::<C>(move |context, end, given, content_type| {
        let receiver = Receiver::<Q>::new::<C>(end.clone(), given);
        let working = handler(context, receiver, Sender::<R>::new::<C>(end, content_type));
        Box::pin(async move {
            working.await?;
            Ok(nothing())
        })
    })
}

/// The function gets the stream, the content type of what comes, and that of what is sent.
fn serve<C: Codec>(
    start: impl Fn(Context, Arc<End>, Cow<'static, str>, Cow<'static, str>) -> Serving
    + Send
    + Sync
    + 'static,
) -> StreamHandler {
    StreamHandler(Arc::new(move |context, ends| {
        let Ends { end, content_type } = ends;
        if let Err(error) = check_content_type::<C>(content_type.as_deref()) {
            return Box::pin(ready(Err(error)));
        }
        let given = content_type.clone().unwrap_or_default();
        start(context, end, given, C::reply_content_type(content_type))
    }))
}

/// What a handler gives that has sent its replies itself.
fn nothing() -> Reply {
    Reply::new("", Bytes::new())
}

impl StreamHandler {
    /// Serves a stream; a reply with a content type is its last message.
    pub(crate) fn serve(&self, context: Context, ends: Ends) -> Serving {
        (self.0)(context, ends)
    }
}

impl std::fmt::Debug for StreamHandler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamHandler").finish_non_exhaustive()
    }
}

//! The endpoints that stream.

use std::time::Duration;

use micro::codec::JsonOrProtobuf;
use micro::stream::{
    Receiver, Sender, bidirectional_with, client_streaming_with, server_streaming_with,
};
use micro::{Context, Error, Result, Server};

use super::{Req, Rsp, natural};

/// Adds the endpoints to a server.
pub(super) fn serve(server: Server) -> Server {
    type Both = JsonOrProtobuf;
    let count = server_streaming_with::<Both, Req, Rsp, _, _>(count);
    let sum = client_streaming_with::<Both, Req, Rsp, _, _>(sum);
    let chat = bidirectional_with::<Both, Req, Rsp, _, _>(chat);
    server
        .stream_handler("Echo.Count", count)
        .stream_handler("Echo.Sum", sum)
        .stream_handler("Echo.Chat", chat)
        .describe::<Req, Rsp>("Echo.Count")
        .describe::<Req, Rsp>("Echo.Sum")
        .describe::<Req, Rsp>("Echo.Chat")
}

async fn count(_: Context, req: Req, values: Sender<Rsp>) -> Result<()> {
    let pause = Duration::from_millis(natural("millis", req.millis)?);
    for value in 1..=req.count {
        if value > 1 && !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        values.send(&Rsp { value, ..Rsp::default() }).await?;
    }
    match req.code {
        0 => Ok(()),
        code => {
            let detail = format!("failed as asked: {}", req.name);
            Err(Error::with_code(code, detail).with_id("echo.fail"))
        }
    }
}

async fn sum(_: Context, mut values: Receiver<Req>) -> Result<Rsp> {
    let mut sum = 0_i32;
    while let Some(Req { value, .. }) = values.recv().await? {
        sum = sum.checked_add(value).ok_or_else(|| Error::invalid_input("the sum has no room"))?;
    }
    Ok(Rsp { value: sum, ..Rsp::default() })
}

async fn chat(_: Context, mut said: Receiver<Req>, answers: Sender<Rsp>) -> Result<()> {
    while let Some(Req { name, value, .. }) = said.recv().await? {
        let greeting = format!("Hello {name}");
        answers.send(&Rsp { greeting, value, ..Rsp::default() }).await?;
    }
    Ok(())
}

//! The endpoints that answer once.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use micro::{Context, Error, Result, Server};

use super::{Req, Rsp};

/// The largest blob, in bytes.
const MAX_BLOB: usize = 64 << 20;

/// Adds the endpoints to a server.
pub(super) fn serve(server: Server, node: Arc<OnceLock<String>>) -> Server {
    let server = server
        .json_or_proto_handler("Echo.Call", async |_: Context, req: Req| {
            Ok(greeting(format!("Hello {}", req.name)))
        })
        .json_or_proto_handler("Echo.Fail", async |_: Context, req: Req| {
            let detail = format!("failed as asked: {}", req.name);
            Err::<Rsp, _>(Error::with_code(req.code, detail).with_id("echo.fail"))
        })
        .json_or_proto_handler("Echo.Plain", async |_: Context, req: Req| {
            // What would come as plain text goes out as plain text.
            Err::<Rsp, _>(Error::from_wire(&format!("plain failure of {}", req.name)))
        })
        .json_or_proto_handler("Echo.Panic", async |_: Context, req: Req| -> Result<Rsp> {
            panic!("as asked: {}", req.name)
        })
        .json_or_proto_handler("Echo.Meta", async |context: Context, _: Req| {
            let all = context.metadata().iter();
            let meta = all.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
            Ok(Rsp { meta, ..Rsp::default() })
        })
        .json_or_proto_handler("Echo.Slow", slow)
        .json_or_proto_handler("Echo.Blob", async |_: Context, req: Req| blob(req.size))
        .json_or_proto_handler("Echo.Size", async |_: Context, req: Req| {
            let value = req.data.len().try_into().unwrap_or(i32::MAX);
            Ok(Rsp { value, ..Rsp::default() })
        })
        .json_or_proto_handler("Echo.Who", move |_: Context, _: Req| {
            let node = node.clone();
            async move { Ok(greeting(node.get().cloned().unwrap_or_default())) }
        });
    (server.endpoints().iter())
        .fold(server, |server, endpoint| server.describe::<Req, Rsp>(&endpoint.name))
        .json_or_proto_handler("Echo.Proto", async |_: Context, text: String| {
            Ok(format!("proto {text}"))
        })
        .describe::<String, String>("Echo.Proto")
}

async fn slow(context: Context, req: Req) -> Result<Rsp> {
    // Rounded up, so that 0 is left to those who have no deadline.
    let left = context.time_left().map_or(0, |left| left.as_nanos().div_ceil(1_000_000));
    tokio::time::sleep(Duration::from_millis(natural("millis", req.millis)?)).await;
    Ok(Rsp { left: left.try_into().unwrap_or(i32::MAX), ..Rsp::default() })
}

fn blob(value: i32) -> Result<Rsp> {
    let size: usize = natural("size", value)?;
    if size > MAX_BLOB {
        return Err(Error::too_large("a blob", size, MAX_BLOB));
    }
    let data: Vec<u8> = (0..=u8::MAX).cycle().take(size).collect();
    Ok(Rsp { data: data.into(), value, ..Rsp::default() })
}

fn greeting(greeting: String) -> Rsp {
    Rsp { greeting, ..Rsp::default() }
}

fn natural<T: TryFrom<i32>>(field: &str, number: i32) -> Result<T> {
    T::try_from(number).map_err(|_| Error::invalid_input(format!("{field} is {number}")))
}

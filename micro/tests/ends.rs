//! Every call ends in its time, and with the truth, over memory.
#![cfg(feature = "memory")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::future::pending;
use std::time::Duration;

use micro::memory::Memory;
use micro::{Client, ClientOptions, Context, ErrorKind, Result, Service, ServiceBuilder};
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(100);

fn over(memory: &Memory, name: &str) -> ServiceBuilder {
    Service::builder(name)
        .registry(memory.registry())
        .transport(memory.transport())
        .broker(memory.broker())
}

fn client(memory: &Memory, options: ClientOptions) -> Client {
    Client::builder()
        .registry(memory.registry())
        .transport(memory.transport())
        .broker(memory.broker())
        .options(options)
        .build()
        .unwrap()
}

#[test]
fn a_client_goes_on_when_the_runtime_of_its_first_call_is_gone() {
    let memory = Memory::new();
    let client = client(&memory, ClientOptions::default());
    for address in ["first", "second"] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let service = over(&memory, "s")
                .address(address)
                .handler("S.Never", async |_: Context, (): ()| pending::<Result<()>>().await)
                .handler("S.Where", move |_: Context, (): ()| async move { Ok(address) });
            let running = service.build().unwrap().start().await.unwrap();
            let never = client.call::<_, ()>("s", "S.Never", &()).timeout(SHORT).address(address);
            let never = timeout(LIMIT, never.into_future()).await.expect("it never ends");
            assert_eq!(never.unwrap_err().kind(), ErrorKind::Timeout);
            let answer: String = client.call("s", "S.Where", &()).await.unwrap();
            assert_eq!(answer, address);
            running.stop().await.unwrap();
        });
    }
}

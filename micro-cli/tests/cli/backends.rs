//! The library, with the backends of whoever uses it: no network, no process.

use std::io::{self, Cursor, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use micro::memory::Memory;
use micro::{Error, Plugins, Running, Service};
use micro_cli::Console;
use micro_examples::echo;
use serde_json::{Value, json};
use tokio::sync::oneshot;

/// A world in memory, under a name that nobody else uses.
struct World {
    memory: Memory,
    plugins: Plugins,
}

/// What is written to it, for who looks later.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl World {
    fn new() -> Self {
        let memory = Memory::new();
        let (registry, transport, broker) = (memory.clone(), memory.clone(), memory.clone());
        let plugins = Plugins::empty()
            .with_registry("ours", Arc::new(move |_| Ok(Arc::new(registry.registry()))))
            .with_transport("ours", Arc::new(move |_| Ok(Arc::new(transport.transport()))))
            .with_broker("ours", Arc::new(move |_| Ok(Arc::new(broker.broker()))));
        Self { memory, plugins }
    }

    async fn echo(&self) -> Running {
        let service = Service::builder("echo")
            .id("1")
            .address("echo.1")
            .registry(self.memory.registry())
            .transport(self.memory.transport())
            .broker(self.memory.broker())
            .server(echo::server(Default::default()));
        service.build().unwrap().start().await.unwrap()
    }

    /// Runs a command, and gives its exit code and what it wrote.
    async fn run(&self, words: &[&str], input: &'static str) -> (u8, String, String) {
        self.run_until(words, input, std::future::pending()).await
    }

    async fn run_until(
        &self,
        words: &[&str],
        input: &'static str,
        interrupt: impl Future<Output = ()>,
    ) -> (u8, String, String) {
        let (stdout, stderr) = (Written::default(), Written::default());
        let console = Console::new(Cursor::new(input), stdout.clone(), stderr.clone());
        let ours = ["micro", "--registry=ours", "--transport=ours", "--broker=ours"];
        let words = ours.iter().chain(words).map(Into::into);
        let code = micro_cli::run(words, &self.plugins, console, interrupt).await;
        (code, stdout.text(), stderr.text())
    }

    async fn prints(&self, words: &[&str], input: &'static str) -> String {
        let (code, stdout, stderr) = self.run(words, input).await;
        assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
        stdout
    }
}

#[tokio::test]
async fn a_backend_of_ones_own_is_looked_at_and_called() {
    let world = World::new();
    let _echo = world.echo().await;
    assert_eq!(world.prints(&["services"], "").await, "echo\n");
    assert!(world.prints(&["describe", "echo"], "").await.contains("Echo.Call   (Req) -> Rsp"));
    let call = ["call", "echo", "Echo.Call", "-", "-m", "a=b"];
    assert_eq!(world.prints(&call, r#"{"name":"Bob"}"#).await, "{\"greeting\":\"Hello Bob\"}\n");
    let chat = ["stream", "echo", "Echo.Chat"];
    let said = world.prints(&chat, "{\"name\":\"a\"}\n{\"name\":\"b\"}\n").await;
    assert_eq!(said, "{\"greeting\":\"Hello a\"}\n{\"greeting\":\"Hello b\"}\n");
    let (code, stdout, stderr) = world.run(&["health", "echo"], "").await;
    assert_eq!((code, stderr.as_str()), (0, "1 of 1 nodes of echo are well\n"));
    assert!(stdout.starts_with("echo-1\tok\t"), "{stdout}");
}

#[tokio::test]
async fn errors_and_wrong_usage_are_as_those_of_the_program() {
    let world = World::new();
    let _echo = world.echo().await;
    let (code, stdout, stderr) = world.run(&["call", "echo", "Echo.Plain"], "").await;
    let error: Value = serde_json::from_str(&stderr).unwrap();
    assert_eq!((code, stdout.as_str(), &error["code"]), (1, "", &json!(0)));
    let (code, _, stderr) = world.run(&["call", "ehco", "Echo.Call"], "").await;
    assert_eq!((code, stderr.contains("hint: did you mean echo?")), (1, true), "{stderr}");
    let (code, stdout, stderr) = world.run(&["call", "echo", "Echo.Call", "{"], "").await;
    assert_eq!((code, stdout.as_str()), (2, ""), "{stderr}");
    let (code, _, stderr) = world.run(&["services", "--help"], "").await;
    assert_eq!((code, stderr.as_str()), (0, ""));
}

#[tokio::test]
async fn a_name_that_nobody_gave_is_answered_with_those_that_there_are() {
    let world = World::new();
    let words = ["micro", "services", "--registry=theirs", "--transport=ours", "--broker=ours"];
    let (stdout, stderr) = (Written::default(), Written::default());
    let console = Console::new(io::empty(), stdout.clone(), stderr.clone());
    let words = words.iter().map(Into::into);
    let code = micro_cli::run(words, &world.plugins, console, std::future::pending()).await;
    assert_eq!((code, stdout.text().as_str()), (2, ""));
    assert!(stderr.text().contains("no registry is called \"theirs\""), "{}", stderr.text());
    assert!(stderr.text().contains("there are: ours"), "{}", stderr.text());
}

#[tokio::test]
async fn events_are_heard_until_the_interrupt() {
    let world = World::new();
    let (interrupt, interrupted) = oneshot::channel::<()>();
    let interrupted = Box::pin(async { interrupted.await.unwrap() });
    let interrupted: Pin<Box<dyn Future<Output = ()>>> = interrupted;
    let stdout = Written::default();
    let stderr = Written::default();
    let console = Console::new(io::empty(), stdout.clone(), stderr.clone());
    let words =
        ["micro", "--registry=ours", "--transport=ours", "--broker=ours", "subscribe", "events"];
    let hears = micro_cli::run(words.iter().map(Into::into), &world.plugins, console, interrupted);
    let publishes = async {
        while !stderr.text().contains("subscribed") {
            tokio::task::yield_now().await;
        }
        world.prints(&["publish", "events", "{\"id\":1}"], "").await;
        while stdout.text().is_empty() {
            tokio::task::yield_now().await;
        }
        interrupt.send(()).unwrap();
    };
    let (code, ()) = tokio::join!(hears, publishes);
    assert_eq!((code, stdout.text().as_str()), (0, "{\"id\":1}\n"));
}

/// A standard output that has no room.
struct Full;

impl Write for Full {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn an_output_without_room_is_an_error() {
    let world = World::new();
    let _echo = world.echo().await;
    let stderr = Written::default();
    let console = Console::new(io::empty(), Full, stderr.clone());
    let words = ["micro", "--registry=ours", "--transport=ours", "--broker=ours", "services"];
    let words = words.iter().map(Into::into);
    let code = micro_cli::run(words, &world.plugins, console, std::future::pending()).await;
    assert_eq!(code, 1);
    assert!(stderr.text().contains("cannot write to standard output"), "{}", stderr.text());
}

/// Its errors are the caller's to see.
#[tokio::test]
async fn a_backend_that_cannot_be_made_says_why() {
    let broken = Plugins::empty()
        .with_registry("ours", Arc::new(|_| Err(Error::unavailable("no paper left"))))
        .with_transport("ours", Arc::new(|_| Ok(Arc::new(Memory::new().transport()))))
        .with_broker("ours", Arc::new(|_| Ok(Arc::new(Memory::new().broker()))));
    let stderr = Written::default();
    let console = Console::new(io::empty(), io::sink(), stderr.clone());
    let words = ["micro", "--registry=ours", "--transport=ours", "--broker=ours", "services"];
    let words = words.iter().map(Into::into);
    let code = micro_cli::run(words, &broken, console, std::future::pending()).await;
    assert_ne!(code, 0);
    assert!(stderr.text().contains("no paper left"), "{}", stderr.text());
}

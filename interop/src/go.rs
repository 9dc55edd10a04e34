//! go-micro's two roles.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::command::Command;
use crate::generation::Generation;
use crate::limited;
use crate::process::Process;

/// A go-micro service that serves. Its lines are the events that it receives.
#[derive(Debug)]
pub struct GoService {
    /// The program.
    pub process: Process,
    /// The name of the service.
    pub name: String,
    /// The id of its node.
    pub node: String,
    /// Where it listens.
    pub address: String,
}

impl GoService {
    pub(crate) async fn start(
        generation: Generation,
        nats: &str,
        name: &str,
        args: &[&str],
    ) -> Self {
        let all = [&["serve", "--nats", nats, "--name", name], args].concat();
        let mut process =
            Process::start(&format!("{generation} service {name}"), generation.program(), &all);
        let line = process.line_with("serving").await;
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        assert_eq!(text("generation"), generation.to_string());
        Self { name: text("serving"), node: text("node"), address: text("address"), process }
    }
}

/// A go-micro client that does what it is told.
#[derive(Debug)]
pub struct GoClient {
    process: tokio::sync::Mutex<Process>,
    waiting: Arc<Mutex<BTreeMap<u64, oneshot::Sender<Value>>>>,
    told: tokio::sync::Mutex<mpsc::Receiver<Value>>,
    next: AtomicU64,
}

/// What became of a command.
#[derive(Debug)]
pub struct Outcome {
    /// Its value, or its error.
    pub result: Result<Value, GoError>,
    /// How long it took, in milliseconds.
    pub millis: u64,
}

/// An error as a go-micro caller sees it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct GoError {
    /// Who reports.
    pub id: String,
    /// HTTP's or one's own; 0 for plain text.
    pub code: i32,
    /// For people.
    pub detail: String,
    /// HTTP's text of the code.
    pub status: String,
    /// All that `Error()` gives.
    pub text: String,
}

impl GoClient {
    pub(crate) async fn start(generation: Generation, nats: &str, args: &[&str]) -> Self {
        let all = [&["client", "--nats", nats], args].concat();
        let mut process =
            Process::start(&format!("{generation} client"), generation.program(), &all);
        let ready = process.line_with("ready").await;
        assert_eq!(ready["ready"], generation.to_string());
        let mut lines = process.take_lines();
        let waiting: Arc<Mutex<BTreeMap<u64, oneshot::Sender<Value>>>> = Arc::default();
        let (tell, told) = mpsc::channel(1 << 16);
        let asked = waiting.clone();
        tokio::spawn(async move {
            while let Some(line) = lines.recv().await {
                let id = line["id"].as_u64();
                let asker = id.and_then(|id| {
                    asked.lock().unwrap_or_else(PoisonError::into_inner).remove(&id)
                });
                match asker {
                    Some(asker) => drop(asker.send(line)),
                    None => {
                        if tell.send(line).await.is_err() {
                            return;
                        }
                    }
                }
            }
            // Whoever still waits learns that it has ended.
            asked.lock().unwrap_or_else(PoisonError::into_inner).clear();
        });
        Self { process: process.into(), waiting, told: told.into(), next: AtomicU64::new(1) }
    }

    /// Does it.
    ///
    /// # Panics
    /// If the client ends, or is not done long after the command's own limit.
    pub async fn execute(&self, command: Command) -> Outcome {
        let Command(mut line) = command;
        let millis = line.get("millis").and_then(Value::as_u64).unwrap_or_default();
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        line.insert("id".to_owned(), json!(id));
        let (answer, answered) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id, answer);
        let line = Value::Object(line);
        self.process.lock().await.tell(&line).await;
        let limit = crate::LIMIT + std::time::Duration::from_millis(millis);
        let answer = match tokio::time::timeout(limit, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => {
                panic!("the Go client ended at {line}:\n{}", self.process.lock().await.log())
            }
            Err(_) => panic!("the Go client is not done with {line}"),
        };
        let millis = answer["millis"].as_u64().unwrap_or_default();
        let result = match answer.get("error") {
            Some(error) => Err(GoError::deserialize(error).expect("an error has all its fields")),
            None => Ok(answer.get("value").cloned().unwrap_or_default()),
        };
        Outcome { result, millis }
    }

    /// Does it; its value as this type.
    ///
    /// # Errors
    /// The error as Go sees it.
    ///
    /// # Panics
    /// If the value is not of this type.
    pub async fn ask<T: DeserializeOwned>(&self, command: Command) -> Result<T, GoError> {
        let value = self.execute(command).await.result?;
        Ok(serde_json::from_value(value.clone())
            .unwrap_or_else(|error| panic!("{error} in {value}")))
    }

    /// The error of a command that must fail.
    ///
    /// # Panics
    /// If it does not.
    pub async fn fails(&self, command: Command) -> GoError {
        match self.execute(command).await.result {
            Ok(value) => panic!("it gave {value}"),
            Err(error) => error,
        }
    }

    /// The next line that was not asked for and has this key: of a watch, an event.
    ///
    /// # Panics
    /// If none comes in time.
    pub async fn told(&self, key: &str) -> Value {
        let mut told = self.told.lock().await;
        limited(&format!("a line with {key} of the Go client"), async {
            loop {
                let line = told.recv().await.expect("it has ended");
                if line.get(key).is_some() {
                    return line;
                }
            }
        })
        .await
    }

    /// `kill -9`, and waits until it is gone.
    pub async fn kill(self) {
        self.process.into_inner().kill().await;
    }

    /// Whether it runs.
    pub async fn is_alive(&self) -> bool {
        self.process.lock().await.is_alive()
    }
}

//! A listener without any client library, so that a test knows exactly what reached it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::within;

/// Reads packets that are decimal numbers.
pub struct RawListener {
    write: OwnedWriteHalf,
    reading: JoinHandle<()>,
    seen: Arc<Mutex<BTreeSet<u64>>>,
    count: watch::Receiver<usize>,
}

impl RawListener {
    /// Listens when this returns.
    pub async fn start(server: &str, subject: &str) -> Self {
        let stream = TcpStream::connect(server).await.unwrap();
        let (read, mut write) = stream.into_split();
        let hello = format!("CONNECT {{\"verbose\":false}}\r\nSUB {subject} 1\r\nPING\r\n");
        write.write_all(hello.as_bytes()).await.unwrap();
        let mut read = BufReader::new(read);
        let seen = Arc::<Mutex<BTreeSet<u64>>>::default();
        let (counted, count) = watch::channel(0);
        within("PONG", until_pong(&mut read, &seen, &counted)).await;
        let reading = tokio::spawn({
            let seen = Arc::clone(&seen);
            async move { until_pong(&mut read, &seen, &counted).await }
        });
        Self { write, reading, seen, count }
    }

    /// Waits until it has received so many.
    pub async fn received(&mut self, packets: usize) {
        let enough = self.count.wait_for(|count| *count >= packets);
        within("the listener's packets", enough).await.unwrap();
    }

    /// Unsubscribes. Returns all that it ever got.
    pub async fn unsubscribe(mut self) -> BTreeSet<u64> {
        self.write.write_all(b"UNSUB 1\r\nPING\r\n").await.unwrap();
        within("the end of reading", self.reading).await.unwrap();
        std::mem::take(&mut *self.seen.lock().unwrap())
    }

    /// Dies, with whatever is unread in its socket. Returns what it had read.
    pub async fn kill(self) -> BTreeSet<u64> {
        self.reading.abort();
        let _ = self.reading.await;
        drop(self.write);
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

async fn until_pong(
    read: &mut BufReader<OwnedReadHalf>,
    seen: &Mutex<BTreeSet<u64>>,
    count: &watch::Sender<usize>,
) {
    let mut line = String::new();
    loop {
        line.clear();
        match read.read_line(&mut line).await {
            Ok(1..) if line.starts_with("MSG") => {}
            Ok(1..) if line.starts_with("PONG") => return,
            Ok(1..) => continue,
            _ => return,
        }
        let bytes: usize = line.split_whitespace().last().unwrap().parse().unwrap();
        let mut body = vec![0; bytes + 2];
        if read.read_exact(&mut body).await.is_err() {
            return;
        }
        let number = std::str::from_utf8(&body[..bytes]).unwrap().parse().unwrap();
        let mut seen = seen.lock().unwrap();
        assert!(seen.insert(number), "{number} came twice");
        count.send_replace(seen.len());
    }
}

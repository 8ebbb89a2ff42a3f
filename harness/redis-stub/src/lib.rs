//! Statuses on a port: what stands in for Redis where workers are processes of their own and nothing is installed.
//!
//! It speaks as much of Redis's protocol, RESP2, as [`RedisView`](payment_delivery::view::redis::RedisView) needs, on the
//! loopback interface, and keeps everything in memory:
//!
//! | command | as far as |
//! |---|---|
//! | `PING`, `INFO` | the version alone, which is lanebench's |
//! | `CLIENT ID`, `CLIENT SETINFO`, `CLIENT KILL ID n` | what the client sends on connecting, and an end to a connection |
//! | `SCRIPT LOAD`, `SCRIPT FLUSH`, `EVAL`, `EVALSHA` | the view's own script, known by its text and SHA-1 and done here without Lua |
//! | `HSET`, `HMGET` | hashes, as the harness's injections and the view's reads need them |
//! | `SET` | a plain text, so that a key of another kind can be there |
//! | `SCAN cursor MATCH pattern COUNT n`, `UNLINK` | clearing a prefix |
//!
//! Anything else is answered with `-ERR unknown command`. No logins, no databases, no expiry, no persistence: it is a
//! demonstration's view, like the rest of the embedded stack, and no figure measured on it is evidence of speed. Real
//! Redis is the judge: both pass the view's contract.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

mod command;
mod connection;
mod frame;
mod glob;
mod keys;
mod reply;
#[cfg(test)]
mod tests;

use command::Script;
use keys::Keys;

/// Pause after a connection that could not be accepted, such as for want of file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// A running server. Dropping it ends it and every connection.
#[derive(Debug)]
pub struct StatusServer {
    address: SocketAddr,
    tasks: TaskTracker,
    stop: DropGuard,
}

impl StatusServer {
    /// Starts one on a free port of the loopback interface, on the runtime of whoever calls.
    ///
    /// # Errors
    /// What the system says where it gives no port.
    pub async fn start() -> io::Result<Self> {
        Self::serving(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?)
    }

    /// Not asynchronous, so that what it spawns is compiled in this crate, for speed, whoever starts it.
    fn serving(listener: TcpListener) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(accept(listener, Arc::default(), stop.clone(), tasks.clone()));
        tasks.close();
        Ok(Self { address, tasks, stop: stop.drop_guard() })
    }

    /// Where it listens, as clients of Redis want to know it.
    pub fn url(&self) -> String {
        format!("redis://{}/", self.address)
    }

    /// Ends it, and returns when every connection is closed.
    pub async fn stop(self) {
        drop(self.stop);
        self.tasks.wait().await;
    }
}

/// Accepts until `stop`.
async fn accept(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken, tasks: TaskTracker) {
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, _)) => {
                let end = stop.child_token();
                let id = shared.enter(&end);
                let shared = Arc::clone(&shared);
                tasks.spawn(async move {
                    let served = end.run_until_cancelled(connection::serve(stream, id, &shared)).await;
                    if let Some(Err(error)) = served {
                        tracing::debug!(%error, id, "a status connection ended");
                    }
                    shared.leave(id);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a status connection was not accepted");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

/// What all connections share.
#[derive(Debug, Default)]
struct Shared {
    keys: Mutex<Keys>,
    script: Script,
    /// Whether the script was loaded since the start or the last flush.
    loaded: AtomicBool,
    last_id: AtomicU64,
    /// Open connections, by what ends them.
    open: Mutex<HashMap<u64, CancellationToken>>,
}

impl Shared {
    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, CancellationToken>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a connection in; its id, from 1.
    fn enter(&self, end: &CancellationToken) -> u64 {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        self.open().insert(id, end.clone());
        id
    }

    fn leave(&self, id: u64) {
        self.open().remove(&id);
    }

    /// Ends a connection; whether there was one.
    fn kill(&self, id: u64) -> bool {
        self.open().get(&id).map(CancellationToken::cancel).is_some()
    }
}

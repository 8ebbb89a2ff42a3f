//! Statuses in Redis: a hash `<prefix>delivery:<order id>` with the fields `revision` and `status`.
//!
//! Every write is `put_if_newer.lua`, compare-and-set on the revision, so it does not matter how late or how often a
//! write arrives, a write given up by its caller included.
//!
//! Where Redis itself loses a key (restart, eviction), a write that comes late can put an old status there. So a write says whether the key
//! was there, and whoever finds none looks at the row again ([`crate::view::publish`]). Two limits, each until the order's next write: a
//! worker that applied an order's first event and was frozen over the loss expects no key, and leaves that status; so does a reader
//! that is cut off between its write and its second look.

use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use redis::{ErrorKind, Script, ServerErrorKind};

use crate::delivery::{Status, StatusEntry};
use crate::event::{OrderId, Revision};
use crate::view::{Put, StatusView, ViewError};

mod connection;
#[cfg(any(test, feature = "contract-tests"))]
pub mod contract;
mod error;
mod server;

use connection::Reconnecting;
pub use server::RedisServer;

/// Orders asked for in one round trip.
const GET_CHUNK: usize = 500;

/// Statuses written in one round trip.
const PUT_CHUNK: usize = 500;

/// The server does not know the script, since it was started anew.
const NO_SCRIPT: ErrorKind = ErrorKind::Server(ServerErrorKind::NoScript);

/// Keys that Redis looks at in one step of a scan.
const SCAN_COUNT: usize = 1_000;

/// The Lua of every write. Its one key is the delivery's hash; its arguments are revision and status.
pub const PUT_IF_NEWER: &str = include_str!("put_if_newer.lua");

/// How long a [`RedisView`] waits.
#[derive(Clone, Copy, Debug)]
pub struct RedisTimeouts {
    /// A connection attempt that takes longer is given up.
    pub connect: Duration,
    /// A call that takes longer, once connected, is given up. Reading many orders counts each 500 as a call.
    pub call: Duration,
}

impl Default for RedisTimeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(2), call: Duration::from_secs(2) }
    }
}

/// A view that is being connected.
type Opening = Pin<Box<dyn Future<Output = Result<RedisView, ViewError>> + Send>>;

/// The status view in Redis, over one multiplexed connection that is made anew when it fails.
pub struct RedisView {
    connection: Reconnecting,
    prefix: String,
    put_if_newer: Script,
}

impl RedisView {
    /// Connects, so that a wrong address or password shows at once. All keys begin with `prefix`, which may be empty.
    ///
    /// # Errors
    /// [`ViewError::Unusable`] for a URL, login or certificate that cannot work, [`ViewError::Unavailable`] when no server
    /// answers in time.
    pub async fn connect(
        server: impl Into<RedisServer>,
        prefix: &str,
        timeouts: RedisTimeouts,
    ) -> Result<Self, ViewError> {
        Self::open(server.into(), prefix.to_owned(), timeouts).await
    }

    /// Boxed, so that the task which drives the connection is compiled in this crate, for speed, whoever connects.
    fn open(server: RedisServer, prefix: String, timeouts: RedisTimeouts) -> Opening {
        Box::pin(async move {
            let client = server.client()?;
            let view = Self {
                connection: Reconnecting::new(client, timeouts),
                prefix,
                put_if_newer: Script::new(PUT_IF_NEWER),
            };
            view.connection
                .call(|mut connection| async move { redis::cmd("PING").exec_async(&mut connection).await })
                .await?;
            Ok(view)
        })
    }

    /// Version of the server, such as `7.0.15`.
    ///
    /// # Errors
    /// [`ViewError`] as for any call.
    pub async fn server_version(&self) -> Result<String, ViewError> {
        let version = self.info("server", "redis_version").await?;
        version.ok_or_else(|| ViewError::Unusable("INFO server names no redis_version".into()))
    }

    /// How many keys the server has evicted since its start, to make room; `None` if it doesn't say.
    ///
    /// # Errors
    /// [`ViewError`] as for any call.
    pub async fn evicted_keys(&self) -> Result<Option<u64>, ViewError> {
        Ok(self.info("stats", "evicted_keys").await?.and_then(|keys| keys.parse().ok()))
    }

    async fn info(&self, section: &str, name: &str) -> Result<Option<String>, ViewError> {
        let info: String = self
            .connection
            .call(|mut connection| async move {
                redis::cmd("INFO").arg(section).query_async(&mut connection).await
            })
            .await?;
        let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        Ok(value.map(|value| value.trim().to_owned()))
    }

    /// A glob pattern of Redis that matches the keys of this view and no others.
    pub fn key_pattern(&self) -> String {
        format!("{}delivery:*", literal(&self.prefix))
    }

    /// The key under which the status of an order is kept.
    pub fn key(&self, order_id: &OrderId) -> String {
        format!("{}delivery:{order_id}", self.prefix)
    }
}

#[async_trait]
impl StatusView for RedisView {
    async fn put_if_newer(&self, entry: &StatusEntry) -> Result<Put, ViewError> {
        let mut script = self.put_if_newer.key(self.key(&entry.order_id));
        script.arg(entry.revision).arg(entry.status.as_str());
        // EVALSHA; the client loads the script and repeats where the server answers NOSCRIPT.
        let (revision, was_there) = self
            .connection
            .call(|mut connection| async move { script.invoke_async(&mut connection).await })
            .await?;
        Ok(Put { revision, was_there })
    }

    async fn put_all_if_newer(&self, entries: &[StatusEntry]) -> Result<Vec<Put>, ViewError> {
        let mut puts = Vec::with_capacity(entries.len());
        for chunk in entries.chunks(PUT_CHUNK) {
            let mut pipeline = redis::pipe();
            for entry in chunk {
                let script = pipeline.cmd("EVALSHA").arg(self.put_if_newer.get_hash()).arg(1);
                script.arg(self.key(&entry.order_id)).arg(entry.revision).arg(entry.status.as_str());
            }
            let load = &self.put_if_newer;
            let written: Vec<(Revision, bool)> = self
                .connection
                .call(|mut connection| async move {
                    match pipeline.query_async(&mut connection).await {
                        Err(unknown) if unknown.kind() == NO_SCRIPT => {
                            load.load_async(&mut connection).await?;
                            let answered: Vec<(Revision, bool)> =
                                pipeline.query_async(&mut connection).await?;
                            // What it finds now may be what it left the first time, from the write on at which another had loaded the script.
                            Ok(answered.into_iter().map(|(revision, _)| (revision, false)).collect())
                        }
                        answered => answered,
                    }
                })
                .await?;
            puts.extend(written.into_iter().map(|(revision, was_there)| Put { revision, was_there }));
        }
        Ok(puts)
    }

    async fn get(&self, order_ids: &[OrderId]) -> Result<Vec<Option<StatusEntry>>, ViewError> {
        let mut entries = Vec::with_capacity(order_ids.len());
        for chunk in order_ids.chunks(GET_CHUNK) {
            let mut pipeline = redis::pipe();
            for order_id in chunk {
                pipeline.cmd("HMGET").arg(self.key(order_id)).arg("revision").arg("status");
            }
            let hashes: Vec<(Option<Revision>, Option<String>)> = self
                .connection
                .call(|mut connection| async move { pipeline.query_async(&mut connection).await })
                .await?;
            for (order_id, (revision, status)) in chunk.iter().zip(hashes) {
                entries.push(entry(order_id, revision, status)?);
            }
        }
        Ok(entries)
    }

    /// Looks through all keys of the database. What is written meanwhile may stay.
    async fn clear(&self) -> Result<(), ViewError> {
        let pattern = self.key_pattern();
        let mut cursor: u64 = 0;
        loop {
            let pattern = pattern.as_str();
            let (next, keys): (u64, Vec<String>) = self
                .connection
                .call(|mut connection| async move {
                    let mut scan = redis::cmd("SCAN");
                    scan.arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(SCAN_COUNT);
                    scan.query_async(&mut connection).await
                })
                .await?;
            if !keys.is_empty() {
                self.connection
                    .call(|mut connection| async move {
                        redis::cmd("UNLINK").arg(keys).exec_async(&mut connection).await
                    })
                    .await?;
            }
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }
}

/// What the two fields of a hash say; nothing where the order has no hash.
fn entry(
    order_id: &OrderId,
    revision: Option<Revision>,
    status: Option<String>,
) -> Result<Option<StatusEntry>, ViewError> {
    let (Some(revision), Some(status)) = (revision, status) else {
        return Ok(None);
    };
    let status = Status::parse(&status).ok_or_else(|| {
        ViewError::Unusable(format!("the view holds the status {status:?} for order {order_id}"))
    })?;
    Ok(Some(StatusEntry { order_id: order_id.clone(), revision, status }))
}

/// `text` as a glob pattern of Redis that matches only itself.
fn literal(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '^' | '-' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_matches_only_itself() {
        assert_eq!(literal("run:1:"), "run:1:");
        assert_eq!(literal("a*b?[c]\\"), "a\\*b\\?\\[c\\]\\\\");
    }

    #[test]
    fn a_hash_that_holds_something_else_is_named() {
        let id = OrderId::new("o-1").unwrap();
        assert_eq!(entry(&id, None, Some("AMENDED".into())).unwrap(), None);
        let found = entry(&id, Some(2), Some("AMENDED".into())).unwrap().unwrap();
        assert_eq!((found.revision, found.status), (2, Status::Amended));
        assert!(entry(&id, Some(2), Some("LOST".into())).unwrap_err().to_string().contains("o-1"));
    }
}

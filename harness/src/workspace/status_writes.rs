//! Writes of statuses as they come, whoever makes them: Redis tells of each key that is written (keyspace notifications), and a read says
//! what the key holds by then.
//!
//! So a status is seen when it can be read, and never before: what is told is late, by one message and one answer of the server.

use std::time::{Duration, Instant};

use futures_util::{FutureExt as _, StreamExt as _};
use payment_delivery::delivery::{Status, StatusEntry};
use payment_delivery::event::OrderId;
use payment_delivery::view::redis::{RedisServer, RedisTimeouts, RedisView};
use payment_delivery::view::{StatusView as _, ViewError};
use redis::aio::PubSubStream;

use crate::error::RunError;

/// How long a server may take to tell of the first write. One that takes longer tells of none.
const FIRST_TOLD_WITHIN: Duration = Duration::from_secs(2);

/// And of each later one: it is known to tell, and a machine may stall.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

/// Writes of our own by which it is found out how late the server tells.
const LOOKS: u32 = 100;

/// Orders that are read at once, at most.
const READ_AT_ONCE: usize = 500;

/// Writes of one trial's statuses.
pub(crate) struct StatusWrites {
    told: PubSubStream,
    view: RedisView,
    /// What the key of each order begins with.
    key: String,
    late_by: Vec<Duration>,
}

impl StatusWrites {
    /// Subscribes, and sees whether the server tells. `None` where it does not: `notify-keyspace-events` lacks `K` and `h`, the user may not
    /// subscribe, or it is a stand-in.
    pub(super) async fn open(server: &RedisServer, prefix: &str) -> Result<Option<Self>, RunError> {
        let view = RedisView::connect(server, prefix, RedisTimeouts::default()).await?;
        let subscribed = async {
            let mut subscription = server.client().ok()?.get_async_pubsub().await.ok()?;
            subscription.psubscribe(format!("__keyspace@*__:{}", view.key_pattern())).await.ok()?;
            Some(subscription.into_on_message())
        };
        let Ok(Some(told)) = tokio::time::timeout(super::CONNECT_TIMEOUT, subscribed).await else {
            return Ok(None);
        };
        let look = look()?;
        let key = view.key(&look);
        let key = key.strip_suffix(look.as_str()).unwrap_or(&key).to_owned();
        let mut writes = Self { told, view, key, late_by: Vec::new() };
        let tells = writes.tells(&look).await;
        writes.view.clear().await?;
        Ok(tells?.then_some(writes))
    }

    /// Whether the server tells of writes of our own, and how late.
    async fn tells(&mut self, look: &OrderId) -> Result<bool, RunError> {
        let mut patience = FIRST_TOLD_WITHIN;
        for revision in 1..=LOOKS {
            let status = Status::at(revision);
            self.view.put_if_newer(&StatusEntry { order_id: look.clone(), revision, status }).await?;
            let written = Instant::now();
            // A server that tells of more than it needs to may tell of a write twice.
            let told = async {
                while self.next().await?.iter().all(|entry| entry.revision < revision) {}
                Ok::<_, ViewError>(())
            };
            if !matches!(tokio::time::timeout(patience, told).await, Ok(Ok(()))) {
                return Ok(false);
            }
            self.late_by.push(written.elapsed());
            patience = TOLD_WITHIN;
        }
        Ok(true)
    }

    /// How much later than its writer the harness sees a status, while there is no load.
    pub(crate) fn late_by(&self) -> &[Duration] {
        &self.late_by
    }

    /// What can be read of the orders that were written last, once there is one.
    ///
    /// # Errors
    /// [`ViewError`] where the server has gone; what it would have told is lost.
    pub(crate) async fn next(&mut self) -> Result<Vec<StatusEntry>, ViewError> {
        let mut orders = Vec::new();
        while orders.is_empty() {
            let Some(first) = self.told.next().await else {
                return Err(ViewError::Unavailable("it tells of writes no more".into()));
            };
            orders.extend(self.order(&first));
            while orders.len() < READ_AT_ONCE
                && let Some(Some(more)) = self.told.next().now_or_never()
            {
                orders.extend(self.order(&more));
            }
        }
        orders.sort_unstable();
        orders.dedup();
        Ok(self.view.get(&orders).await?.into_iter().flatten().collect())
    }

    /// The order whose key a message is about.
    fn order(&self, message: &redis::Msg) -> Option<OrderId> {
        let (_, key) = message.get_channel_name().split_once("__:")?;
        OrderId::new(key.strip_prefix(&self.key)?).ok()
    }
}

/// An order of our own.
fn look() -> Result<OrderId, RunError> {
    OrderId::new("lanebench-looks").map_err(|error| RunError::Load(error.to_string()))
}

//! A trial's statuses: where they are kept, how a consumer reaches them, and how one is set back on purpose.

use std::sync::Arc;

use payment_delivery::delivery::{Status, StatusEntry};
use payment_delivery::event::{OrderId, Revision};
use payment_delivery::view::memory::MemoryView;
use payment_delivery::view::redis::{RedisTimeouts, RedisView};
use payment_delivery::view::{StatusView, ViewError};

use crate::scenario::ScenarioError;
use crate::stack::Backing;

/// The statuses of a trial.
pub(in crate::scenario) enum Statuses {
    /// Keys under a prefix of their own.
    Redis { url: String, prefix: String, own: Box<RedisView> },
    /// A map of this process.
    Memory(MemoryView),
}

impl Statuses {
    pub(super) async fn open(backing: &Backing, prefix: String) -> Result<Self, ViewError> {
        match backing {
            Backing::Servers { redis_url, .. } | Backing::InProcess { statuses: Some(redis_url), .. } => {
                let own = Box::new(RedisView::connect(redis_url, &prefix, RedisTimeouts::default()).await?);
                Ok(Self::Redis { url: redis_url.clone(), prefix, own })
            }
            Backing::InProcess { statuses: None, .. } => Ok(Self::Memory(MemoryView::new())),
        }
    }

    /// The harness's own.
    pub(super) fn own(&self) -> &dyn StatusView {
        match self {
            Self::Redis { own, .. } => &**own,
            Self::Memory(view) => view,
        }
    }

    /// A consumer's: on a server a connection of its own.
    pub(in crate::scenario) async fn consumer(&self) -> Result<Arc<dyn StatusView>, ViewError> {
        match self {
            Self::Redis { url, prefix, .. } => {
                Ok(Arc::new(RedisView::connect(url, prefix, RedisTimeouts::default()).await?))
            }
            Self::Memory(view) => Ok(Arc::new(view.clone())),
        }
    }

    /// How a worker in a process of its own is told of them.
    pub(super) fn contract(&self) -> Result<Vec<(&'static str, String)>, ScenarioError> {
        match self {
            Self::Redis { url, prefix, .. } => {
                Ok(vec![("LANEBENCH_REDIS_URL", url.clone()), ("LANEBENCH_KEY_PREFIX", prefix.clone())])
            }
            Self::Memory(_) => {
                Err(ScenarioError::Load("a map of this process can't be reached by another one".into()))
            }
        }
    }

    /// Puts an older revision over a newer one, as no consumer can.
    pub(in crate::scenario) async fn set_back(
        &self,
        order_id: &OrderId,
        revision: Revision,
    ) -> Result<(), ScenarioError> {
        match self {
            Self::Redis { url, own, .. } => {
                let failed = |e: redis::RedisError| {
                    ScenarioError::Load(format!("the view could not be set back: {e}"))
                };
                let client = redis::Client::open(url.as_str()).map_err(failed)?;
                let mut connection = client.get_multiplexed_async_connection().await.map_err(failed)?;
                let mut set = redis::cmd("HSET");
                set.arg(own.key(order_id)).arg("revision").arg(revision);
                set.exec_async(&mut connection).await.map_err(failed)
            }
            Self::Memory(view) => {
                view.evict(order_id);
                let status = Status::at(revision);
                view.advance(&StatusEntry { order_id: order_id.clone(), revision, status }).await?;
                Ok(())
            }
        }
    }
}

//! A trial's statuses: where they are kept, how a consumer reaches them, and how one is set back on purpose.

use std::sync::Arc;

use payment_delivery::delivery::{Status, StatusEntry};
use payment_delivery::event::{OrderId, Revision};
use payment_delivery::view::memory::MemoryView;
use payment_delivery::view::redis::{RedisServer, RedisTimeouts, RedisView};
use payment_delivery::view::{StatusView, ViewError};

use super::StatusWrites;
use crate::error::RunError;
use crate::stack::{Backing, StackTarget};

/// The statuses of a trial.
pub(crate) enum Statuses {
    /// Keys under a prefix of their own.
    Redis {
        server: RedisServer,
        /// Where consumers find it.
        consumers: RedisServer,
        prefix: String,
        own: Box<RedisView>,
    },
    /// A map of this process.
    Memory(MemoryView),
}

impl Statuses {
    pub(crate) async fn open(target: &StackTarget, prefix: String) -> Result<Self, ViewError> {
        let (url, ca) = match &target.backing {
            Backing::Servers { redis_url, redis_ca, .. } => (redis_url.clone(), redis_ca.clone()),
            Backing::InProcess { statuses: Some(redis_url), .. } => (redis_url.clone(), None),
            Backing::InProcess { statuses: None, .. } => return Ok(Self::Memory(MemoryView::new())),
        };
        let server = RedisServer { url, ca };
        let consumers = match &target.consumers {
            Some(consumers) => RedisServer { url: consumers.redis_url.clone(), ..server.clone() },
            None => server.clone(),
        };
        let own = Box::new(RedisView::connect(&server, &prefix, RedisTimeouts::default()).await?);
        Ok(Self::Redis { server, consumers, prefix, own })
    }

    /// What the keys begin with, where there are keys.
    pub(crate) fn prefix(&self) -> Option<&str> {
        match self {
            Self::Redis { prefix, .. } => Some(prefix),
            Self::Memory(_) => None,
        }
    }

    /// The harness's own.
    pub(crate) fn own(&self) -> &dyn StatusView {
        match self {
            Self::Redis { own, .. } => &**own,
            Self::Memory(view) => view,
        }
    }

    /// Keys that the server has evicted since its start; none where it doesn't say, or there is no server.
    pub(crate) async fn evicted(&self) -> Result<u64, ViewError> {
        match self {
            Self::Redis { own, .. } => Ok(own.evicted_keys().await?.unwrap_or(0)),
            Self::Memory(_) => Ok(0),
        }
    }

    /// A consumer's: on a server a connection of its own.
    pub(crate) async fn consumer(&self) -> Result<Arc<dyn StatusView>, ViewError> {
        match self {
            Self::Redis { consumers, prefix, .. } => {
                Ok(Arc::new(RedisView::connect(consumers, prefix, RedisTimeouts::default()).await?))
            }
            Self::Memory(view) => Ok(Arc::new(view.clone())),
        }
    }

    /// Their writes as they come; none where nobody tells of them.
    pub(crate) async fn writes(&self) -> Result<Option<StatusWrites>, RunError> {
        match self {
            Self::Redis { server, prefix, .. } => StatusWrites::open(server, prefix).await,
            Self::Memory(_) => Ok(None),
        }
    }

    /// How a worker in a process of its own is told of them.
    pub(crate) fn contract(&self) -> Result<Vec<(&'static str, String)>, RunError> {
        match self {
            Self::Redis { consumers: server, prefix, .. } => {
                let mut variables = vec![
                    ("LANEBENCH_REDIS_URL", server.url.clone()),
                    ("LANEBENCH_KEY_PREFIX", prefix.clone()),
                ];
                // Absolute: a worker may work in another directory.
                let ca = server.ca.as_ref().map(|ca| std::path::absolute(ca).unwrap_or_else(|_| ca.clone()));
                variables.extend(ca.map(|ca| ("LANEBENCH_REDIS_CA", ca.display().to_string())));
                Ok(variables)
            }
            Self::Memory(_) => {
                Err(RunError::Load("a map of this process can't be reached by another one".into()))
            }
        }
    }

    /// Puts an older revision over a newer one, as no consumer can.
    pub(crate) async fn set_back(&self, order_id: &OrderId, revision: Revision) -> Result<(), RunError> {
        match self {
            Self::Redis { server, own, .. } => {
                let failed =
                    |e: redis::RedisError| RunError::Load(format!("the view could not be set back: {e}"));
                let client = server.client()?;
                let mut connection = client.get_multiplexed_async_connection().await.map_err(failed)?;
                let mut set = redis::cmd("HSET");
                set.arg(own.key(order_id)).arg("revision").arg(revision);
                set.exec_async(&mut connection).await.map_err(failed)
            }
            Self::Memory(view) => {
                view.evict(order_id);
                let status = Status::at(revision);
                view.put_if_newer(&StatusEntry { order_id: order_id.clone(), revision, status }).await?;
                Ok(())
            }
        }
    }
}

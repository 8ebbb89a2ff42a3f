//! One multiplexed connection, made anew after a failure.
//!
//! Not the client's own `ConnectionManager`: that one stays on a connection whose answers time out, and makes callers
//! wait through its back-off. Here a failed call drops the connection and the next call makes one attempt at another;
//! who calls again, and when, is the caller's business.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, RedisResult};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::{RedisTimeouts, error};
use crate::view::ViewError;

pub(super) struct Reconnecting {
    client: Client,
    config: AsyncConnectionConfig,
    timeouts: RedisTimeouts,
    current: Mutex<Current>,
}

struct Current {
    /// Counts the connections, so that a late failure on an old one does not drop its successor.
    generation: u64,
    connection: Option<MultiplexedConnection>,
}

impl Reconnecting {
    pub(super) fn new(client: Client, timeouts: RedisTimeouts) -> Self {
        // One bound a call, around all of its round trips: the client's own would only count from its sending.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(timeouts.connect))
            .set_response_timeout(None);
        let current = Mutex::new(Current { generation: 0, connection: None });
        Self { client, config, timeouts, current }
    }

    /// Makes one call, connecting first where there is no connection.
    pub(super) async fn call<T, F>(
        &self,
        work: impl FnOnce(MultiplexedConnection) -> F,
    ) -> Result<T, ViewError>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let (generation, connection) = timeout(self.timeouts.connect, self.connection())
            .await
            .map_err(|_| late("no connection came about", self.timeouts.connect))??;
        let failed = match timeout(self.timeouts.call, work(connection)).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(failed)) if is_answer(&failed) => return Err(error::sorted(&failed)),
            Ok(Err(failed)) => error::sorted(&failed),
            Err(_) => late("a call did not end", self.timeouts.call),
        };
        let mut current = self.current.lock().await;
        if current.generation == generation {
            current.connection = None;
        }
        Err(failed)
    }

    async fn connection(&self) -> Result<(u64, MultiplexedConnection), ViewError> {
        let mut current = self.current.lock().await;
        let connection = match &current.connection {
            Some(connection) => connection.clone(),
            None => {
                let made = self.client.get_multiplexed_async_connection_with_config(&self.config).await;
                let made = made.map_err(|failed| error::sorted(&failed))?;
                current.generation += 1;
                current.connection.insert(made).clone()
            }
        };
        Ok((current.generation, connection))
    }
}

/// Whether the server itself said so; the connection is sound then.
fn is_answer(failed: &RedisError) -> bool {
    failed.code().is_some()
}

fn late(what: &str, within: Duration) -> ViewError {
    ViewError::Unavailable(format!("{what} within {} ms", within.as_millis()))
}

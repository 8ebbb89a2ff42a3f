//! A bounded handful of connections, each call bounded in time.
//!
//! Not sqlx's pool: that one pings a connection each time it comes back, a second round trip for every event, and it
//! keeps a connection whose call was cut short. Here a connection is kept only after a call that ended well or was
//! refused by the database; anything else closes it, so no call ever meets what another one left behind.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sqlx::{ConnectOptions, Connection};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, error::Elapsed, timeout_at};

use super::StoreError;

/// How long a call may wait.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    /// A connection attempt that takes longer is given up.
    pub(super) connect: Duration,
    /// A call that takes longer in all is given up.
    pub(super) call: Duration,
}

pub(super) struct Connections<O: ConnectOptions<Connection: Sized>> {
    options: O,
    patience: Patience,
    /// From what sqlx says to whose fault it is.
    sorted: fn(sqlx::Error) -> StoreError,
    /// Given out in the order in which they were asked for.
    permits: Semaphore,
    idle: Mutex<Vec<O::Connection>>,
}

impl<O: ConnectOptions<Connection: Sized>> Connections<O> {
    pub(super) fn new(
        options: O,
        max: usize,
        patience: Patience,
        sorted: fn(sqlx::Error) -> StoreError,
    ) -> Self {
        Self {
            options,
            patience,
            sorted,
            permits: Semaphore::new(max),
            idle: Mutex::new(Vec::with_capacity(max)),
        }
    }

    /// A connection for one call, whose time runs from now.
    pub(super) async fn lease(&self) -> Result<Lease<'_, O>, StoreError> {
        let start = Instant::now();
        let deadline = start + self.patience.call;
        let permit = timeout_at(deadline, self.permits.acquire())
            .await
            .map_err(|_| late("no connection was free", self.patience.call))?
            .expect("the semaphore is never closed");
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => timeout_at(deadline.min(Instant::now() + self.patience.connect), self.options.connect())
                .await
                .map_err(|_| late("no connection came about", self.patience.connect))?
                .map_err(self.sorted)?,
        };
        Ok(Lease { home: self, connection, deadline, _permit: permit })
    }

    /// How each connection is made, for a session beside them.
    #[cfg(any(test, feature = "contract-tests"))]
    pub(super) fn options(&self) -> &O {
        &self.options
    }

    /// Closes what is idle.
    pub(super) async fn close(&self) {
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        for connection in idle {
            // A goodbye that fails or is not answered in time leaves a socket that is closed all the same.
            if timeout_at(Instant::now() + self.patience.connect, connection.close()).await.is_err() {
                tracing::debug!("a store connection did not close in time");
            }
        }
    }
}

/// One call's use of a connection. Dropped without [`Self::settle`], it closes the connection.
pub(super) struct Lease<'a, O: ConnectOptions<Connection: Sized>> {
    home: &'a Connections<O>,
    connection: O::Connection,
    deadline: Instant,
    _permit: SemaphorePermit<'a>,
}

impl<O: ConnectOptions<Connection: Sized>> Lease<'_, O> {
    pub(super) fn connection(&mut self) -> &mut O::Connection {
        &mut self.connection
    }

    /// By when the call must have ended.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Ends the call, and keeps the connection if it can be trusted.
    pub(super) fn settle<T>(self, ended: Result<Result<T, StoreError>, Elapsed>) -> Result<T, StoreError> {
        let Ok(result) = ended else {
            return Err(late("a call did not end", self.home.patience.call));
        };
        if matches!(result, Ok(_) | Err(StoreError::Refused { .. })) {
            self.home.idle.lock().unwrap_or_else(PoisonError::into_inner).push(self.connection);
        }
        result
    }
}

fn late(what: &str, within: Duration) -> StoreError {
    StoreError::Unavailable(format!("{what} within {} ms", within.as_millis()))
}

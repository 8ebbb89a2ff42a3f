//! A bounded handful of connections, each call bounded in time.
//!
//! Not sqlx's pool: that one pings a connection each time it comes back, a second round trip for every event, and it
//! keeps a connection whose call was cut short. Here a connection is kept only after a call that ended well or was
//! refused by the server; anything else closes it, so no call ever meets what another one left behind.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, error::Elapsed, timeout_at};

use super::error;
use crate::store::StoreError;

pub(super) struct Connections {
    options: PgConnectOptions,
    connect_timeout: Duration,
    call_timeout: Duration,
    permits: Semaphore,
    idle: Mutex<Vec<PgConnection>>,
}

impl Connections {
    pub(super) fn new(
        options: PgConnectOptions,
        max: usize,
        connect_timeout: Duration,
        call_timeout: Duration,
    ) -> Self {
        Self {
            options,
            connect_timeout,
            call_timeout,
            permits: Semaphore::new(max),
            idle: Mutex::new(Vec::with_capacity(max)),
        }
    }

    /// A connection for one call, whose time runs from now.
    pub(super) async fn lease(&self) -> Result<Lease<'_>, StoreError> {
        let start = Instant::now();
        let deadline = start + self.call_timeout;
        let permit = timeout_at(deadline, self.permits.acquire())
            .await
            .map_err(|_| late("no connection was free", self.call_timeout))?
            .expect("the semaphore is never closed");
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => timeout_at(deadline.min(Instant::now() + self.connect_timeout), self.options.connect())
                .await
                .map_err(|_| late("no connection came about", self.connect_timeout))?
                .map_err(error::sorted)?,
        };
        Ok(Lease { home: self, connection, deadline, _permit: permit })
    }

    /// Closes what is idle.
    pub(super) async fn close(&self) {
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        for connection in idle {
            // A goodbye that fails or is not answered in time leaves a socket that is closed all the same.
            if timeout_at(Instant::now() + self.connect_timeout, connection.close()).await.is_err() {
                tracing::debug!("a store connection did not close in time");
            }
        }
    }
}

/// One call's use of a connection. Dropped without [`Self::settle`], it closes the connection.
pub(super) struct Lease<'a> {
    home: &'a Connections,
    connection: PgConnection,
    deadline: Instant,
    _permit: SemaphorePermit<'a>,
}

impl Lease<'_> {
    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// By when the call must have ended.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Ends the call, and keeps the connection if it can be trusted.
    pub(super) fn settle<T>(self, ended: Result<Result<T, StoreError>, Elapsed>) -> Result<T, StoreError> {
        let Ok(result) = ended else {
            return Err(late("a call did not end", self.home.call_timeout));
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

//! Deliveries in a file of SQLite, for the stack that needs cargo only.
//!
//! The file is in WAL mode with `synchronous` off: a commit outlives the process that made it, and not the machine. What
//! it costs says nothing about a store that keeps its promises through a power cut.
//!
//! # One round trip an event
//! As in PostgreSQL, by the same statements (`store/sql.rs`, `store/session.rs`): a message that follows its row is one
//! statement in autocommit, whose choice rests on the message alone. Only a gap and a drain are transactions of several
//! statements, since SQLite has no statement that writes two tables.
//!
//! # Why nothing slips between two stores
//! SQLite has one write lock for the file, and a statement that writes judges its `WHERE` under it. The transactions take
//! it at their start (`BEGIN IMMEDIATE`), so what they read is what they change. The reasons given for PostgreSQL's
//! row locks hold here for the whole file.
//!
//! # Queues instead of polling
//! Who finds the file locked sleeps for milliseconds and asks again, which a measurement would see. So the consumers of
//! one process share one store with one connection, given out in the order in which they asked; only a second store
//! or process on the same file comes to the lock.
//!
//! # Two traps of sqlx
//! - `fetch_optional` and `fetch_one` stop after the first row, and a statement that writes and returns a row commits
//!   only then, in a reset whose error is dropped: a full disk would pass for success. So all that writes is read to its
//!   end, with `fetch_all` or `execute`.
//! - After an error that made SQLite end the transaction itself, sqlx still counts one open, and a call that was given
//!   up may have left one. A connection is kept only after a call that ended well or was refused.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteRow};
use sqlx::{Connection, Sqlite};
use tokio::time::{Instant, sleep, timeout_at};

use crate::delivery::{Delivery, Fold, StatusEntry};
use crate::event::OrderId;
use crate::kafka::Origin;
use crate::store::connections::{Connections, Patience};
use crate::store::pages::{self, Pages};
use crate::store::session::Session;
use crate::store::{DeliveryStore, Outcome, PAGE, Parked, StoreError, row, sql as shared};

mod apply;
mod error;
mod options;
mod payments;
mod statements;
#[cfg(test)]
mod tests;

pub use options::SqliteOptions;

use statements as sql;

/// How long [`SqliteStore::open`] leaves a locked file alone before it tries again.
const REOPEN_AFTER: Duration = Duration::from_millis(5);

/// Deliveries in a file of SQLite.
pub struct SqliteStore {
    connections: Connections<SqliteConnectOptions>,
}

impl SqliteStore {
    /// Opens the file at `path`, and creates it if it is missing. Creates no tables; see [`DeliveryStore::prepare`].
    ///
    /// Beside it SQLite keeps two more, named as it is with `-wal` and `-shm` at the end, for as long as it is open.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] for a path where no file can be or one that holds something else,
    /// [`StoreError::Unavailable`] when it stays locked.
    pub async fn open(path: &Path, options: SqliteOptions) -> Result<Self, StoreError> {
        let patience = Patience { connect: options.call_timeout, call: options.call_timeout };
        let connections = Connections::new(options.connect_options(path)?, 1, patience, error::sorted);
        // The switch to WAL, on a new file that several open at once, fails at once where any other lock would be waited for.
        let deadline = Instant::now() + options.call_timeout;
        let lease = loop {
            match connections.lease().await {
                Err(StoreError::Unavailable(_)) if Instant::now() < deadline => sleep(REOPEN_AFTER).await,
                opened => break opened?,
            }
        };
        lease.settle(Ok(Ok(())))?;
        Ok(Self { connections })
    }

    /// `version` (such as `3.51.1`), `journal_mode` and `synchronous` (such as `off`), as this store's
    /// connection has them.
    ///
    /// # Errors
    /// [`StoreError`] as for any call.
    pub async fn settings(&self) -> Result<BTreeMap<String, String>, StoreError> {
        let mut lease = self.connections.lease().await?;
        let deadline = lease.deadline();
        let query = sqlx::query_as::<_, (String, String)>(sql::SETTINGS).fetch_all(lease.connection());
        let rows = timeout_at(deadline, query).await.map(|rows| rows.map_err(error::sorted));
        Ok(lease.settle(rows)?.into_iter().collect())
    }

    /// Closes the file, which takes `-wal` and `-shm` away with it if no one else has it open. Without it, that happens
    /// soon after the store is dropped.
    pub async fn close(&self) {
        self.connections.close().await;
    }

    /// Several statements as one transaction.
    async fn execute(&self, statements: &'static str) -> Result<(), StoreError> {
        let mut lease = self.connections.lease().await?;
        let deadline = lease.deadline();
        let ended = timeout_at(deadline, async {
            let mut transaction = lease.connection().begin_with(sql::BEGIN).await?;
            sqlx::raw_sql(statements).execute(&mut *transaction).await?;
            transaction.commit().await
        })
        .await;
        lease.settle(ended.map(|done| done.map_err(error::sorted)))
    }

    /// One page of at most [`PAGE`] rows, bounded in time as a call of its own.
    async fn page(
        &self,
        query: sqlx::query::Query<'_, Sqlite, SqliteArguments>,
    ) -> Result<Vec<SqliteRow>, StoreError> {
        let mut lease = self.connections.lease().await?;
        let deadline = lease.deadline();
        let ended = timeout_at(deadline, query.fetch_all(lease.connection())).await;
        lease.settle(ended.map(|rows| rows.map_err(error::sorted)))
    }
}

impl Pages for SqliteStore {
    type Row = SqliteRow;

    async fn rows_after(&self, order_id: &str) -> Result<Vec<SqliteRow>, StoreError> {
        self.page(sqlx::query(shared::DELIVERIES).bind(order_id).bind(PAGE)).await
    }

    async fn parked_after(&self, order_id: &str, last: i32) -> Result<Vec<SqliteRow>, StoreError> {
        self.page(sqlx::query(shared::PARKED).bind(order_id).bind(last).bind(PAGE)).await
    }
}

#[async_trait]
impl DeliveryStore for SqliteStore {
    async fn apply(&self, fold: &Fold, origin: Origin) -> Result<Outcome, StoreError> {
        error::storable(fold)?;
        let mut lease = self.connections.lease().await?;
        let deadline = lease.deadline();
        let ended = timeout_at(deadline, Session::<Sqlite>(lease.connection()).apply(fold, origin)).await;
        lease.settle(ended)
    }

    async fn apply_all(&self, folds: &[(Fold, Origin)]) -> Result<Vec<Option<StatusEntry>>, StoreError> {
        folds.iter().try_for_each(|(fold, _)| error::storable(fold))?;
        let mut lease = self.connections.lease().await?;
        let deadline = lease.deadline();
        let ended = timeout_at(deadline, Session::<Sqlite>(lease.connection()).apply_all(folds)).await;
        lease.settle(ended)
    }

    async fn delivery(&self, order_id: &OrderId) -> Result<Option<Delivery>, StoreError> {
        let rows = self.page(sqlx::query(shared::DELIVERY).bind(order_id.as_str())).await?;
        rows.first().map(row::delivery).transpose()
    }

    async fn deliveries_of(&self, order_ids: &[OrderId]) -> Result<Vec<Delivery>, StoreError> {
        let order_ids: serde_json::Value = order_ids.iter().map(OrderId::as_str).collect();
        let rows = self.page(sqlx::query(sql::DELIVERIES_OF).bind(order_ids.to_string())).await?;
        rows.iter().map(row::delivery).collect()
    }

    async fn deliveries_after(&self, after: Option<&OrderId>) -> Result<Vec<Delivery>, StoreError> {
        pages::deliveries(self, after).await
    }

    async fn parked(&self) -> Result<Vec<Parked>, StoreError> {
        pages::parked(self).await
    }

    async fn prepare(&self) -> Result<(), StoreError> {
        self.execute(sql::SCHEMA).await
    }

    async fn clear(&self) -> Result<(), StoreError> {
        self.execute(sql::CLEAR).await
    }
}

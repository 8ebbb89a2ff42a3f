//! Deliveries in PostgreSQL.
//!
//! # One round trip an event
//! The guard is one statement in autocommit (`store/sql.rs`): an upsert for a message that starts at revision 1, an
//! update for any other, each with the domain rule in its `WHERE`. Which of the two is decided by the message alone.
//! Only when it returns no row is there a second statement, which parks the message or tells why not.
//!
//! # Why nothing slips between two sessions
//! At READ COMMITTED a statement that meets a row locked by another waits, and then judges its `WHERE`, its `SET` and its
//! `RETURNING` on the row as the other left it. Every write of an order goes through its row in `deliveries`, a row
//! of revision 0 if need be, so all writes of one order form one line:
//!
//! - *Two guards.* The second sees the first's revision, and takes nothing that is applied already.
//! - *A park before a guard that fills the gap.* The guard's `RETURNING` shows `has_parked`, and the drain follows.
//! - *A guard that fills the gap before a park.* The park's own condition fails on the new revision; it writes
//!   nothing and the message starts over.
//! - *A drain and a park.* The drain holds the row's lock and takes a new snapshot for each statement after it, so it
//!   sees all that was parked before; what is parked later waits for the lock and is judged by the drained row, and
//!   `has_parked`, cleared under the lock, is set again with it.
//! - *The row that the second statement tells* may be older than the present one. Revisions only grow, so "already
//!   held" stays true; any other answer starts over.
//! - *A stop between guard and drain.* The message's offset is not committed then, it comes again, is ignored, and
//!   the ignored path drains too.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::Postgres;
use sqlx::postgres::{PgConnectOptions, PgRow};
use tokio::time::timeout_at;

use crate::delivery::{Delivery, Fold, StatusEntry};
use crate::event::OrderId;
use crate::kafka::Origin;
use crate::store::connections::{Connections, Patience};
use crate::store::pages::{self, Pages};
use crate::store::session::Session;
use crate::store::{DeliveryStore, Outcome, PAGE, Parked, StoreError, row, sql as shared};

mod apply;
#[cfg(any(test, feature = "contract-tests"))]
pub mod contract;
mod error;
mod options;
mod payments;
mod statements;

pub use options::PostgresOptions;

use statements as sql;

/// Deliveries in one schema of a PostgreSQL database.
pub struct PostgresStore {
    connections: Connections<PgConnectOptions>,
    row_held_max: Duration,
}

/// The server and what it was told about durability, for the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSettings {
    /// Such as `15.14`.
    pub version: String,
    /// `fsync`, `synchronous_commit`, `full_page_writes`, `wal_sync_method`, as this store's sessions have them.
    pub settings: BTreeMap<String, String>,
}

impl PostgresStore {
    /// Connects, so that a wrong address or password shows at once. Creates nothing; see [`DeliveryStore::prepare`].
    ///
    /// # Errors
    /// [`StoreError::Unusable`] for a URL, option or login that cannot work, [`StoreError::Unavailable`] when no
    /// server answers within `connect_timeout`.
    pub async fn connect(url: &str, options: PostgresOptions) -> Result<Self, StoreError> {
        let row_held_max = options.row_held_max();
        let connections = Connections::new(
            options.connect_options(url)?,
            options.max_connections,
            Patience { connect: options.connect_timeout, call: options.call_timeout },
            error::sorted,
        );
        let lease = connections.lease().await?;
        lease.settle(Ok(Ok(())))?;
        Ok(Self { connections, row_held_max })
    }

    /// What the server is and how durable its commits are.
    ///
    /// # Errors
    /// [`StoreError`] as for any call.
    pub async fn server_settings(&self) -> Result<ServerSettings, StoreError> {
        let mut lease = self.connections.lease().await?;
        let deadline = lease.deadline();
        let query = sqlx::query_as::<_, (String, String)>(sql::SETTINGS).fetch_all(lease.connection());
        let rows = timeout_at(deadline, query).await.map(|rows| rows.map_err(error::sorted));
        let mut settings: BTreeMap<String, String> = lease.settle(rows)?.into_iter().collect();
        let version = settings.remove("server_version").unwrap_or_default();
        // Debian appends its package: "15.14 (Debian 15.14-0+deb12u1)".
        let version = version.split_whitespace().next().unwrap_or_default().into();
        Ok(ServerSettings { version, settings })
    }

    /// Makes the schema, for whoever must not meet another's tables in it; [`DeliveryStore::prepare`] then makes its own.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] where there is such a schema already, which then stays as it is; [`StoreError`] as for any
    /// call.
    pub async fn create_schema(&self) -> Result<(), StoreError> {
        self.execute(sql::CREATE).await
    }

    /// Drops the tables, and the schema too if `prepare` made it and nothing else is in it.
    ///
    /// # Errors
    /// [`StoreError`] as for any call.
    pub async fn drop_schema(&self) -> Result<(), StoreError> {
        self.execute(sql::DROP).await
    }

    /// Closes the idle connections with a goodbye; without it they end when the store is dropped.
    pub async fn close(&self) {
        self.connections.close().await;
    }

    async fn execute(&self, statement: &'static str) -> Result<(), StoreError> {
        let mut lease = self.connections.lease().await?;
        let deadline = lease.deadline();
        let query = sqlx::query(statement).execute(lease.connection());
        let ended = timeout_at(deadline, query).await;
        lease.settle(ended.map(|done| done.map(drop).map_err(error::sorted)))
    }

    /// One page of at most [`PAGE`] rows, bounded in time as a call of its own.
    async fn page<'q>(
        &self,
        query: sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>,
    ) -> Result<Vec<PgRow>, StoreError> {
        let mut lease = self.connections.lease().await?;
        let deadline = lease.deadline();
        let ended = timeout_at(deadline, query.fetch_all(lease.connection())).await;
        lease.settle(ended.map(|rows| rows.map_err(error::sorted)))
    }
}

impl Pages for PostgresStore {
    type Row = PgRow;

    async fn rows_after(&self, order_id: &str) -> Result<Vec<PgRow>, StoreError> {
        self.page(sqlx::query(shared::DELIVERIES).bind(order_id).bind(PAGE)).await
    }

    async fn parked_after(&self, order_id: &str, last: i32) -> Result<Vec<PgRow>, StoreError> {
        self.page(sqlx::query(shared::PARKED).bind(order_id).bind(last).bind(PAGE)).await
    }
}

#[async_trait]
impl DeliveryStore for PostgresStore {
    fn row_held_max(&self) -> Duration {
        self.row_held_max
    }

    async fn apply(&self, fold: &Fold, origin: Origin) -> Result<Outcome, StoreError> {
        let mut lease = self.connections.lease().await?;
        let deadline = lease.deadline();
        let ended = timeout_at(deadline, Session::<Postgres>(lease.connection()).apply(fold, origin)).await;
        lease.settle(ended)
    }

    async fn apply_all(&self, folds: &[(Fold, Origin)]) -> Result<Vec<Option<StatusEntry>>, StoreError> {
        let mut lease = self.connections.lease().await?;
        let deadline = lease.deadline();
        let ended = timeout_at(deadline, Session::<Postgres>(lease.connection()).apply_all(folds)).await;
        lease.settle(ended)
    }

    async fn delivery(&self, order_id: &OrderId) -> Result<Option<Delivery>, StoreError> {
        let rows = self.page(sqlx::query(shared::DELIVERY).bind(order_id.as_str())).await?;
        rows.first().map(row::delivery).transpose()
    }

    async fn deliveries_of(&self, order_ids: &[OrderId]) -> Result<Vec<Delivery>, StoreError> {
        let order_ids: Vec<&str> = order_ids.iter().map(OrderId::as_str).collect();
        let rows = self.page(sqlx::query(sql::DELIVERIES_OF).bind(order_ids)).await?;
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

//! Rows and statuses as a worker without any rule would write them.

use std::str::FromStr as _;

use payment_delivery::delivery::{Fold, Status};
use payment_delivery::event::{OrderId, Revision};
use payment_delivery::kafka::Origin;
use payment_delivery::store::StoreError;
use payment_delivery::tls;
use payment_delivery::view::ViewError;
use payment_delivery::view::redis::RedisServer;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use crate::worker::Database;

/// The row as the event says, whatever it was.
const OVERWRITE: &str = "
UPDATE deliveries SET revision = $2, applied = $3, status = $4, amount_minor = $5, currency = $6, address = $7,
  log_partition = $8, log_offset = $9
WHERE order_id = $1";

const INSERT: &str = "
INSERT INTO deliveries
  (order_id, revision, applied, status, amount_minor, currency, address, log_partition, log_offset)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

const COUNT_AGAIN: &str = "UPDATE deliveries SET applied = applied + 1 WHERE order_id = $1";

const FORGET: &str = "DELETE FROM parked_events WHERE order_id = $1 AND last = $2";

/// The rows, over a connection for each statement.
#[derive(Clone, Debug)]
pub(in crate::worker::handicap) struct RawRows(pub(in crate::worker::handicap) Database);

/// Runs a statement on either database: sqlx's types for the two have nothing in common.
macro_rules! execute {
    ($rows:expr, $sql:expr $(, $value:expr)*) => {
        match &$rows.0 {
            Database::Postgres { url, schema } => {
                tls::provide();
                let options = PgConnectOptions::from_str(url).map_err(|error| failed(&error))?.options([("search_path", schema)]);
                let mut connection = options.connect().await.map_err(|error| failed(&error))?;
                let query = sqlx::query($sql)$(.bind($value))*;
                query.execute(&mut connection).await.map_err(|error| failed(&error))?;
            }
            Database::Sqlite { file } => {
                let options = SqliteConnectOptions::new().filename(file);
                let mut connection = options.connect().await.map_err(|error| failed(&error))?;
                let query = sqlx::query($sql)$(.bind($value))*;
                query.execute(&mut connection).await.map_err(|error| failed(&error))?;
                connection.close().await.map_err(|error| failed(&error))?;
            }
        }
    };
}

fn failed(error: &sqlx::Error) -> StoreError {
    StoreError::Unavailable(format!("a fault could not be planted: {error}"))
}

impl RawRows {
    /// Writes the event over its row, without a guard.
    pub(super) async fn overwrite(
        &self,
        fold: &Fold,
        origin: Origin,
        applied: u32,
    ) -> Result<(), StoreError> {
        self.write(OVERWRITE, fold, origin, applied).await
    }

    /// Makes a row.
    pub(super) async fn insert(&self, fold: &Fold, origin: Origin) -> Result<(), StoreError> {
        self.write(INSERT, fold, origin, fold.last()).await
    }

    /// Counts the last event of a row once more.
    pub(super) async fn count_again(&self, order_id: &OrderId) -> Result<(), StoreError> {
        execute!(self, COUNT_AGAIN, order_id.as_str());
        Ok(())
    }

    /// Forgets a parked event.
    pub(super) async fn forget(&self, order_id: &OrderId, revision: Revision) -> Result<(), StoreError> {
        execute!(self, FORGET, order_id.as_str(), revision as i32);
        Ok(())
    }

    async fn write(
        &self,
        sql: &'static str,
        fold: &Fold,
        origin: Origin,
        applied: u32,
    ) -> Result<(), StoreError> {
        let event = &fold.event;
        execute!(
            self,
            sql,
            event.order_id.as_str(),
            fold.last() as i32,
            applied as i32,
            Status::at(fold.last()).as_str(),
            event.amount_minor,
            event.currency.as_str(),
            event.address.as_str(),
            origin.partition,
            origin.offset
        );
        Ok(())
    }
}

/// The statuses, over a connection for each command.
#[derive(Clone, Debug)]
pub(in crate::worker::handicap) struct RawStatuses {
    pub(in crate::worker::handicap) server: RedisServer,
    pub(in crate::worker::handicap) prefix: String,
}

impl RawStatuses {
    /// Writes a status, whatever the view holds.
    pub(super) async fn set(&self, order_id: &OrderId, revision: Revision) -> Result<(), ViewError> {
        let failed = |error: redis::RedisError| {
            ViewError::Unavailable(format!("a fault could not be planted: {error}"))
        };
        let mut connection =
            self.server.client()?.get_multiplexed_async_connection().await.map_err(failed)?;
        let mut set = redis::cmd("HSET");
        set.arg(format!("{}delivery:{order_id}", self.prefix));
        set.arg("revision").arg(revision).arg("status").arg(Status::at(revision).as_str());
        set.exec_async(&mut connection).await.map_err(failed)
    }
}

//! A run's rows: where they are kept, how a consumer reaches them, and how one is taken away on purpose.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use payment_delivery::event::OrderId;
use payment_delivery::store::payments::PaymentLog;
use payment_delivery::store::postgres::{PostgresOptions, PostgresStore};
use payment_delivery::store::sqlite::{SqliteOptions, SqliteStore};
use payment_delivery::store::{DeliveryStore, StoreError};
use payment_delivery::tls;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use super::CONNECT_TIMEOUT;
use crate::error::RunError;
use crate::stack::{Backing, StackTarget};

/// Of the harness's own: one to prepare and check with, one for whoever asks meanwhile.
const OWN_CONNECTIONS: usize = 2;

/// Of the REST API: a payment needs one for three short statements.
const API_CONNECTIONS: usize = 8;

/// How long what is asked over a connection may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// Seconds, waits for locks included.
    Short,
    /// As long as it takes: a whole table is read.
    Long,
}

/// What the REST API keeps payments in, and asks for rows.
type Service = (Arc<dyn PaymentLog>, Arc<dyn DeliveryStore>);

/// The deliveries of a run.
pub(crate) enum Rows {
    /// A schema of its own.
    Postgres {
        url: String,
        /// Where consumers find it.
        consumers: String,
        schema: String,
        own: Box<PostgresStore>,
    },
    /// A file of its own: a worker that is stopped may hold the lock of the file that it writes to, and must not hold up another run's.
    Sqlite { file: PathBuf, store: Arc<SqliteStore> },
}

impl Rows {
    pub(crate) async fn open(target: &StackTarget, run_id: &str) -> Result<Self, StoreError> {
        match &target.backing {
            Backing::Servers { database_url: url, .. } => {
                let own = Box::new(PostgresStore::connect(url, options(run_id, OWN_CONNECTIONS)).await?);
                let consumers = target.consumers.as_ref().map_or(url, |consumers| &consumers.database_url);
                let (url, consumers) = (url.clone(), consumers.clone());
                Ok(Self::Postgres { url, consumers, schema: run_id.into(), own })
            }
            Backing::InProcess { database, .. } => {
                let file = database.with_file_name(format!("{run_id}.sqlite"));
                let store = SqliteStore::open(&file, SqliteOptions::default()).await?;
                Ok(Self::Sqlite { file, store: Arc::new(store) })
            }
        }
    }

    /// Makes the tables, in a schema that nobody had before; a schema whose tables can't be made is taken back.
    pub(crate) async fn create(&self) -> Result<(), StoreError> {
        let Self::Postgres { own, .. } = self else { return self.own().prepare().await };
        own.create_schema().await?;
        let prepared = own.prepare().await;
        if prepared.is_err()
            && let Err(error) = own.drop_schema().await
        {
            tracing::warn!(%error, "the schema was not removed");
        }
        prepared
    }

    /// The harness's own.
    pub(crate) fn own(&self) -> &dyn DeliveryStore {
        match self {
            Self::Postgres { own, .. } => &**own,
            Self::Sqlite { store, .. } => &**store,
        }
    }

    /// A consumer's: on a server a connection of its own; in this process the one store, where writers queue.
    pub(crate) async fn consumer(&self) -> Result<Arc<dyn DeliveryStore>, StoreError> {
        match self {
            Self::Postgres { consumers, schema, .. } => {
                Ok(Arc::new(PostgresStore::connect(consumers, options(schema, 1)).await?))
            }
            Self::Sqlite { store, .. } => Ok(store.clone()),
        }
    }

    /// The REST API's: on a server over connections of its own.
    pub(crate) async fn service(&self) -> Result<Service, StoreError> {
        match self {
            Self::Postgres { url, schema, .. } => {
                let store = Arc::new(PostgresStore::connect(url, options(schema, API_CONNECTIONS)).await?);
                Ok((store.clone(), store))
            }
            Self::Sqlite { store, .. } => Ok((store.clone(), store.clone())),
        }
    }

    /// How a worker in a process of its own is told of them.
    pub(crate) fn contract(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Postgres { consumers, schema, .. } => {
                vec![("LANEBENCH_DATABASE_URL", consumers.clone()), ("LANEBENCH_SCHEMA", schema.clone())]
            }
            Self::Sqlite { file, .. } => {
                vec![("LANEBENCH_DATABASE_URL", format!("sqlite:{}", file.display()))]
            }
        }
    }

    /// Empties the tables, and forgets what was counted of their writes.
    pub(crate) async fn clear(&self) -> Result<(), RunError> {
        self.own().clear().await?;
        self.count_anew().await?;
        match self {
            Self::Postgres { .. } => Ok(()),
            // A file of which much was used before takes longer to write to.
            Self::Sqlite { .. } => self.execute("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)".into()).await,
        }
    }

    /// A connection beside the store's.
    pub(super) async fn postgres(&self, patience: Patience) -> Result<PgConnection, StoreError> {
        let failed = |error: sqlx::Error| StoreError::Unavailable(error.to_string());
        let Self::Postgres { url, schema, .. } = self else {
            return Err(StoreError::Unusable("these rows are not PostgreSQL's".into()));
        };
        tls::provide();
        let mut options = PgConnectOptions::from_str(url).map_err(failed)?.options([("search_path", schema)]);
        if patience == Patience::Short {
            options = options.options([("lock_timeout", "5s"), ("statement_timeout", "8s")]);
        }
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, options.connect()).await;
        let late =
            |_| StoreError::Unavailable(format!("no connection came about within {CONNECT_TIMEOUT:?}"));
        connected.map_err(late)?.map_err(failed)
    }

    /// The same of SQLite. To be closed by whoever opens it.
    pub(super) async fn sqlite(&self) -> Result<SqliteConnection, StoreError> {
        let failed = |error: sqlx::Error| StoreError::Unavailable(error.to_string());
        let Self::Sqlite { file, .. } = self else {
            return Err(StoreError::Unusable("these rows are not SQLite's".into()));
        };
        SqliteConnectOptions::new().filename(file).connect().await.map_err(failed)
    }

    /// Deletes one row, as no consumer would.
    pub(crate) async fn delete(&self, order_id: &OrderId) -> Result<(), RunError> {
        const DELETE: &str = "DELETE FROM deliveries WHERE order_id = $1";
        let failed = |e: sqlx::Error| RunError::Load(format!("the row could not be deleted: {e}"));
        let deleted = match self {
            Self::Postgres { .. } => {
                let mut connection = self.postgres(Patience::Short).await?;
                let delete = sqlx::query(DELETE).bind(order_id.as_str());
                delete.execute(&mut connection).await.map_err(failed)?.rows_affected()
            }
            Self::Sqlite { .. } => {
                let mut connection = self.sqlite().await?;
                let delete = sqlx::query(DELETE).bind(order_id.as_str());
                let deleted = delete.execute(&mut connection).await;
                connection.close().await.map_err(failed)?;
                deleted.map_err(failed)?.rows_affected()
            }
        };
        if deleted == 1 {
            Ok(())
        } else {
            Err(RunError::Load(format!("{deleted} rows of {order_id} were deleted")))
        }
    }

    /// Removes the run's schema; a file is closed, and goes with its stack.
    pub(crate) async fn remove(&self) -> Result<(), RunError> {
        self.stop_counting().await?;
        match self {
            Self::Postgres { own, .. } => Ok(own.drop_schema().await?),
            Self::Sqlite { store, .. } => {
                store.close().await;
                Ok(())
            }
        }
    }
}

fn options(schema: &str, connections: usize) -> PostgresOptions {
    PostgresOptions { schema: schema.into(), max_connections: connections, ..PostgresOptions::default() }
}

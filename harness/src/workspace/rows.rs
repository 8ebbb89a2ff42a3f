//! A run's rows: where they are kept, how a consumer reaches them, and how one is taken away on purpose.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use payment_delivery::event::OrderId;
use payment_delivery::store::payments::PaymentLog;
use payment_delivery::store::postgres::{PostgresOptions, PostgresStore};
use payment_delivery::store::sqlite::SqliteStore;
use payment_delivery::store::{DeliveryStore, StoreError};
use payment_delivery::tls;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use crate::error::RunError;
use crate::stack::Backing;

/// Of the harness's own: one to prepare and check with, one for whoever asks meanwhile.
const OWN_CONNECTIONS: usize = 2;

/// Of the REST API: a payment needs one for three short statements.
const API_CONNECTIONS: usize = 8;

/// What the REST API keeps payments in, and asks for rows.
type Service = (Arc<dyn PaymentLog>, Arc<dyn DeliveryStore>);

/// The deliveries of a run.
pub(crate) enum Rows {
    /// A schema of its own.
    Postgres { url: String, schema: String, own: Box<PostgresStore> },
    /// The stack's one file.
    Sqlite { file: PathBuf, store: Arc<SqliteStore> },
}

impl Rows {
    pub(crate) async fn open(backing: &Backing, run_id: &str) -> Result<Self, StoreError> {
        match backing {
            Backing::Servers { database_url, .. } => {
                let own =
                    Box::new(PostgresStore::connect(database_url, options(run_id, OWN_CONNECTIONS)).await?);
                Ok(Self::Postgres { url: database_url.clone(), schema: run_id.into(), own })
            }
            Backing::InProcess { database, store, .. } => {
                Ok(Self::Sqlite { file: database.clone(), store: Arc::clone(store) })
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
            Self::Postgres { url, schema, .. } => {
                Ok(Arc::new(PostgresStore::connect(url, options(schema, 1)).await?))
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
            Self::Postgres { url, schema, .. } => {
                vec![("LANEBENCH_DATABASE_URL", url.clone()), ("LANEBENCH_SCHEMA", schema.clone())]
            }
            Self::Sqlite { file, .. } => {
                vec![("LANEBENCH_DATABASE_URL", format!("sqlite:{}", file.display()))]
            }
        }
    }

    /// Deletes one row, as no consumer would.
    pub(crate) async fn delete(&self, order_id: &OrderId) -> Result<(), RunError> {
        const DELETE: &str = "DELETE FROM deliveries WHERE order_id = $1";
        let failed = |e: sqlx::Error| RunError::Load(format!("the row could not be deleted: {e}"));
        let deleted = match self {
            Self::Postgres { url, schema, .. } => {
                tls::provide();
                let options = PgConnectOptions::from_str(url).map_err(failed)?;
                let mut connection =
                    options.options([("search_path", schema)]).connect().await.map_err(failed)?;
                let delete = sqlx::query(DELETE).bind(order_id.as_str());
                delete.execute(&mut connection).await.map_err(failed)?.rows_affected()
            }
            Self::Sqlite { file, .. } => {
                let options = SqliteConnectOptions::new().filename(file);
                let mut connection = options.connect().await.map_err(failed)?;
                let delete = sqlx::query(DELETE).bind(order_id.as_str());
                let deleted = delete.execute(&mut connection).await.map_err(failed)?.rows_affected();
                connection.close().await.map_err(failed)?;
                deleted
            }
        };
        if deleted == 1 {
            Ok(())
        } else {
            Err(RunError::Load(format!("{deleted} rows of {order_id} were deleted")))
        }
    }

    /// Removes the run's schema; a file goes with its stack.
    pub(crate) async fn remove(&self) -> Result<(), StoreError> {
        match self {
            Self::Postgres { own, .. } => own.drop_schema().await,
            Self::Sqlite { .. } => Ok(()),
        }
    }
}

fn options(schema: &str, connections: usize) -> PostgresOptions {
    PostgresOptions { schema: schema.into(), max_connections: connections, ..PostgresOptions::default() }
}

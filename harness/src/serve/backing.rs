//! Rows, accepted payments and statuses of the service.

use std::path::PathBuf;
use std::sync::Arc;

use payment_delivery::store::payments::PaymentLog;
use payment_delivery::store::postgres::{PostgresOptions, PostgresStore};
use payment_delivery::store::sqlite::SqliteStore;
use payment_delivery::store::{DeliveryStore, StoreError};
use payment_delivery::view::memory::MemoryView;
use payment_delivery::view::redis::{RedisServer, RedisTimeouts, RedisView};
use payment_delivery::view::{StatusView, ViewError};

use super::{ServeError, Settings};
use crate::stack::Backing;

/// Connections of the API to PostgreSQL; a payment needs one for three short statements.
const CONNECTIONS: usize = 8;

/// Where things are kept.
pub(super) struct Kept {
    rows: Rows,
    statuses: Statuses,
}

enum Rows {
    Postgres { url: String, options: PostgresOptions, own: Arc<PostgresStore> },
    Sqlite(Arc<SqliteStore>),
}

enum Statuses {
    Redis { server: RedisServer, prefix: String },
    Memory(MemoryView),
}

impl Kept {
    /// Finds everything and makes the tables where they are missing.
    pub(super) async fn open(backing: &Backing, settings: &Settings) -> Result<Self, ServeError> {
        let redis = |url: &str, ca: Option<&PathBuf>| Statuses::Redis {
            server: RedisServer { url: url.to_owned(), ca: ca.cloned() },
            prefix: settings.key_prefix.clone(),
        };
        let kept = match backing {
            Backing::Servers { database_url, redis_url, redis_ca } => {
                let options =
                    PostgresOptions { schema: settings.schema.clone(), ..PostgresOptions::default() };
                let many = PostgresOptions { max_connections: CONNECTIONS, ..options.clone() };
                let own = Arc::new(PostgresStore::connect(database_url, many).await?);
                Self {
                    rows: Rows::Postgres { url: database_url.clone(), options, own },
                    statuses: redis(redis_url, redis_ca.as_ref()),
                }
            }
            Backing::InProcess { store, statuses, .. } => Self {
                rows: Rows::Sqlite(Arc::clone(store)),
                statuses: match statuses {
                    Some(url) => redis(url, None),
                    None => Statuses::Memory(MemoryView::new()),
                },
            },
        };
        kept.store().prepare().await?;
        kept.payments().prepare_payments().await?;
        Ok(kept)
    }

    /// The API's way to the rows.
    pub(super) fn store(&self) -> Arc<dyn DeliveryStore> {
        match &self.rows {
            Rows::Postgres { own, .. } => own.clone(),
            Rows::Sqlite(store) => store.clone(),
        }
    }

    /// The accepted payments.
    pub(super) fn payments(&self) -> Arc<dyn PaymentLog> {
        match &self.rows {
            Rows::Postgres { own, .. } => own.clone(),
            Rows::Sqlite(store) => store.clone(),
        }
    }

    /// A consumer's way to the rows: on a server a connection of its own; in this process the one store, where writers queue.
    pub(super) async fn consumer(&self) -> Result<Arc<dyn DeliveryStore>, StoreError> {
        match &self.rows {
            Rows::Postgres { url, options, .. } => {
                Ok(Arc::new(PostgresStore::connect(url, options.clone()).await?))
            }
            Rows::Sqlite(store) => Ok(store.clone()),
        }
    }

    /// The statuses: on a server over a connection of its own.
    pub(super) async fn view(&self) -> Result<Arc<dyn StatusView>, ViewError> {
        match &self.statuses {
            Statuses::Redis { server, prefix } => {
                Ok(Arc::new(RedisView::connect(server.clone(), prefix, RedisTimeouts::default()).await?))
            }
            Statuses::Memory(view) => Ok(Arc::new(view.clone())),
        }
    }
}

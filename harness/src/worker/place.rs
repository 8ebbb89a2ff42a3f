//! Where a consumer process keeps rows and statuses, by the addresses it was given.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use payment_delivery::event::OrderId;
use payment_delivery::redact::redact;
use payment_delivery::store::DeliveryStore;
use payment_delivery::store::postgres::{PostgresOptions, PostgresStore};
use payment_delivery::store::sqlite::{SqliteOptions, SqliteStore};
use payment_delivery::view::StatusView;
use payment_delivery::view::redis::{RedisServer, RedisTimeouts, RedisView};

use super::ProcessError;

/// Where rows are kept.
#[derive(Clone, PartialEq, Eq)]
pub enum Database {
    /// A schema of a PostgreSQL database.
    Postgres {
        /// Its URL.
        url: String,
        /// The schema of the tables.
        schema: String,
    },
    /// A file of SQLite, which several processes may share.
    Sqlite {
        /// The file.
        file: PathBuf,
    },
}

/// Passwords stay out of logs and panics.
impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgres { url, schema } => {
                f.debug_struct("Postgres").field("url", &redact(url)).field("schema", schema).finish()
            }
            Self::Sqlite { file } => f.debug_struct("Sqlite").field("file", file).finish(),
        }
    }
}

/// Why a text is no address of a database.
#[derive(Debug, thiserror::Error)]
#[error("a database is named by `postgres://…` or `sqlite:PATH`, not by `{scheme}`")]
pub struct DatabaseUrlError {
    /// What it begins with; the rest may hold a password.
    scheme: String,
}

impl Database {
    /// Reads `postgres://…` (also `postgresql://…`) or `sqlite:PATH`. The schema is PostgreSQL's; a file has none.
    ///
    /// # Errors
    /// [`DatabaseUrlError`] for anything else.
    pub fn new(url: &str, schema: Option<&str>) -> Result<Self, DatabaseUrlError> {
        let (scheme, rest) = url.split_once(':').unwrap_or_default();
        let path = rest.strip_prefix("//").unwrap_or(rest);
        match scheme {
            "postgres" | "postgresql" => {
                let schema = schema.map_or_else(|| PostgresOptions::default().schema, str::to_owned);
                Ok(Self::Postgres { url: url.into(), schema })
            }
            "sqlite" if !path.is_empty() => Ok(Self::Sqlite { file: path.into() }),
            _ => Err(DatabaseUrlError { scheme: format!("{scheme}:") }),
        }
    }
}

/// The rows, as consumers reach them.
pub(super) enum Stores {
    /// A connection each.
    Postgres { url: String, schema: String },
    /// One that they share, where writers queue instead of polling the file's lock.
    Sqlite(Arc<SqliteStore>),
}

impl Stores {
    /// Finds the database and makes sure that its tables are there.
    ///
    /// A store that can't be used is waited for at work, as one that is away is; so a missing table is told now or never.
    pub(super) async fn open(database: &Database) -> Result<Self, ProcessError> {
        let stores = match database {
            Database::Postgres { url, schema } => Self::Postgres { url: url.clone(), schema: schema.clone() },
            Database::Sqlite { file } => {
                if !file.is_file() {
                    return Err(ProcessError::NoFile { file: file.clone() }); // opening it would make one
                }
                Self::Sqlite(Arc::new(SqliteStore::open(file, SqliteOptions::default()).await?))
            }
        };
        let nobody = OrderId::new("-").expect("a hyphen is an order id");
        stores.consumer().await?.delivery(&nobody).await?;
        Ok(stores)
    }

    /// For one consumer.
    pub(super) async fn consumer(&self) -> Result<Arc<dyn DeliveryStore>, ProcessError> {
        match self {
            Self::Postgres { url, schema } => {
                let options = PostgresOptions { schema: schema.clone(), ..PostgresOptions::default() };
                Ok(Arc::new(PostgresStore::connect(url, options).await?))
            }
            Self::Sqlite(store) => Ok(store.clone()),
        }
    }
}

/// The statuses, over a connection of one consumer.
pub(super) async fn view(server: &RedisServer, prefix: &str) -> Result<Arc<dyn StatusView>, ProcessError> {
    Ok(Arc::new(RedisView::connect(server, prefix, RedisTimeouts::default()).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn file(url: &str, expected: &str) {
        assert_eq!(Database::new(url, Some("ignored")).unwrap(), Database::Sqlite { file: expected.into() });
    }

    #[test]
    fn a_database_is_named_by_its_url() {
        file("sqlite:rows.db", "rows.db");
        file("sqlite:/tmp/rows.db", "/tmp/rows.db");
        file("sqlite:///tmp/rows.db", "/tmp/rows.db");
        let url = "postgres://app:secret@db/pay";
        let schema = |schema: &str| Database::Postgres { url: url.into(), schema: schema.into() };
        assert_eq!(Database::new(url, Some("trial_1")).unwrap(), schema("trial_1"));
        assert_eq!(Database::new(url, None).unwrap(), schema("payment_delivery"));
    }

    #[test]
    fn a_database_is_printed_without_its_password() {
        let shown = format!("{:?}", Database::new("postgres://app:secret@db/pay", None).unwrap());
        assert!(shown.contains("app:***@db/pay"), "{shown}");
    }

    #[test]
    fn what_is_no_database_is_refused_without_its_password() {
        for wrong in ["mysql://app:secret@db/pay", "app:secret@db", "", "sqlite:", "sqlite://"] {
            let error = Database::new(wrong, None).unwrap_err().to_string();
            assert!(error.contains("sqlite:PATH") && !error.contains("secret"), "{error}");
        }
    }
}

//! How a [`PostgresStore`](super::PostgresStore) connects and how long it waits.

use std::str::FromStr;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;

use super::error;
use crate::store::StoreError;
use crate::tls;

/// Longest name that PostgreSQL keeps whole, in bytes.
const NAME_MAX_BYTES: usize = 63;

/// How to connect and how long to wait.
///
/// The time-outs must stay below the session time-out of the consumer group (6 s at its least): a worker that is
/// frozen with the lock of a row must have lost it by the time its successor needs the row.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// Schema of the tables: lower-case letters, digits and underscores, starting with a letter.
    pub schema: String,
    /// Connections held at most; one a worker is enough, since a worker has one call in flight.
    pub max_connections: usize,
    /// The server ends a statement that waits longer for a lock.
    pub lock_timeout: Duration,
    /// The server ends a statement that runs longer.
    pub statement_timeout: Duration,
    /// The server ends a session that sits in a transaction for longer, and so lets its locks go.
    pub idle_in_transaction_session_timeout: Duration,
    /// A connection attempt that takes longer is given up.
    pub connect_timeout: Duration,
    /// A call that takes longer in all (connection and every statement of it) is given up on this side, whatever
    /// the server does. Reading all rows counts each page as a call.
    pub call_timeout: Duration,
    /// As `pg_stat_activity` shows it.
    pub application_name: String,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            schema: "payment_delivery".into(),
            max_connections: 1,
            lock_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(3),
            idle_in_transaction_session_timeout: Duration::from_secs(3),
            connect_timeout: Duration::from_secs(2),
            call_timeout: Duration::from_secs(4),
            application_name: "payment-delivery".into(),
        }
    }
}

impl PostgresOptions {
    /// How long the server may keep a row locked for a client that is frozen: until a statement, or the pause after it, is too long.
    pub(super) fn row_held_max(&self) -> Duration {
        self.lock_timeout.max(self.statement_timeout).max(self.idle_in_transaction_session_timeout)
    }

    /// The options of a connection to `url`.
    pub(super) fn connect_options(&self, url: &str) -> Result<PgConnectOptions, StoreError> {
        check_schema(&self.schema)?;
        if self.max_connections == 0 {
            return Err(StoreError::Unusable("a store needs at least one connection".into()));
        }
        tls::provide();
        let options = PgConnectOptions::from_str(url).map_err(error::sorted)?;
        Ok(options
            .application_name(&self.application_name)
            // What it would log at debug level would cost every event a formatted line.
            .disable_statement_logging()
            .options([
                ("search_path", self.schema.as_str()),
                ("payment_delivery.schema", self.schema.as_str()),
            ])
            .options([
                ("lock_timeout", milliseconds(self.lock_timeout)),
                ("statement_timeout", milliseconds(self.statement_timeout)),
                (
                    "idle_in_transaction_session_timeout",
                    milliseconds(self.idle_in_transaction_session_timeout),
                ),
            ]))
    }
}

/// A server setting in milliseconds; at least 1, because the server reads 0 as "wait for ever".
fn milliseconds(timeout: Duration) -> u128 {
    timeout.as_millis().max(1)
}

/// Names that need no quoting anywhere, `search_path` included.
fn check_schema(schema: &str) -> Result<(), StoreError> {
    let plain = schema.starts_with(|c: char| c.is_ascii_lowercase())
        && schema.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if plain && schema.len() <= NAME_MAX_BYTES && !schema.starts_with("pg_") {
        return Ok(());
    }
    Err(StoreError::Unusable(format!(
        "{schema:?} is no name for a schema: up to {NAME_MAX_BYTES} lower-case letters, digits and underscores, \
         starting with a letter and not with pg_"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(schema: &str, accepted: bool) {
        let options = PostgresOptions { schema: schema.into(), ..PostgresOptions::default() };
        assert_eq!(options.connect_options("postgres://127.0.0.1/x").is_ok(), accepted, "{schema:?}");
    }

    #[test]
    fn a_schema_has_a_plain_name() {
        check("trial_1", true);
        check(&"a".repeat(63), true);
        for refused in ["", "1a", "A", "a b", "a\"b", "a,public", "pg_temp", "é", &"a".repeat(64)] {
            check(refused, false);
        }
    }

    #[test]
    fn a_url_that_is_none_and_no_connections_are_unusable() {
        let options = PostgresOptions::default();
        assert!(matches!(options.connect_options("no url"), Err(StoreError::Unusable(_))));
        let none = PostgresOptions { max_connections: 0, ..options };
        assert!(matches!(none.connect_options("postgres://127.0.0.1/x"), Err(StoreError::Unusable(_))));
    }

    #[test]
    fn no_timeout_becomes_for_ever() {
        assert_eq!(milliseconds(Duration::ZERO), 1);
        assert_eq!(milliseconds(Duration::from_secs(2)), 2000);
    }
}

//! The SQL that only PostgreSQL understands, beside what it shares (`store/sql.rs`). `search_path` says which schema is
//! meant.

use crate::store::sql::{apply_folds, deliveries_of};

/// Makes a schema, or fails where there is one.
pub(super) const CREATE: &str = include_str!("create.sql");

/// The guard for folds of several orders, one array a column.
pub(super) const APPLY_FOLDS: &str = apply_folds!(
    "unnest($1::text[], $2::integer[], $3::integer[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::integer[], $9::bigint[])
  AS f (order_id, revision, applied, status, amount_minor, currency, address, log_partition, log_offset)"
);

/// The rows of an array of orders.
pub(super) const DELIVERIES_OF: &str = deliveries_of!("= ANY ($1::text[])");

/// Creates what is missing.
pub(super) const SCHEMA: &str = include_str!("schema.sql");

/// Creates the schema and the table of accepted payments where they are missing.
pub(super) const PAYMENTS: &str = include_str!("payments.sql");

/// Empties the table of accepted payments.
pub(super) const CLEAR_PAYMENTS: &str = "TRUNCATE payments";

/// Drops what [`SCHEMA`] and [`PAYMENTS`] made.
pub(super) const DROP: &str = include_str!("drop.sql");

/// Empties both tables.
pub(super) const CLEAR: &str = "TRUNCATE deliveries, parked_events";

/// Parks the message if the row is still behind `before` (`$8`), otherwise tells the row as this statement found it.
///
/// `gap` locks the row, or makes one of revision 0, before `kept` writes the parked event; both commit as one. One
/// message may come again as the end of a longer fold: then the longer one is kept.
pub(super) const PARK: &str = "
WITH gap AS (
  INSERT INTO deliveries AS d (order_id, revision, applied, has_parked) VALUES ($1, 0, 0, true)
  ON CONFLICT (order_id) DO UPDATE SET has_parked = true WHERE d.revision < $8
  RETURNING d.revision, d.status, d.has_parked
), kept AS (
  INSERT INTO parked_events AS p
    (order_id, first, last, amount_minor, currency, address, log_partition, log_offset)
  SELECT $1, $8 + 1, $2, $3, $4, $5, $6, $7 FROM gap
  ON CONFLICT (order_id, last) DO UPDATE SET first = excluded.first WHERE p.first > excluded.first
)
SELECT true AS parked, revision, status, has_parked FROM gap
UNION ALL
SELECT false, revision, status, has_parked FROM deliveries
WHERE order_id = $1 AND NOT EXISTS (SELECT FROM gap)";

/// Takes the row's lock; whoever parks or applies an event of this order waits from here on.
pub(super) const LOCK: &str = "SELECT revision FROM deliveries WHERE order_id = $1 FOR UPDATE";

/// What bears on the numbers.
pub(super) const SETTINGS: &str = "
SELECT name, setting FROM pg_settings
WHERE name IN ('server_version', 'fsync', 'synchronous_commit', 'full_page_writes', 'wal_sync_method')";

//! The SQL that only SQLite understands, beside what it shares (`store/sql.rs`).

use crate::store::sql::{apply_folds, deliveries_of};

/// The guard for folds of several orders: a JSON array of arrays, the columns in their order.
pub(super) const APPLY_FOLDS: &str = apply_folds!(
    "(SELECT value ->> 0 AS order_id, value ->> 1 AS revision, value ->> 2 AS applied, value ->> 3 AS status,
    value ->> 4 AS amount_minor, value ->> 5 AS currency, value ->> 6 AS address, value ->> 7 AS log_partition,
    value ->> 8 AS log_offset FROM json_each($1)) AS f"
);

/// The rows of a JSON array of orders.
pub(super) const DELIVERIES_OF: &str = deliveries_of!("IN (SELECT value FROM json_each($1))");

/// Creates what is missing. In one transaction, so that stores which start together see all or nothing.
pub(super) const SCHEMA: &str = include_str!("schema.sql");

/// Empties both tables, inside a transaction.
pub(super) const CLEAR: &str = "DELETE FROM deliveries; DELETE FROM parked_events";

/// Creates the table of accepted payments where it is missing.
pub(super) const PAYMENTS: &str = include_str!("payments.sql");

/// Empties the table of accepted payments.
pub(super) const CLEAR_PAYMENTS: &str = "DELETE FROM payments";

/// The transaction takes the database's one write lock at its start: a lock asked for only after a read would be refused
/// at once if someone wrote in between.
pub(super) const BEGIN: &str = "BEGIN IMMEDIATE";

/// The row's revision. The transaction holds the lock already.
pub(super) const LOCK: &str = "SELECT revision FROM deliveries WHERE order_id = $1";

/// Says of the row that something is parked, or makes one of revision 0, if it is still behind `before` (`$2`).
pub(super) const GAP: &str = "
INSERT INTO deliveries AS d (order_id, revision, applied, has_parked) VALUES ($1, 0, 0, true)
ON CONFLICT (order_id) DO UPDATE SET has_parked = true WHERE d.revision < $2
RETURNING true AS parked, revision, status, has_parked";

/// Parks the message. It may come again as the end of a longer fold: then the longer one is kept.
pub(super) const KEEP: &str = "
INSERT INTO parked_events AS p
  (order_id, first, last, amount_minor, currency, address, log_partition, log_offset)
VALUES ($1, $8 + 1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (order_id, last) DO UPDATE SET first = excluded.first WHERE p.first > excluded.first";

/// What bears on the numbers, one row of name and setting each.
pub(super) const SETTINGS: &str = "
SELECT 'version', sqlite_version()
UNION ALL SELECT 'journal_mode', journal_mode FROM pragma_journal_mode
UNION ALL SELECT 'synchronous',
  CASE synchronous WHEN 0 THEN 'off' WHEN 1 THEN 'normal' WHEN 2 THEN 'full' ELSE 'extra' END
FROM pragma_synchronous";

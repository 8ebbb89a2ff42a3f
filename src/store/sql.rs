//! The SQL that PostgreSQL and SQLite share, each a constant text, so that a connection prepares it once.
//!
//! `before` is the revision just before the message, first − 1: comparing `revision >= before` in place of
//! `revision + 1 >= first` cannot overflow.
//!
//! `applied` grows by the events that a message brings, less those that the row holds already. It never follows from the revision: a guard
//! that let a message pass over a gap, or twice, would leave the two unequal.

/// The guard for a message that starts at revision 1, which no row can be too far behind for.
pub(super) const APPLY_FIRST: &str = "
INSERT INTO deliveries AS d
  (order_id, revision, applied, status, amount_minor, currency, address, log_partition, log_offset)
VALUES ($1, $2, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (order_id) DO UPDATE SET
  revision = excluded.revision,
  applied = d.applied + (excluded.revision - CASE WHEN d.revision < excluded.revision THEN d.revision ELSE 0 END),
  status = excluded.status,
  amount_minor = excluded.amount_minor, currency = excluded.currency, address = excluded.address,
  log_partition = excluded.log_partition, log_offset = excluded.log_offset, updated_at = CURRENT_TIMESTAMP
WHERE d.revision < excluded.revision
RETURNING has_parked";

/// The guard for any other message: without a row there is nothing that it could follow. `$9` is `before`.
pub(super) const APPLY_NEXT: &str = "
UPDATE deliveries SET
  revision = $2,
  applied = applied + ($2 - CASE WHEN revision > $9 AND revision < $2 THEN revision ELSE $9 END),
  status = $3, amount_minor = $4, currency = $5, address = $6,
  log_partition = $7, log_offset = $8, updated_at = CURRENT_TIMESTAMP
WHERE order_id = $1 AND revision >= $9 AND revision < $2
RETURNING has_parked";

/// The guard for folds of several orders, which `$folds` selects with these columns: those that follow their rows are applied, and
/// returned. `applied` is how many events a fold has, so its first one follows the row where the row is that much behind its last.
///
/// The first `WHERE` keeps out a fold that needs a row which is not there, lest a part of an order be inserted for the whole. It also spares
/// what is held already the row's lock. The second one judges the row as it is under that lock. In the order of their ids, so that two
/// statements which meet wait for each other in one line.
macro_rules! apply_folds {
    ($folds:literal) => {
        concat!(
            "
INSERT INTO deliveries AS d
  (order_id, revision, applied, status, amount_minor, currency, address, log_partition, log_offset)
SELECT order_id, revision, applied, status, amount_minor, currency, address, log_partition, log_offset
FROM ",
            $folds,
            "
WHERE f.revision - f.applied = COALESCE((SELECT r.revision FROM deliveries AS r WHERE r.order_id = f.order_id), 0)
ORDER BY f.order_id
ON CONFLICT (order_id) DO UPDATE SET
  revision = excluded.revision, applied = d.applied + excluded.applied, status = excluded.status,
  amount_minor = excluded.amount_minor, currency = excluded.currency, address = excluded.address,
  log_partition = excluded.log_partition, log_offset = excluded.log_offset, updated_at = CURRENT_TIMESTAMP
WHERE d.revision = excluded.revision - excluded.applied
RETURNING order_id, has_parked"
        )
    };
}

pub(super) use apply_folds;

/// The row as it is, in the columns of the statement that parks.
pub(super) const LOOK: &str =
    "SELECT false AS parked, revision, status, has_parked FROM deliveries WHERE order_id = $1";

/// What is parked of the order, in the order in which it can apply.
pub(super) const PARKED_OF: &str =
    "SELECT first, last FROM parked_events WHERE order_id = $1 ORDER BY first, last LIMIT $2";

/// Brings the row to the parked event that ends at `$2`; `$3` is the status there, `$4` how many events were parked up to it.
pub(super) const APPLY_PARKED: &str = "
UPDATE deliveries AS d SET
  revision = p.last, applied = d.applied + $4, status = $3, amount_minor = p.amount_minor,
  currency = p.currency, address = p.address, log_partition = p.log_partition, log_offset = p.log_offset,
  updated_at = CURRENT_TIMESTAMP
FROM parked_events AS p
WHERE d.order_id = $1 AND p.order_id = $1 AND p.last = $2";

/// Forgets what the row now holds.
pub(super) const UNPARK: &str = "DELETE FROM parked_events WHERE order_id = $1 AND last <= $2";

/// Says of the row whether anything is still parked.
pub(super) const MARK: &str = "
UPDATE deliveries SET has_parked = EXISTS (SELECT 1 FROM parked_events WHERE order_id = $1) WHERE order_id = $1";

/// One row, unless only parked events are known.
pub(super) const DELIVERY: &str = "
SELECT order_id, revision, applied, status, amount_minor, currency, address, log_partition, log_offset
FROM deliveries WHERE order_id = $1 AND revision > 0";

/// The rows of the orders that `$orders` says.
macro_rules! deliveries_of {
    ($orders:literal) => {
        concat!(
            "
SELECT order_id, revision, applied, status, amount_minor, currency, address, log_partition, log_offset
FROM deliveries WHERE revision > 0 AND order_id ",
            $orders
        )
    };
}

pub(super) use deliveries_of;

/// A page of rows after the order id `$1`.
pub(super) const DELIVERIES: &str = "
SELECT order_id, revision, applied, status, amount_minor, currency, address, log_partition, log_offset
FROM deliveries WHERE order_id > $1 AND revision > 0 ORDER BY order_id LIMIT $2";

/// A page of parked events after the order id `$1` and the last revision `$2`.
pub(super) const PARKED: &str = "
SELECT order_id, first, last, log_partition, log_offset
FROM parked_events WHERE (order_id, last) > ($1, $2) ORDER BY order_id, last LIMIT $3";

//! Accepted payments, kept before they are sent: the outbox that makes a promise outlive the process that gave it.
//!
//! A payment is written with the revision it has in its order and with the very bytes of its message, then sent, then
//! given its place in the log. Until it has one it is *pending*, and an order has at most one pending payment: nothing
//! later of the order is written before. So revisions are gap-free and in order in the log, whoever sends, and a process
//! that dies leaves behind exactly what must be sent again.

use async_trait::async_trait;

use super::StoreError;
use super::row::Columns;
use crate::event::{OrderId, Revision};
use crate::kafka::Origin;
use crate::store::error;

#[cfg(any(test, feature = "contract-tests"))]
pub mod contract;
mod log;

pub(super) use log::payment_log;

/// A payment that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// The order that was paid.
    pub order_id: OrderId,
    /// Which payment of its order this is, from 1.
    pub revision: Revision,
    /// The client's name for the request, if it gave one.
    pub idempotency_key: Option<String>,
    /// What was asked for, in one canonical form: two requests are the same if these are equal.
    pub request: String,
    /// The message's value.
    pub payload: Vec<u8>,
    /// The topic it belongs to.
    pub topic: String,
    /// Who wrote it, and sends it unless that takes too long.
    pub instance: String,
    /// When it was accepted, milliseconds of Unix time; the message's timestamp.
    pub accepted_at_ms: i64,
    /// Where its message lies; `None` while it is pending.
    pub origin: Option<Origin>,
}

/// What [`PaymentLog::look`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The payment with the idempotency key that was asked for.
    pub by_key: Option<Payment>,
    /// The order's last payment.
    pub last: Option<Payment>,
    /// The order's payment at the revision that was asked for.
    pub at: Option<Payment>,
}

/// Accepted payments. Every method is bounded in time by the store's own time-outs.
#[async_trait]
pub trait PaymentLog: Send + Sync + 'static {
    /// What is known before a payment of `order_id` is accepted, all of one moment.
    async fn look(
        &self,
        order_id: &OrderId,
        idempotency_key: Option<&str>,
        revision: Option<Revision>,
    ) -> Result<Found, StoreError>;

    /// Writes a pending payment if its revision follows the order's last, no payment of the order is pending, and its
    /// idempotency key is new; one atomic step, committed on return. `false` if any of that does not hold.
    async fn keep(&self, payment: &Payment) -> Result<bool, StoreError>;

    /// Notes where a payment's message lies, unless that is known; `false` if it was known, or there is no such payment.
    async fn place(&self, order_id: &OrderId, revision: Revision, origin: Origin)
    -> Result<bool, StoreError>;

    /// Up to `limit` pending payments of `instance`, or accepted before `before_ms` by anybody, behind the order id
    /// `after`, by order id.
    async fn pending(
        &self,
        instance: &str,
        before_ms: i64,
        after: &str,
        limit: u16,
    ) -> Result<Vec<Payment>, StoreError>;

    /// The topic of any payment; `None` while there are none. A table belongs to one topic.
    async fn topic_in_use(&self) -> Result<Option<String>, StoreError>;

    /// Creates the table if it is missing.
    async fn prepare_payments(&self) -> Result<(), StoreError>;

    /// Empties the table.
    async fn clear_payments(&self) -> Result<(), StoreError>;
}

/// The columns of a payment, as [`payment`] reads them.
macro_rules! columns {
    () => {
        "order_id, revision, idempotency_key, request, payload, topic, instance, accepted_at, log_partition, log_offset"
    };
}

/// The three payments that matter to a request, each with its role. `$1` order id, `$2` key, `$3` revision; a key or
/// revision that is null finds nothing.
pub(super) const LOOK: &str = concat!(
    "SELECT 'key' AS role, ",
    columns!(),
    " FROM payments WHERE idempotency_key = $2 UNION ALL SELECT 'last', ",
    columns!(),
    " FROM (SELECT ",
    columns!(),
    " FROM payments WHERE order_id = $1 ORDER BY revision DESC LIMIT 1) AS newest UNION ALL SELECT 'at', ",
    columns!(),
    " FROM payments WHERE order_id = $1 AND revision = $3"
);

/// Its conditions are judged as one with the insert. Of two sessions that pass them side by side, the primary key and the
/// index of pending orders let one through, and the other writes nothing.
pub(super) const KEEP: &str = "
INSERT INTO payments (order_id, revision, idempotency_key, request, payload, topic, instance, accepted_at)
SELECT $1, $2, $3, $4, $5, $6, $7, $8
WHERE (SELECT coalesce(max(revision), 0) FROM payments WHERE order_id = $1) = $2 - 1
  AND NOT EXISTS (SELECT 1 FROM payments WHERE order_id = $1 AND log_offset IS NULL)
ON CONFLICT DO NOTHING
RETURNING revision";

pub(super) const PLACE: &str = "
UPDATE payments SET log_partition = $3, log_offset = $4
WHERE order_id = $1 AND revision = $2 AND log_offset IS NULL
RETURNING revision";

pub(super) const PENDING: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM payments WHERE log_offset IS NULL AND (instance = $1 OR accepted_at < $2) AND order_id > $3
    ORDER BY order_id LIMIT $4"
);

pub(super) const TOPIC: &str = "SELECT topic FROM payments LIMIT 1";

/// A row of `payments`.
pub(super) fn payment(row: &impl Columns) -> Result<Payment, StoreError> {
    let text = |column| row.text(column).map(str::to_owned).map_err(error::unreadable);
    let partition = row.maybe_integer("log_partition").map_err(error::unreadable)?;
    let offset = row.maybe_bigint("log_offset").map_err(error::unreadable)?;
    Ok(Payment {
        order_id: error::order_id(&text("order_id")?)?,
        revision: error::revision(row.integer("revision").map_err(error::unreadable)?)?,
        idempotency_key: row.maybe_text("idempotency_key").map_err(error::unreadable)?.map(str::to_owned),
        request: text("request")?,
        payload: row.bytes("payload").map_err(error::unreadable)?.to_vec(),
        topic: text("topic")?,
        instance: text("instance")?,
        accepted_at_ms: row.bigint("accepted_at").map_err(error::unreadable)?,
        origin: partition.zip(offset).map(|(partition, offset)| Origin { partition, offset }),
    })
}

/// The rows that [`LOOK`] brought.
pub(super) fn found(rows: &[impl Columns]) -> Result<Found, StoreError> {
    let mut found = Found::default();
    for row in rows {
        let role = row.text("role").map_err(error::unreadable)?;
        let slot = match role {
            "key" => &mut found.by_key,
            "last" => &mut found.last,
            _ => &mut found.at,
        };
        *slot = Some(payment(row)?);
    }
    Ok(found)
}

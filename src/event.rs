//! The payment-completed event: what the shop publishes, and its form on the wire.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest order id that is accepted, in bytes.
pub const ORDER_ID_MAX_BYTES: usize = 64;

/// Names an order; the message key, so that all events of one order share a partition.
///
/// 1 to [`ORDER_ID_MAX_BYTES`] bytes of UTF-8 without control characters. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrderId(Arc<str>);

impl OrderId {
    /// Checks and takes an order id.
    ///
    /// # Errors
    /// [`DecodeError::OrderId`] when it is empty, too long, or holds a control character.
    pub fn new(id: &str) -> Result<Self, DecodeError> {
        if id.is_empty() || id.len() > ORDER_ID_MAX_BYTES || id.chars().any(char::is_control) {
            return Err(DecodeError::OrderId { len: id.len() });
        }
        Ok(Self(id.into()))
    }

    /// The id as text; its UTF-8 bytes are the message key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OrderId({})", self.0)
    }
}

/// Counts the events of one order: 1, 2, 3 …, gap-free, each superseding the last. 0 stands for "none yet".
pub type Revision = u32;

/// One payment-completed message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentEvent {
    /// The order that was paid; the message key.
    pub order_id: OrderId,
    /// Which event of its order this is, from 1.
    pub revision: Revision,
    /// Amount paid, in the currency's smallest unit.
    pub amount_minor: i64,
    /// ISO 4217 code, three capital letters.
    pub currency: String,
    /// Where the parcel goes.
    pub address: String,
    /// When the payment completed, in milliseconds of Unix time.
    pub paid_at_ms: i64,
}

/// Why a message is not an event.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The value is missing (a tombstone).
    #[error("the message has no value")]
    Empty,
    /// Not JSON of the expected shape.
    #[error("the value is not a payment event: {0}")]
    Json(#[from] serde_json::Error),
    /// The order id breaks its rule.
    #[error(
        "an order id has 1 to {ORDER_ID_MAX_BYTES} bytes and no control characters; this one has {len} bytes"
    )]
    OrderId {
        /// Its length in bytes.
        len: usize,
    },
    /// Revisions start at 1 and fit PostgreSQL's `integer`.
    #[error("revision {0} is out of range: revisions start at 1 and stay below 2^31")]
    Revision(u64),
    /// Not three capital letters.
    #[error("the currency is not an ISO 4217 code of three capital letters")]
    Currency,
}

/// The JSON shape on the wire, apart from the domain type so that either can change.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    order_id: std::borrow::Cow<'a, str>,
    revision: u64,
    amount_minor: i64,
    currency: std::borrow::Cow<'a, str>,
    address: std::borrow::Cow<'a, str>,
    paid_at_ms: i64,
}

impl PaymentEvent {
    /// The event as JSON in UTF-8, as it travels in the message value.
    pub fn encode(&self) -> Vec<u8> {
        let wire = Wire {
            order_id: self.order_id.as_str().into(),
            revision: self.revision.into(),
            amount_minor: self.amount_minor,
            currency: self.currency.as_str().into(),
            address: self.address.as_str().into(),
            paid_at_ms: self.paid_at_ms,
        };
        // Strings and integers only: serialising them cannot fail.
        serde_json::to_vec(&wire).unwrap_or_default()
    }

    /// Reads an event back from a message value.
    ///
    /// # Errors
    /// A [`DecodeError`] that says what is wrong with the message; such a message is dead-lettered.
    pub fn decode(value: Option<&[u8]>) -> Result<Self, DecodeError> {
        let wire: Wire<'_> = serde_json::from_slice(value.ok_or(DecodeError::Empty)?)?;
        let revision = Revision::try_from(wire.revision)
            .ok()
            .filter(|r| (1..=i32::MAX as u32).contains(r))
            .ok_or(DecodeError::Revision(wire.revision))?;
        if wire.currency.len() != 3 || !wire.currency.bytes().all(|b| b.is_ascii_uppercase()) {
            return Err(DecodeError::Currency);
        }
        Ok(Self {
            order_id: OrderId::new(&wire.order_id)?,
            revision,
            amount_minor: wire.amount_minor,
            currency: wire.currency.into_owned(),
            address: wire.address.into_owned(),
            paid_at_ms: wire.paid_at_ms,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(json: &str) -> String {
        PaymentEvent::decode(Some(json.as_bytes())).unwrap_err().to_string()
    }

    fn event(id: &str) -> PaymentEvent {
        PaymentEvent {
            order_id: OrderId::new(id).unwrap(),
            revision: 2,
            amount_minor: 1999,
            currency: "EUR".into(),
            address: "Straße 7, \"Köln\"".into(),
            paid_at_ms: 1_760_000_000_000,
        }
    }

    #[test]
    fn an_event_survives_the_wire() {
        let e = event("주문-1");
        assert_eq!(PaymentEvent::decode(Some(&e.encode())).unwrap(), e);
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert!(refused("{").contains("not a payment event"));
        assert!(PaymentEvent::decode(None).is_err());
        let with = |id: &str, rev: &str, cur: &str| {
            refused(&format!(
                r#"{{"orderId":"{id}","revision":{rev},"amountMinor":1,"currency":"{cur}","address":"","paidAtMs":0}}"#
            ))
        };
        assert!(with("", "1", "EUR").contains("order id"));
        assert!(with("a\\u0007", "1", "EUR").contains("order id"));
        assert!(with("a", "0", "EUR").contains("revision 0"));
        assert!(with("a", "2147483648", "EUR").contains("revision 2147483648"));
        assert!(with("a", "1", "eur").contains("currency"));
    }
}

//! What a client asks for: a payment, checked against every rule at once.

use serde::{Deserialize, Serialize};

use super::currency;
use crate::event::{ORDER_ID_MAX_BYTES, OrderId, PaymentEvent, Revision};

/// Largest amount, in the currency's smallest unit: ten thousand million euros.
pub const AMOUNT_MAX: i64 = 1_000_000_000_000;
/// Longest address, in characters.
pub const ADDRESS_MAX_CHARS: usize = 500;
/// Earliest moment of payment, milliseconds of Unix time: the year 2000.
pub const PAID_AT_MIN_MS: i64 = 946_684_800_000;
/// Latest moment of payment, milliseconds of Unix time: the year 2100.
pub const PAID_AT_MAX_MS: i64 = 4_102_444_800_000;
/// Highest revision.
pub const REVISION_MAX: Revision = i32::MAX as Revision;
/// Longest idempotency key, in characters.
pub const KEY_MAX_CHARS: usize = 255;

/// A payment as it is asked for, every value within its rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    order_id: OrderId,
    content: Content,
}

/// The canonical form, by which two requests are told to be the same or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    order_id: String,
    amount_minor: i64,
    currency: String,
    address: String,
    paid_at_ms: Option<i64>,
    revision: Option<Revision>,
}

/// A payment before its values were checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Raw {
    /// The order.
    pub order_id: String,
    /// In the currency's smallest unit.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// Where the parcel goes.
    pub address: String,
    /// When it was paid; the moment of acceptance if left out.
    pub paid_at_ms: Option<i64>,
    /// The revision that the client takes for the next, if it cares.
    pub revision: Option<i64>,
}

/// A value that breaks its rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The field, as JSON names it.
    pub field: &'static str,
    /// The rule.
    pub detail: String,
}

impl Asked {
    /// Checks every value.
    ///
    /// # Errors
    /// All faults, not only the first.
    pub fn check(raw: Raw) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut fault = |field, detail: String| faults.push(Fault { field, detail });
        let order_id = OrderId::new(&raw.order_id);
        if order_id.is_err() {
            fault("orderId", order_id_rule());
        }
        if !(1..=AMOUNT_MAX).contains(&raw.amount_minor) {
            fault("amountMinor", format!("must be between 1 and {AMOUNT_MAX}"));
        }
        if !currency::is_known(&raw.currency) {
            fault("currency", "unknown currency: must be an active code of ISO 4217, such as EUR".into());
        }
        if raw.address.trim().is_empty() || raw.address.chars().count() > ADDRESS_MAX_CHARS {
            fault("address", format!("must have 1 to {ADDRESS_MAX_CHARS} characters, not only blanks"));
        } else if raw.address.chars().any(|c| c.is_control() && c != '\n') {
            fault("address", "must hold no control characters but line feeds".into());
        }
        if raw.paid_at_ms.is_some_and(|at| !(PAID_AT_MIN_MS..=PAID_AT_MAX_MS).contains(&at)) {
            fault("paidAtMs", format!("must be between {PAID_AT_MIN_MS} and {PAID_AT_MAX_MS}"));
        }
        let revision = raw.revision.map(|revision| {
            Revision::try_from(revision).ok().filter(|revision| (1..=REVISION_MAX).contains(revision))
        });
        if revision == Some(None) {
            fault("revision", format!("must be between 1 and {REVISION_MAX}"));
        }
        match order_id {
            Ok(order_id) if faults.is_empty() => {
                let content = Content {
                    order_id: raw.order_id,
                    amount_minor: raw.amount_minor,
                    currency: raw.currency,
                    address: raw.address,
                    paid_at_ms: raw.paid_at_ms,
                    revision: revision.flatten(),
                };
                Ok(Self { order_id, content })
            }
            _ => Err(faults),
        }
    }

    /// The order that is paid.
    pub fn order_id(&self) -> &OrderId {
        &self.order_id
    }

    /// The revision that the client takes for the next.
    pub fn revision(&self) -> Option<Revision> {
        self.content.revision
    }

    /// The canonical form: two requests are the same if theirs are equal.
    pub fn canonical(&self) -> String {
        // Strings and integers only: serialising them cannot fail.
        serde_json::to_string(&self.content).unwrap_or_default()
    }

    /// Whether a request in its canonical form asked for the same payment, whatever revision either took for the next.
    pub fn says_the_same_as(&self, canonical: &str) -> bool {
        serde_json::from_str::<Content>(canonical)
            .is_ok_and(|other| Content { revision: self.content.revision, ..other } == self.content)
    }

    /// The message of this payment.
    pub fn event(&self, revision: Revision, now_ms: i64) -> PaymentEvent {
        let Content { amount_minor, currency, address, paid_at_ms, .. } = self.content.clone();
        PaymentEvent {
            order_id: self.order_id.clone(),
            revision,
            amount_minor,
            currency,
            address,
            paid_at_ms: paid_at_ms.unwrap_or(now_ms),
        }
    }
}

/// The rule of an order id, in words.
pub fn order_id_rule() -> String {
    format!("must have 1 to {ORDER_ID_MAX_BYTES} bytes of UTF-8 and no control characters")
}

/// An idempotency key as a header carries it: 1 to [`KEY_MAX_CHARS`] visible ASCII characters, in quotation marks (as the
/// IETF's draft has it) or bare (as most clients send it).
pub fn idempotency_key(header: &str) -> Option<String> {
    let quoted = header.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let key = quoted.unwrap_or(header);
    let plain = |c: char| c.is_ascii_graphic() && c != '"' && c != '\\';
    ((1..=KEY_MAX_CHARS).contains(&key.len()) && key.chars().all(plain)).then(|| key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw() -> Raw {
        Raw {
            order_id: "o-1".into(),
            amount_minor: 1999,
            currency: "EUR".into(),
            address: "Straße 7\nKöln".into(),
            ..Raw::default()
        }
    }

    #[track_caller]
    fn refused(change: impl FnOnce(&mut Raw), field: &str) {
        let mut raw = raw();
        change(&mut raw);
        let faults = Asked::check(raw).unwrap_err();
        assert_eq!(faults.iter().map(|fault| fault.field).collect::<Vec<_>>(), [field]);
    }

    #[test]
    fn each_rule_is_told_by_its_field() {
        Asked::check(raw()).unwrap();
        refused(|r| r.order_id = "a\u{7}".into(), "orderId");
        refused(|r| r.order_id = "é".repeat(33), "orderId");
        refused(|r| r.amount_minor = 0, "amountMinor");
        refused(|r| r.amount_minor = AMOUNT_MAX + 1, "amountMinor");
        refused(|r| r.currency = "DEM".into(), "currency");
        refused(|r| r.address = " \n".into(), "address");
        refused(|r| r.address = "a\tb".into(), "address");
        refused(|r| r.address = "é".repeat(501), "address");
        refused(|r| r.paid_at_ms = Some(0), "paidAtMs");
        refused(|r| r.revision = Some(0), "revision");
        refused(|r| r.revision = Some(1 << 31), "revision");
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let faults = Asked::check(Raw::default()).unwrap_err();
        let fields: Vec<_> = faults.iter().map(|fault| fault.field).collect();
        assert_eq!(fields, ["orderId", "amountMinor", "currency", "address"]);
    }

    #[test]
    fn the_same_payment_is_told_from_another() {
        let asked = Asked::check(raw()).unwrap();
        let with = |change: fn(&mut Raw)| {
            let mut raw = raw();
            change(&mut raw);
            Asked::check(raw).unwrap().canonical()
        };
        assert!(asked.says_the_same_as(&with(|r| r.revision = Some(7))));
        assert_ne!(asked.canonical(), with(|r| r.revision = Some(7)));
        for other in [
            with(|r| r.amount_minor = 2),
            with(|r| r.address = "elsewhere".into()),
            with(|r| r.paid_at_ms = Some(PAID_AT_MIN_MS)),
            "{}".into(),
        ] {
            assert!(!asked.says_the_same_as(&other), "{other}");
        }
    }

    #[test]
    fn a_key_comes_bare_or_quoted() {
        assert_eq!(idempotency_key("8e03978e-40d5").as_deref(), Some("8e03978e-40d5"));
        assert_eq!(idempotency_key("\"8e03978e\"").as_deref(), Some("8e03978e"));
        let long = "k".repeat(256);
        for refused in ["", "\"\"", "a b", "a\"b", "\"a", "é", long.as_str()] {
            assert_eq!(idempotency_key(refused), None, "{refused}");
        }
    }
}

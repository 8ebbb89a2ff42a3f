//! A digest of what an event says, by which contents are compared without being kept.

use payment_delivery::delivery::Delivery;
use payment_delivery::event::PaymentEvent;
use sha2::{Digest as _, Sha256};

/// The first 8 bytes of SHA-256 over `amount|currency|address`: what event, parked event and row have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentDigest(u64);

impl ContentDigest {
    /// Of a text that has this form already, as a trigger of the database puts it together.
    pub fn of_text(content: &str) -> Self {
        Self::first(&Sha256::digest(content.as_bytes()))
    }

    /// Of an event.
    pub fn of_event(event: &PaymentEvent) -> Self {
        Self::of(event.amount_minor, &event.currency, &event.address)
    }

    /// Of a row.
    pub fn of_row(row: &Delivery) -> Self {
        Self::of(row.amount_minor, &row.currency, &row.address)
    }

    /// As a number.
    pub(super) fn bits(self) -> u64 {
        self.0
    }

    fn of(amount_minor: i64, currency: &str, address: &str) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(amount_minor.to_string());
        for part in [currency, address] {
            hasher.update("|");
            hasher.update(part);
        }
        Self::first(&hasher.finalize())
    }

    fn first(hash: &[u8]) -> Self {
        Self(u64::from_be_bytes(*hash.first_chunk().expect("SHA-256 has 32 bytes")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_that_of_the_standard_over_the_text_that_a_trigger_keeps() {
        // sha256sum of `1999|EUR|7 Mill Lane`, its first 8 bytes.
        let digest = ContentDigest::of(1999, "EUR", "7 Mill Lane");
        assert_eq!(digest.bits(), 0xb0b3_4478_c828_56d6);
        assert_eq!(digest, ContentDigest::of_text("1999|EUR|7 Mill Lane"));
        assert_ne!(digest, ContentDigest::of(1999, "EUR", "7 Mill Lane, Leeds"));
    }
}

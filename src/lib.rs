//! The payment-to-delivery pipeline: keyed events through Kafka to a delivery row and a status view.
//!
//! ```text
//! PaymentEvent ─▶ kafka::producer ─▶ topic ─▶ kafka::fetch ─▶ consumer ─▶ mode ─▶ store ─▶ view
//!                 (murmur2 of the                 ▲              │
//!                  order id)                      └─ kafka::group ┘ (membership, offsets)
//! ```
//!
//! In front of it, [`intake`] accepts payments and sends them, and [`api`] offers both ends over HTTP.
//!
//! The pipeline does not know that it is measured: it calls a [`probe::Probe`], and `()` is the silent one.

// A future within a future within a future: what the compiler asks of one it asks of all of them.
#![recursion_limit = "256"]

pub mod api;
pub mod consumer;
pub mod delivery;
pub mod event;
pub mod failure;
#[cfg(any(test, feature = "contract-tests"))]
mod frozen;
pub mod intake;
pub mod kafka;
pub mod probe;
pub mod redact;
pub mod store;
pub mod timer;
pub mod tls;
pub mod view;

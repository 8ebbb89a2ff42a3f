//! Connections kept between requests, one a broker.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kafka_protocol::protocol::Request;
use tokio::time::Instant;

use super::{ConnError, Connection};

type Slot = Arc<tokio::sync::Mutex<Option<Connection>>>;

/// Requests to one broker queue up on its one connection; requests to several go side by side.
#[derive(Debug)]
pub(crate) struct Pool {
    client_id: String,
    slots: Mutex<HashMap<String, Slot>>,
}

impl Pool {
    pub(crate) fn new(client_id: String) -> Self {
        Self { client_id, slots: Mutex::default() }
    }

    /// Sends `request` to `address` and waits for its answer until `deadline`, connecting if need be.
    ///
    /// A failure closes the connection; the next call makes a new one.
    pub(crate) async fn call<R: Request>(
        &self,
        address: &str,
        version: i16,
        request: &R,
        deadline: Instant,
    ) -> Result<R::Response, ConnError> {
        let slot = self.slot(address);
        let left = || deadline.saturating_duration_since(Instant::now());
        let limit = left();
        let Ok(mut slot) = tokio::time::timeout_at(deadline, slot.lock()).await else {
            let what = "the requests before this one".to_owned();
            return Err(ConnError::TimedOut { address: address.to_owned(), what, limit });
        };
        let conn = match slot.take() {
            Some(conn) if conn.is_open() => conn,
            _ => Connection::connect(address, &self.client_id, left()).await?,
        };
        slot.insert(conn).call(version, request, left()).await
    }

    fn slot(&self, address: &str) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(address.to_owned()).or_default())
    }
}

//! Durable deliveries behind one trait.

use std::time::Duration;

use async_trait::async_trait;

use crate::delivery::{Delivery, Fold, StatusEntry};
use crate::event::{OrderId, Revision};
use crate::kafka::Origin;

mod connections;
#[cfg(any(test, feature = "contract-tests"))]
pub mod contract;
mod error;
#[cfg(any(test, feature = "contract-tests"))]
pub mod model;
mod pages;
pub mod payments;
pub mod postgres;
mod row;
mod session;
mod sql;
pub mod sqlite;

/// Rows read at a time when all are wanted, so that each read stays within the store's time-outs.
const PAGE: i64 = 10_000;

/// What the store did with a fold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The row took it (and whatever parked run it completed).
    Applied,
    /// The row already held it.
    Ignored,
    /// It waits for what comes before it.
    Parked,
}

/// The outcome of [`DeliveryStore::apply`], committed when it is returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What happened to the fold.
    pub effect: Effect,
    /// The row's status after it, parked run included; `None` while nothing of the order was applied.
    pub row: Option<StatusEntry>,
}

/// An event that waits in the store for what comes before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// Its order.
    pub order_id: OrderId,
    /// First revision of the parked fold.
    pub first: Revision,
    /// Last revision of the parked fold.
    pub last: Revision,
    /// Where its message lies in the log.
    pub origin: Origin,
}

/// Why a store call failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store is away, slow or out of resources: try again, the message is not at fault.
    #[error("the store did not answer: {0}")]
    Unavailable(String),
    /// The store refuses this message for good (SQLSTATE class 22 or 23).
    #[error("the store refused the message with SQLSTATE {sqlstate}: {message}")]
    Refused {
        /// Five characters of SQLSTATE.
        sqlstate: String,
        /// The store's own words.
        message: String,
    },
    /// The store cannot be used as it is: wrong password, missing right, missing table.
    #[error("the store cannot be used: {0}")]
    Unusable(String),
}

/// Durable deliveries. Every method is bounded in time by the store's own time-outs.
#[async_trait]
pub trait DeliveryStore: Send + Sync + 'static {
    /// Applies, ignores or parks a fold, as [`crate::delivery::decide`] says, in one atomic step; committed on return.
    /// Filling a gap applies the parked run behind it in order.
    async fn apply(&self, fold: &Fold, origin: Origin) -> Result<Outcome, StoreError>;

    /// Applies those of `folds` that follow their rows, in one atomic step; committed on return. At most one fold an order, and sorted
    /// by order, so that two that write the same orders at once wait for each other in one line.
    ///
    /// Tells for each fold the row that took it, parked run included. `None`: the row is behind it or holds some of it already, and nothing
    /// was done with it; it goes to [`DeliveryStore::apply`] event by event. So does everything where a store has no such step, as by
    /// default.
    ///
    /// # Errors
    /// As for `apply`. [`StoreError::Refused`] where one of the folds is refused; then none was applied.
    async fn apply_all(&self, folds: &[(Fold, Origin)]) -> Result<Vec<Option<StatusEntry>>, StoreError> {
        Ok(vec![None; folds.len()])
    }

    /// The row of one order; `None` while nothing of it was applied.
    async fn delivery(&self, order_id: &OrderId) -> Result<Option<Delivery>, StoreError>;

    /// The rows of several orders, in any order; those of which nothing was applied are not among them.
    async fn deliveries_of(&self, order_ids: &[OrderId]) -> Result<Vec<Delivery>, StoreError> {
        let mut found = Vec::with_capacity(order_ids.len());
        for order_id in order_ids {
            found.extend(self.delivery(order_id).await?);
        }
        Ok(found)
    }

    /// Some rows by order id, those behind `after`, or the first: a page of all, so that no call is as long as a table. None means that
    /// there are no more. Rows that change meanwhile may be seen before or after the change.
    async fn deliveries_after(&self, after: Option<&OrderId>) -> Result<Vec<Delivery>, StoreError>;

    /// All rows, by order id.
    async fn deliveries(&self) -> Result<Vec<Delivery>, StoreError> {
        let mut all: Vec<Delivery> = Vec::new();
        loop {
            let page = self.deliveries_after(all.last().map(|last| &last.order_id)).await?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page);
        }
    }

    /// All parked events, for the checks of truth.
    async fn parked(&self) -> Result<Vec<Parked>, StoreError>;

    /// How long a client that is frozen in the middle of a call may hold the row of an order. Must be below the session time-out of the
    /// group, so that a successor finds it free.
    fn row_held_max(&self) -> Duration {
        Duration::ZERO
    }

    /// Creates the tables if they are missing.
    async fn prepare(&self) -> Result<(), StoreError>;

    /// Empties the tables.
    async fn clear(&self) -> Result<(), StoreError>;
}

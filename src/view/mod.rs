//! The fast status copy behind one trait. Every write is compare-and-set on the revision.

use async_trait::async_trait;

use crate::delivery::{Delivery, StatusEntry};
use crate::event::{OrderId, Revision};
use crate::store::{DeliveryStore, StoreError};

#[cfg(any(test, feature = "contract-tests"))]
pub mod contract;
#[cfg(test)]
mod interleaving;
pub mod memory;
pub mod redis;

/// Why a view call failed.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The view is away or slow: try again.
    #[error("the view did not answer: {0}")]
    Unavailable(String),
    /// The view cannot be used as it is: wrong password, missing right, or a key that holds something else.
    #[error("the view cannot be used: {0}")]
    Unusable(String),
}

/// What a write found, and what it left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Put {
    /// The revision now in the view.
    pub revision: Revision,
    /// Whether the view knew the order before.
    pub was_there: bool,
}

/// The status of deliveries where it can be queried at once. A cache: what is lost is rebuilt from the store.
#[async_trait]
pub trait StatusView: Send + Sync + 'static {
    /// Writes `entry` unless the view holds the same or a later revision.
    async fn put_if_newer(&self, entry: &StatusEntry) -> Result<Put, ViewError>;

    /// The same for several, in few round trips where the view can; tells what each write found and left, in the order of `entries`.
    async fn put_all_if_newer(&self, entries: &[StatusEntry]) -> Result<Vec<Put>, ViewError> {
        let mut puts = Vec::with_capacity(entries.len());
        for entry in entries {
            puts.push(self.put_if_newer(entry).await?);
        }
        Ok(puts)
    }

    /// What the view holds for each of `order_ids`, in their order.
    async fn get(&self, order_ids: &[OrderId]) -> Result<Vec<Option<StatusEntry>>, ViewError>;

    /// Forgets everything under this view's prefix.
    async fn clear(&self) -> Result<(), ViewError>;
}

/// Why a status could not be read.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// The store, asked because the view had nothing, failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Who answered a question for a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The view.
    View,
    /// The store, because the view had nothing or was away.
    Store,
}

/// A status and who told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The status.
    pub entry: StatusEntry,
    /// Where it comes from.
    pub by: Source,
}

/// The status of one order: from the view, else from the store, refilling the view by the same compare-and-set.
///
/// A view that is away only costs speed: the store answers, and the refill is left out.
///
/// # Errors
/// [`StatusError`] when the store was needed and failed.
pub async fn status(
    view: &dyn StatusView,
    store: &dyn DeliveryStore,
    order_id: &OrderId,
) -> Result<Option<Told>, StatusError> {
    let asked = view.get(std::slice::from_ref(order_id)).await;
    let away = asked.is_err();
    if let Ok(found) = asked
        && let Some(Some(entry)) = found.into_iter().next()
    {
        return Ok(Some(Told { entry, by: Source::View }));
    }
    let Some(delivery) = store.delivery(order_id).await? else {
        return Ok(None);
    };
    let entry = delivery.status_entry();
    // A view that has just failed would make the caller wait for its time-out once more.
    if !away {
        let put =
            |entry: StatusEntry| async move { view.put_if_newer(&entry).await.map_err(|e| e.to_string()) };
        let row = || async move { store.delivery(order_id).await.map_err(|e| e.to_string()) };
        if let Err(error) = publish(entry.clone(), false, put, row).await {
            tracing::debug!(error, order = %order_id, "the view was not refilled");
        }
    }
    Ok(Some(Told { entry, by: Source::Store }))
}

/// Brings an order's row into the view: `put` writes a status there, `row` asks the store anew. Returns the revision then in the view.
///
/// A view that had lost the order takes whatever comes, and what comes may be late: of a worker that was frozen, of a reader that asked the
/// store before the loss. So a write that finds no status is followed by one of the row as it is by then, until one finds a status or the
/// row has nothing newer. Not so where the order `is_new`: its first event was applied just now, and no status is expected.
///
/// # Errors
/// Those of `put` and `row`.
pub async fn publish<E, Written, Row>(
    mut entry: StatusEntry,
    is_new: bool,
    put: impl Fn(StatusEntry) -> Written,
    row: impl Fn() -> Row,
) -> Result<Revision, E>
where
    Written: Future<Output = Result<Put, E>>,
    Row: Future<Output = Result<Option<Delivery>, E>>,
{
    loop {
        let written = put(entry.clone()).await?;
        if written.was_there || is_new {
            return Ok(written.revision);
        }
        match row().await? {
            Some(row) if row.revision > entry.revision => entry = row.status_entry(),
            _ => return Ok(written.revision),
        }
    }
}

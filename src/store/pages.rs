//! Tables read whole, page by page, so that no call is as long as a table.

use std::future::Future;

use super::row::{self, Columns};
use super::{PAGE, Parked, StoreError, error};
use crate::delivery::Delivery;

/// A store that brings up to [`PAGE`] rows at a time.
pub(super) trait Pages: Sync {
    /// A row of either table.
    type Row: Columns + Send + Sync;

    /// Rows behind an order id, in the order of their ids.
    fn deliveries_after(
        &self,
        order_id: &str,
    ) -> impl Future<Output = Result<Vec<Self::Row>, StoreError>> + Send;

    /// Parked events behind an order id and its last revision, in their order.
    fn parked_after(
        &self,
        order_id: &str,
        last: i32,
    ) -> impl Future<Output = Result<Vec<Self::Row>, StoreError>> + Send;
}

/// Every row, by order id. Rows that change meanwhile may be seen before or after the change.
pub(super) async fn deliveries<S: Pages>(store: &S) -> Result<Vec<Delivery>, StoreError> {
    let mut all: Vec<Delivery> = Vec::new();
    loop {
        let after = all.last().map_or("", |last| last.order_id.as_str());
        let page = store.deliveries_after(after).await?;
        for found in &page {
            all.push(row::delivery(found)?);
        }
        if (page.len() as i64) < PAGE {
            return Ok(all);
        }
    }
}

/// Every parked event, by order id and revision; as [`deliveries`] otherwise.
pub(super) async fn parked<S: Pages>(store: &S) -> Result<Vec<Parked>, StoreError> {
    let mut all: Vec<Parked> = Vec::new();
    loop {
        let (after, last) = match all.last() {
            Some(last) => (last.order_id.as_str(), error::integer(last.last)?),
            None => ("", 0),
        };
        let page = store.parked_after(after, last).await?;
        for found in &page {
            all.push(row::parked(found)?);
        }
        if (page.len() as i64) < PAGE {
            return Ok(all);
        }
    }
}

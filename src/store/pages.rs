//! Tables read page by page, so that no call is as long as a table.

use std::future::Future;

use super::row::{self, Columns};
use super::{PAGE, Parked, StoreError, error};
use crate::delivery::Delivery;
use crate::event::OrderId;

/// A store that brings up to [`PAGE`] rows at a time.
pub(super) trait Pages: Sync {
    /// A row of either table.
    type Row: Columns + Send + Sync;

    /// Rows behind an order id, in the order of their ids.
    fn rows_after(&self, order_id: &str) -> impl Future<Output = Result<Vec<Self::Row>, StoreError>> + Send;

    /// Parked events behind an order id and its last revision, in their order.
    fn parked_after(
        &self,
        order_id: &str,
        last: i32,
    ) -> impl Future<Output = Result<Vec<Self::Row>, StoreError>> + Send;
}

/// A page of rows, by order id.
pub(super) async fn deliveries<S: Pages>(
    store: &S,
    after: Option<&OrderId>,
) -> Result<Vec<Delivery>, StoreError> {
    let page = store.rows_after(after.map_or("", OrderId::as_str)).await?;
    page.iter().map(row::delivery).collect()
}

/// Every parked event, by order id and revision.
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

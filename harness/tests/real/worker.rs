//! Death and a graceful stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use libtest_mimic::Failed;
use payment_delivery::consumer::{ConsumerConfig, Mode, ProcessorDeps};
use payment_delivery::delivery::{Status, StatusEntry};
use payment_delivery::event::{OrderId, Revision};
use payment_delivery::store::DeliveryStore;
use payment_delivery::view::{Put, StatusView, ViewError, publish};
use serde_json::json;

use crate::Case;
use crate::bed::{Bed, Diary, check, evidence, in_mode, until};

pub(crate) const CASES: &[Case] = &[
    ("a worker killed between row and view leaves nothing stale behind", killed_between_row_and_view),
    ("a worker stopped gracefully leaves nothing to be redelivered", |bed| {
        stopped_gracefully(bed, Mode::Record)
    }),
    ("a worker stopped gracefully in batch mode leaves nothing either", |bed| {
        stopped_gracefully(bed, Mode::Batch)
    }),
    ("a late status does not stay in a view that came back empty", came_back_empty),
];

/// A view whose writes hang, as if the worker had died before they were sent.
struct Hanging {
    inner: Arc<dyn StatusView>,
    reached: AtomicBool,
}

#[async_trait]
impl StatusView for Hanging {
    async fn put_if_newer(&self, _entry: &StatusEntry) -> Result<Put, ViewError> {
        self.reached.store(true, Ordering::Release);
        std::future::pending().await
    }
    async fn get(&self, order_ids: &[OrderId]) -> Result<Vec<Option<StatusEntry>>, ViewError> {
        self.inner.get(order_ids).await
    }
    async fn clear(&self) -> Result<(), ViewError> {
        self.inner.clear().await
    }
}

fn killed_between_row_and_view(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let field = bed.field(1).await?;
        field.produce(1, 1..=1).await?;
        let order = OrderId::new("order-0")?;
        let (store, view) = (field.store().await?, field.view().await?);

        let probe = Arc::new(Diary::default());
        let parts = field.parts(probe.clone()).await?;
        let hanging = Arc::new(Hanging { inner: Arc::clone(&parts.view), reached: AtomicBool::new(false) });
        let doomed = field.consumer(field.config("doomed"), ProcessorDeps { view: hanging.clone(), ..parts });
        until(Duration::from_secs(20), "the row was not committed", async || {
            Ok(hanging.reached.load(Ordering::Acquire))
        })
        .await?;
        doomed.kill().await;
        let row = store.delivery(&order).await?;
        check(row.is_some_and(|row| row.revision == 1), "the row should be there")?;
        let shown = view.get(std::slice::from_ref(&order)).await?;
        check(shown == [None], "the view should not have it yet")?;

        let heir = field.consumer(field.config("heir"), field.parts(probe.clone()).await?);
        field.worked_off(Duration::from_secs(30)).await?;
        heir.stop().await?;
        let shown = view.get(std::slice::from_ref(&order)).await?;
        let right = matches!(shown.as_slice(), [Some(entry)] if entry.revision == 1);
        check(right, format!("the view should show revision 1: {shown:?}"))?;
        let row = store.delivery(&order).await?;
        check(row.as_ref().is_some_and(|row| row.applied == 1), format!("applied once: {row:?}"))?;
        check(probe.count() == 2, "the heir should have had it redelivered")?;
        evidence(
            "killed-between-row-and-view",
            &json!({"deliveries": probe.count(), "row_applied": 1, "view_revision_before": null, "view_revision_after": 1}),
        )
    })
}

fn stopped_gracefully(bed: &Bed, mode: Mode) -> Result<(), Failed> {
    // More than a batch or two.
    let orders = if mode == Mode::Batch { 6_000 } else { 600 };
    bed.run(async {
        let field = bed.field(3).await?;
        let acked = field.produce(orders, 1..=5).await?;
        let probe = Arc::new(Diary::default());
        let config = |name| ConsumerConfig { mode, ..field.config(name) };
        let first = field.consumer(config("first"), field.parts(probe.clone()).await?);
        until(Duration::from_secs(30), "the first consumer did not work", async || {
            Ok(probe.count() > acked.len() / 4)
        })
        .await?;
        first.stop().await?;
        let at_stop = probe.count();
        check(at_stop < acked.len(), "it should have been stopped in the middle")?;
        let second = field.consumer(config("second"), field.parts(probe.clone()).await?);
        field.worked_off(Duration::from_secs(60)).await?;
        second.stop().await?;
        check(probe.repeats().is_empty(), format!("redelivered: {:?}", probe.repeats()))?;
        check(probe.count() == acked.len(), format!("{} of {} delivered", probe.count(), acked.len()))?;
        let rows = field.store().await?.deliveries().await?;
        let whole = rows.len() == orders as usize && rows.iter().all(|r| r.revision == 5 && r.applied == 5);
        check(whole, "every order should be at revision 5, applied 5 times")?;
        evidence(
            &in_mode("stopped-gracefully", mode),
            &json!({"events": acked.len(), "delivered_before_stop": at_stop, "redelivered": probe.repeats().len()}),
        )
    })
}

/// The view loses what it has; then a worker that was frozen writes the status that it had in hand.
fn came_back_empty(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let field = bed.field(1).await?;
        field.produce(1, 1..=3).await?;
        let consumer = field.consumer(field.config("one"), field.parts(Arc::new(Diary::default())).await?);
        field.worked_off(Duration::from_secs(30)).await?;
        consumer.stop().await?;
        let (store, view) = (field.store().await?, field.view().await?);
        let order = OrderId::new("order-0")?;
        let shown = async || -> Result<Option<Revision>, Failed> {
            let shown = view.get(std::slice::from_ref(&order)).await?;
            Ok(shown.into_iter().next().flatten().map(|entry| entry.revision))
        };
        view.clear().await?;
        check(shown().await?.is_none(), "the view should be empty")?;
        let late = StatusEntry { order_id: order.clone(), revision: 2, status: Status::at(2) };
        let put = |entry: StatusEntry| {
            let view = &view;
            async move { view.put_if_newer(&entry).await.map_err(Failed::from) }
        };
        let row = || async { store.delivery(&order).await.map_err(Failed::from) };
        let in_view = publish(late, false, put, row).await?;
        let now = shown().await?;
        check((in_view, now) == (3, Some(3)), format!("the row is at 3, the view at {now:?}"))?;
        evidence(
            "view-came-back-empty",
            &json!({"row_revision": 3, "late_revision": 2, "view_revision": now}),
        )
    })
}

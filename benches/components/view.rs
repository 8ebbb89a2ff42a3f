//! One status into the view: a later revision, and an earlier one, which changes nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use lanebench::stack::Backing;
use payment_delivery::delivery::{Status, StatusEntry};
use payment_delivery::event::OrderId;
use payment_delivery::view::memory::MemoryView;
use payment_delivery::view::redis::{RedisTimeouts, RedisView};
use payment_delivery::view::{StatusView, ViewError};

use crate::bed::Bed;
use crate::support::Session;

const ORDERS: u64 = 1000;
const LATEST: u32 = i32::MAX as u32;

pub(crate) fn bench(criterion: &mut Criterion, session: &Session, bed: &Bed<'_>) {
    let mut group = criterion.benchmark_group("view");
    group.throughput(Throughput::Elements(1));
    for (name, later) in [("put", true), ("put, held already", false)] {
        let mut opened = None;
        session.bench(&mut group, BenchmarkId::new(name, bed.kind()), |b| {
            let view: &dyn StatusView = &**opened.get_or_insert_with(|| open(session, bed));
            b.to_async(&session.runtime)
                .iter_custom(|iterations| async move { session.need(put(view, later, iterations).await) });
        });
    }
    group.finish();
}

fn open(session: &Session, bed: &Bed<'_>) -> Arc<dyn StatusView> {
    let backing = bed.stack().target().backing;
    session.need(session.runtime.block_on(async {
        let view: Arc<dyn StatusView> = match backing {
            Backing::InProcess { .. } => Arc::new(MemoryView::new()),
            Backing::Servers { redis_url, .. } => {
                Arc::new(RedisView::connect(&redis_url, "lanebench_bench:", RedisTimeouts::default()).await?)
            }
        };
        Ok::<_, ViewError>(view)
    }))
}

async fn put(view: &dyn StatusView, later: bool, writes: u64) -> Result<Duration, ViewError> {
    let ids: Vec<OrderId> =
        (0..ORDERS).map(|n| OrderId::new(&format!("d-{n:06}")).expect("a valid id")).collect();
    let entry = |n: u64, revision: u32| StatusEntry {
        order_id: ids[(n % ORDERS) as usize].clone(),
        revision,
        status: Status::at(revision),
    };
    view.clear().await?;
    for n in 0..ORDERS {
        view.put_if_newer(&entry(n, if later { 1 } else { LATEST })).await?;
    }
    let entries: Vec<StatusEntry> = (0..writes).map(|n| entry(n, (n / ORDERS) as u32 + 2)).collect();
    let begun = Instant::now();
    for entry in &entries {
        let held = view.put_if_newer(entry).await?;
        assert_eq!(held.revision, if later { entry.revision } else { LATEST }, "{}", entry.order_id);
    }
    Ok(begun.elapsed())
}

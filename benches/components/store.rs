//! One event into the durable store: the first of an order, the next of one, and one that the row holds already.

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use lanebench::stack::Backing;
use lanebench::workload::Plan;
use payment_delivery::delivery::Fold;
use payment_delivery::event::{OrderId, PaymentEvent};
use payment_delivery::kafka::Origin;
use payment_delivery::store::postgres::{PostgresOptions, PostgresStore};
use payment_delivery::store::{DeliveryStore, Effect, StoreError};

use crate::bed::Bed;
use crate::codec::spec;
use crate::support::Session;

/// Rows that the next revisions go round.
const ROWS: u64 = 1000;

/// What the event is to the row that it meets.
#[derive(Clone, Copy)]
enum Meets {
    NoRow,
    ItsPredecessor,
    Itself,
}

pub(crate) fn bench(criterion: &mut Criterion, session: &Session, bed: &Bed<'_>) {
    let plan = Plan::backlog(&spec(), 1).expect("a valid plan");
    let event = plan.payment(0);
    let mut group = criterion.benchmark_group("store");
    group.throughput(Throughput::Elements(1));
    let cases =
        [("new row", Meets::NoRow), ("next revision", Meets::ItsPredecessor), ("redelivery", Meets::Itself)];
    for (name, meets) in cases {
        let mut opened = None;
        session.bench(&mut group, BenchmarkId::new(name, bed.kind()), |b| {
            let store: &dyn DeliveryStore = &**opened.get_or_insert_with(|| open(session, bed));
            let event = &event;
            b.to_async(&session.runtime).iter_custom(|iterations| async move {
                session.need(apply(store, event, meets, iterations).await)
            });
        });
    }
    group.finish();
}

fn open(session: &Session, bed: &Bed<'_>) -> Arc<dyn DeliveryStore> {
    let backing = bed.stack().target().backing;
    session.need(session.runtime.block_on(async {
        let store: Arc<dyn DeliveryStore> = match backing {
            Backing::InProcess { store, .. } => store,
            Backing::Servers { database_url, .. } => {
                let options = PostgresOptions {
                    schema: "lanebench_bench".into(),
                    max_connections: 1,
                    ..PostgresOptions::default()
                };
                Arc::new(PostgresStore::connect(&database_url, options).await?)
            }
        };
        store.prepare().await?;
        Ok::<_, StoreError>(store)
    }))
}

/// Applies this many events, one after another, on tables that hold nothing but what they need.
async fn apply(
    store: &dyn DeliveryStore,
    event: &PaymentEvent,
    meets: Meets,
    events: u64,
) -> Result<Duration, StoreError> {
    let origin = |n: u64| Origin { partition: 0, offset: n as i64 };
    let orders = if matches!(meets, Meets::NoRow) { events } else { ROWS.min(events) };
    let ids: Vec<OrderId> =
        (0..orders).map(|n| OrderId::new(&format!("d-{n:06}")).expect("a valid id")).collect();
    let fold = |n: u64| {
        let revision = match meets {
            Meets::NoRow | Meets::Itself => 1,
            Meets::ItsPredecessor => n / orders + 2,
        };
        let order_id = ids[(n % orders) as usize].clone();
        Fold::one(PaymentEvent { order_id, revision: revision as u32, ..event.clone() })
    };
    store.clear().await?;
    if !matches!(meets, Meets::NoRow) {
        for (n, order_id) in (0..).zip(&ids) {
            let first = PaymentEvent { order_id: order_id.clone(), revision: 1, ..event.clone() };
            store.apply(&Fold::one(first), origin(n)).await?;
        }
    }
    let folds: Vec<Fold> = (0..events).map(fold).collect();
    let expected = if matches!(meets, Meets::Itself) { Effect::Ignored } else { Effect::Applied };
    let begun = Instant::now();
    for (n, fold) in (0..).zip(&folds) {
        let outcome = store.apply(fold, origin(n)).await?;
        assert_eq!(outcome.effect, expected, "event {n}");
    }
    Ok(begun.elapsed())
}

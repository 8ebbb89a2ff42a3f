//! What every [`StatusView`] must hold, as functions that panic where one does not.
//!
//! Each check uses order ids of its own, so all may run on one view, side by side; only
//! [`clear_forgets_its_own_prefix`] wants its views for itself.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{Put, Source, StatusView, Told, ViewError, status};
use crate::delivery::{Status, StatusEntry};
use crate::event::{OrderId, Revision};
use crate::store::DeliveryStore;
use crate::store::contract::{fold, origin};
use crate::store::model::ModelStore;

/// A check of one view.
pub type Check = for<'a> fn(&'a dyn StatusView) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Every check that needs no more than one view, by name.
pub const CHECKS: &[(&str, Check)] = &[
    ("a_status_moves_forward_only", |v| Box::pin(a_status_moves_forward_only(v))),
    ("many_statuses_are_written_as_single_ones_are", |v| {
        Box::pin(many_statuses_are_written_as_single_ones_are(v))
    }),
    ("many_statuses_come_in_the_order_asked_for", |v| Box::pin(many_statuses_come_in_the_order_asked_for(v))),
    ("a_read_refills_what_was_lost", |v| Box::pin(a_read_refills_what_was_lost(v))),
];

/// The entry of `order` at `revision`.
pub fn entry(order: &str, revision: Revision) -> StatusEntry {
    StatusEntry { order_id: id(order), revision, status: Status::at(revision) }
}

fn id(order: &str) -> OrderId {
    OrderId::new(order).expect("the checks' order ids are valid")
}

async fn held(view: &dyn StatusView, order: &str) -> Option<StatusEntry> {
    let found = view.get(&[id(order)]).await.expect("the view is read");
    assert_eq!(found.len(), 1, "one order was asked for");
    found.into_iter().next().flatten()
}

/// Late, repeated and early writes end in the highest revision, and each answer says what is held.
///
/// # Panics
/// Where the view does otherwise; so for every check here.
pub async fn a_status_moves_forward_only(view: &dyn StatusView) {
    let order = "contract-forward";
    assert_eq!(held(view, order).await, None);
    // Text would put 10 before 9.
    let mut was_there = false;
    for (written, revision) in
        [(2, 2), (1, 2), (2, 2), (9, 9), (10, 10), (9, 10), (i32::MAX as u32, i32::MAX as u32)]
    {
        let put = view.put_if_newer(&entry(order, written)).await.expect("the view is written");
        assert_eq!(put, Put { revision, was_there }, "after revision {written}");
        was_there = true;
        assert_eq!(held(view, order).await, Some(entry(order, revision)));
    }
}

/// More than fit one round trip, older and newer ones and one order twice; each answer says what is held.
pub async fn many_statuses_are_written_as_single_ones_are(view: &dyn StatusView) {
    let order = |n: u32| format!("contract-many-at-once-{n}");
    let held_before = |n: u32| (!n.is_multiple_of(3)).then_some(10 * (n % 3));
    for n in 0..12 {
        if let Some(revision) = held_before(n) {
            view.put_if_newer(&entry(&order(n), revision)).await.expect("the view is written");
        }
    }
    let written: Vec<StatusEntry> =
        (0..1_203).chain([3]).map(|n| entry(&order(n), if n < 12 { 15 } else { n })).collect();
    let puts = view.put_all_if_newer(&written).await.expect("the view is written");
    let expected = (0..1_203).map(|n| match held_before(n) {
        Some(held) if n < 12 => Put { revision: held.max(15), was_there: true },
        _ => Put { revision: if n < 12 { 15 } else { n }, was_there: false },
    });
    let again = Put { revision: 15, was_there: true };
    assert_eq!(puts, expected.chain([again]).collect::<Vec<_>>());
    for n in [0, 1, 2, 3, 11, 12, 1_202] {
        let revision = puts[n as usize].revision;
        assert_eq!(held(view, &order(n)).await, Some(entry(&order(n), revision)));
    }
    assert_eq!(view.put_all_if_newer(&[]).await.expect("nothing is written"), []);
}

/// More than fit one round trip, known and unknown mixed, one twice.
pub async fn many_statuses_come_in_the_order_asked_for(view: &dyn StatusView) {
    let order = |n: u32| format!("contract-many-주문-{n}");
    for n in (0..30).step_by(3) {
        view.put_if_newer(&entry(&order(n), n + 1)).await.expect("the view is written");
    }
    let asked: Vec<u32> = (0..1_203).rev().chain([3]).collect();
    let ids: Vec<OrderId> = asked.iter().map(|n| id(&order(*n))).collect();
    let expected = asked.iter().map(|n| (n % 3 == 0 && *n < 30).then(|| entry(&order(*n), n + 1)));
    let found = view.get(&ids).await.expect("the view is read");
    assert_eq!(found, expected.collect::<Vec<_>>());
    assert_eq!(view.get(&[]).await.expect("the view is read"), []);
}

/// The view is a cache: what it has not, a read brings back from the store; what neither has, stays unknown.
pub async fn a_read_refills_what_was_lost(view: &dyn StatusView) {
    let order = "contract-refill";
    let store = ModelStore::default();
    assert_eq!(status(view, &store, &id(order)).await.expect("the status is read"), None);
    for revision in [1, 2] {
        store.apply(&fold(order, revision, revision), origin(revision)).await.expect("the model takes it");
    }
    let found = status(view, &store, &id(order)).await.expect("the status is read");
    assert_eq!(found, Some(Told { entry: entry(order, 2), by: Source::Store }));
    assert_eq!(held(view, order).await, Some(entry(order, 2)), "the view was refilled");
    let found = status(view, &store, &id(order)).await.expect("the status is read");
    assert_eq!(found, Some(Told { entry: entry(order, 2), by: Source::View }));
}

/// Views of one server, each with a connection of its own, write the same order at once; a reader never sees it go back.
pub async fn writes_at_once_never_go_back(views: &[Arc<dyn StatusView>]) {
    const LAST: Revision = 300;
    let order = "contract-at-once";
    let done = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = views
        .iter()
        .enumerate()
        .map(|(nth, view)| {
            let view = Arc::clone(view);
            tokio::spawn(async move {
                for revision in 1..=LAST {
                    // Each writer in another order: every second one backwards.
                    let revision = if nth % 2 == 0 { revision } else { LAST + 1 - revision };
                    let put = view.put_if_newer(&entry(order, revision)).await.expect("the view is written");
                    assert!(put.revision >= revision, "{} after {revision}", put.revision);
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let reader = {
        let (view, done) = (Arc::clone(&views[0]), Arc::clone(&done));
        tokio::spawn(async move {
            let mut last = 0;
            while !done.load(Ordering::Relaxed) {
                let now = held(&*view, order).await.map_or(0, |entry| entry.revision);
                assert!(now >= last, "the view went back from {last} to {now}");
                last = now;
                // A view in process never waits, and would keep the writers from running.
                tokio::task::yield_now().await;
            }
        })
    };
    for writer in writers {
        writer.await.expect("a writing task panicked");
    }
    done.store(true, Ordering::Relaxed);
    reader.await.expect("the reading task panicked");
    assert_eq!(held(&*views[0], order).await, Some(entry(order, LAST)));
}

/// Clearing one view leaves another prefix alone. Wants both for itself.
pub async fn clear_forgets_its_own_prefix(view: &dyn StatusView, other: &dyn StatusView) {
    for n in 0..2_500 {
        view.put_if_newer(&entry(&format!("contract-clear-{n}"), 1)).await.expect("the view is written");
    }
    other.put_if_newer(&entry("contract-clear-0", 7)).await.expect("the other view is written");
    view.clear().await.expect("the view is cleared");
    let ids: Vec<OrderId> = (0..2_500).map(|n| id(&format!("contract-clear-{n}"))).collect();
    let left = view.get(&ids).await.expect("the view is read");
    assert_eq!(left.iter().flatten().count(), 0, "nothing is left");
    assert_eq!(held(other, "contract-clear-0").await, Some(entry("contract-clear-0", 7)));
    other.clear().await.expect("the other view is cleared");
}

/// While the view is away a call ends within `bound` as unavailable, and a status is still told, from the store.
pub async fn a_call_ends_as_unavailable_within(view: &dyn StatusView, order: &str, bound: Duration) {
    let start = Instant::now();
    let got = view.put_if_newer(&entry(order, 1)).await;
    let took = start.elapsed();
    assert!(matches!(got, Err(ViewError::Unavailable(_))), "after {took:?}: {got:?}");
    assert!(took < bound, "it took {took:?}, allowed were {bound:?}");

    let store = ModelStore::default();
    store.apply(&fold(order, 1, 1), origin(1)).await.expect("the model takes it");
    let found = status(view, &store, &id(order)).await;
    let told = Told { entry: entry(order, 1), by: Source::Store };
    assert_eq!(found.expect("the store answers"), Some(told));
}

/// Once the view is back, a write succeeds within `bound`, tried at most every 50 ms.
pub async fn a_write_succeeds_within(view: &dyn StatusView, order: &str, bound: Duration) {
    let start = Instant::now();
    loop {
        match view.put_if_newer(&entry(order, 1)).await {
            Ok(put) => return assert_eq!(put.revision, 1),
            Err(ViewError::Unavailable(_)) if start.elapsed() < bound => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => panic!("after {:?}: {error}", start.elapsed()),
        }
    }
}

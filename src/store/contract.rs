//! What every [`DeliveryStore`] must hold, as functions that panic where one does not.
//!
//! Each check uses order ids of its own, so all may run on one prepared store, in any order, side by side; only
//! [`clear_empties_both_tables`] wants the store for itself.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{DeliveryStore, Effect, Outcome, StoreError};
use crate::delivery::{Delivery, Fold, Status};
use crate::event::{OrderId, PaymentEvent, Revision};
use crate::kafka::Origin;

/// A check of one store.
pub type Check = for<'a> fn(&'a dyn DeliveryStore) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Every check that needs no more than one prepared store, by name.
pub const CHECKS: &[(&str, Check)] = &[
    ("events_in_order_are_applied_one_by_one", |s| Box::pin(events_in_order_are_applied_one_by_one(s))),
    ("a_redelivery_is_ignored_and_tells_the_row", |s| Box::pin(a_redelivery_is_ignored_and_tells_the_row(s))),
    ("a_gap_is_parked_and_its_filler_applies_the_run", |s| {
        Box::pin(a_gap_is_parked_and_its_filler_applies_the_run(s))
    }),
    ("an_order_of_parked_events_only_has_no_row", |s| Box::pin(an_order_of_parked_events_only_has_no_row(s))),
    ("a_fold_applies_where_it_meets_the_row", |s| Box::pin(a_fold_applies_where_it_meets_the_row(s))),
    ("a_longer_fold_replaces_the_parked_one", |s| Box::pin(a_longer_fold_replaces_the_parked_one(s))),
    ("of_several_folds_those_apply_that_follow_their_rows", |s| {
        Box::pin(of_several_folds_those_apply_that_follow_their_rows(s))
    }),
    ("a_fold_that_is_refused_keeps_the_others_out", |s| {
        Box::pin(a_fold_that_is_refused_keeps_the_others_out(s))
    }),
    ("a_refused_message_leaves_no_trace", |s| Box::pin(a_refused_message_leaves_no_trace(s))),
    ("a_long_parked_run_is_applied_whole", |s| Box::pin(a_long_parked_run_is_applied_whole(s))),
    ("any_delivery_order_ends_in_the_same_row", |s| Box::pin(any_delivery_order_ends_in_the_same_row(s))),
];

/// An event whose content tells its revision, so that a row with another event's content is found out.
pub fn event(order: &str, revision: Revision) -> PaymentEvent {
    PaymentEvent {
        order_id: id(order),
        revision,
        amount_minor: 1_000 + i64::from(revision),
        currency: "EUR".into(),
        address: format!("Straße {revision}, \"Köln\""),
        paid_at_ms: 1_760_000_000_000,
    }
}

/// The fold of the revisions `first` to `last`.
pub fn fold(order: &str, first: Revision, last: Revision) -> Fold {
    Fold { first, event: event(order, last) }
}

/// An origin that tells the revision.
pub fn origin(revision: Revision) -> Origin {
    Origin { partition: 1, offset: 100 + i64::from(revision) }
}

fn id(order: &str) -> OrderId {
    OrderId::new(order).expect("the checks' order ids are valid")
}

/// Applies a fold; panics where the store fails.
#[track_caller]
fn apply<'a>(store: &'a dyn DeliveryStore, fold: Fold) -> impl Future<Output = Outcome> + Send + 'a {
    let caller = std::panic::Location::caller();
    async move {
        let origin = origin(fold.last());
        store.apply(&fold, origin).await.unwrap_or_else(|error| panic!("{caller}: {fold:?}: {error}"))
    }
}

/// The outcome that must come of it.
fn outcome(order: &str, effect: Effect, revision: Revision) -> Outcome {
    Outcome { effect, row: (revision > 0).then(|| row(order, revision).status_entry()) }
}

/// The row that an order must have after `revision`.
pub fn row(order: &str, revision: Revision) -> Delivery {
    let event = event(order, revision);
    Delivery {
        order_id: event.order_id,
        revision,
        applied: revision,
        status: Status::at(revision),
        amount_minor: event.amount_minor,
        currency: event.currency,
        address: event.address,
        origin: origin(revision),
    }
}

/// Asks that the order's row is at `revision` (0: no row) and that exactly these folds are parked.
///
/// # Panics
/// Where the store holds anything else.
pub async fn holds(
    store: &dyn DeliveryStore,
    order: &str,
    revision: Revision,
    parked: &[(Revision, Revision)],
) {
    let expected = (revision > 0).then(|| row(order, revision));
    let found = store.delivery(&id(order)).await.expect("the row is read");
    assert_eq!(found, expected, "the row of {order}");
    let listed = store.deliveries().await.expect("all rows are read");
    let listed = listed.into_iter().find(|row| row.order_id.as_str() == order);
    assert_eq!(listed, expected, "{order} in the list of rows");
    assert_eq!(parked_of(store, order).await, parked, "what is parked of {order}");
}

async fn parked_of(store: &dyn DeliveryStore, order: &str) -> Vec<(Revision, Revision)> {
    let all = store.parked().await.expect("the parked events are read");
    let own = all.into_iter().filter(|parked| parked.order_id.as_str() == order);
    own.inspect(|parked| assert_eq!(parked.origin, origin(parked.last)))
        .map(|parked| (parked.first, parked.last))
        .collect()
}

/// The plain case.
///
/// # Panics
/// Where the store does otherwise; so for every check here.
pub async fn events_in_order_are_applied_one_by_one(store: &dyn DeliveryStore) {
    let order = "contract-in-order";
    for revision in 1..=4 {
        let got = apply(store, fold(order, revision, revision)).await;
        assert_eq!(got, outcome(order, Effect::Applied, revision));
        holds(store, order, revision, &[]).await;
    }
}

/// A repeat, of the first event and of a later one, changes nothing and still tells what the view should show.
pub async fn a_redelivery_is_ignored_and_tells_the_row(store: &dyn DeliveryStore) {
    let order = "contract-redelivery";
    for revision in 1..=3 {
        apply(store, fold(order, revision, revision)).await;
    }
    for again in [3, 1, 2, 3] {
        let got = apply(store, fold(order, again, again)).await;
        assert_eq!(got, outcome(order, Effect::Ignored, 3));
    }
    holds(store, order, 3, &[]).await;
}

/// What leaves a gap waits, repeats included; what fills the gap brings along what can follow, and no more.
pub async fn a_gap_is_parked_and_its_filler_applies_the_run(store: &dyn DeliveryStore) {
    let order = "contract-gap";
    apply(store, fold(order, 1, 1)).await;
    for early in [6, 4, 3, 4] {
        let got = apply(store, fold(order, early, early)).await;
        assert_eq!(got, outcome(order, Effect::Parked, 1));
    }
    holds(store, order, 1, &[(3, 3), (4, 4), (6, 6)]).await;

    let got = apply(store, fold(order, 2, 2)).await;
    assert_eq!(got, outcome(order, Effect::Applied, 4));
    holds(store, order, 4, &[(6, 6)]).await;

    let got = apply(store, fold(order, 5, 5)).await;
    assert_eq!(got, outcome(order, Effect::Applied, 6));
    holds(store, order, 6, &[]).await;
}

/// Until the first event comes the order is invisible, and then it is whole.
pub async fn an_order_of_parked_events_only_has_no_row(store: &dyn DeliveryStore) {
    let order = "contract-parked-only";
    for early in [3, 2] {
        let got = apply(store, fold(order, early, early)).await;
        assert_eq!(got, outcome(order, Effect::Parked, 0));
    }
    holds(store, order, 0, &[(2, 2), (3, 3)]).await;
    let got = apply(store, fold(order, 1, 1)).await;
    assert_eq!(got, outcome(order, Effect::Applied, 3));
    holds(store, order, 3, &[]).await;
}

/// A fold applies if first ≤ row + 1 ≤ last, and `applied` counts only what was new.
pub async fn a_fold_applies_where_it_meets_the_row(store: &dyn DeliveryStore) {
    let order = "contract-fold";
    let steps = [
        ((5, 6), Effect::Parked, 0),
        ((1, 3), Effect::Applied, 3),
        ((2, 3), Effect::Ignored, 3),
        ((2, 4), Effect::Applied, 6),
        ((1, 6), Effect::Ignored, 6),
        ((1, 8), Effect::Applied, 8),
        ((10, 12), Effect::Parked, 8),
        ((9, 11), Effect::Applied, 12),
    ];
    for ((first, last), effect, revision) in steps {
        let got = apply(store, fold(order, first, last)).await;
        assert_eq!(got, outcome(order, effect, revision), "fold {first} to {last}");
    }
    holds(store, order, 12, &[]).await;
}

/// Applies several folds at once; panics where the store fails.
async fn apply_all(store: &dyn DeliveryStore, folds: &[(&str, Revision, Revision)]) -> Vec<Option<Revision>> {
    let folds: Vec<_> =
        folds.iter().map(|(order, first, last)| (fold(order, *first, *last), origin(*last))).collect();
    let rows = store.apply_all(&folds).await.expect("the store takes the folds");
    let told = rows.into_iter().zip(&folds).map(|(row, (fold, _))| {
        let row = row?;
        assert_eq!(row.order_id, fold.event.order_id);
        assert_eq!(row.status, Status::at(row.revision));
        Some(row.revision)
    });
    told.collect()
}

/// An order, its row's revision (0: no row), and what is parked of it.
type Held<'a> = (&'a str, Revision, &'a [(Revision, Revision)]);

/// New orders, orders that go on, what is behind a gap, held already, or overlaps; and an order of which only parked events are known.
pub async fn of_several_folds_those_apply_that_follow_their_rows(store: &dyn DeliveryStore) {
    let order = |n: u32| format!("contract-several-{n}");
    let names: Vec<String> = (0..8).map(order).collect();
    let [new, on, gap, held, overlap, early, run, late] =
        [0, 1, 2, 3, 4, 5, 6, 7].map(|n: usize| names[n].as_str());
    assert_eq!(apply_all(store, &[]).await, []);
    for (order, first, last) in
        [(on, 1, 2), (held, 1, 5), (overlap, 1, 2), (early, 3, 3), (run, 1, 1), (run, 4, 4), (run, 6, 6)]
    {
        apply(store, fold(order, first, last)).await;
    }
    let folds = [
        (new, 1, 3),
        (on, 3, 3),
        (gap, 2, 3),
        (held, 4, 5),
        (overlap, 2, 4),
        (early, 1, 2),
        (run, 2, 3),
        (late, 1, 1),
    ];
    let rows = [Some(3), Some(3), None, None, None, Some(3), Some(4), Some(1)];
    assert_eq!(apply_all(store, &folds).await, rows);
    let held_now: [Held<'_>; 8] = [
        (new, 3, &[]),
        (on, 3, &[]),
        (gap, 0, &[]),
        (held, 5, &[]),
        (overlap, 2, &[]),
        (early, 3, &[]),
        (run, 4, &[(6, 6)]),
        (late, 1, &[]),
    ];
    for (order, revision, parked) in held_now {
        holds(store, order, revision, parked).await;
    }
    assert_eq!(apply_all(store, &folds).await, [None; 8], "all of it again");
    for (order, revision, parked) in held_now {
        holds(store, order, revision, parked).await;
    }
    let ids: Vec<OrderId> = names.iter().map(|order| id(order)).collect();
    let mut rows = store.deliveries_of(&ids).await.expect("the rows are read");
    rows.sort_by(|a, b| a.order_id.cmp(&b.order_id));
    let there = held_now.iter().filter(|(_, revision, _)| *revision > 0);
    let mut expected: Vec<_> = there.map(|(order, revision, _)| row(order, *revision)).collect();
    expected.sort_by(|a, b| a.order_id.cmp(&b.order_id));
    assert_eq!(rows, expected);
    assert_eq!(store.deliveries_of(&[]).await.expect("nothing is read"), []);
    // More than one statement's page, the revisions beyond what one digit sorts.
    let many: Vec<String> = (0..3_000).map(|n| format!("contract-several-many-{n:04}")).collect();
    let folds: Vec<_> = many.iter().map(|order| (order.as_str(), 1, 12)).collect();
    assert_eq!(apply_all(store, &folds).await, vec![Some(12); many.len()]);
    let folds: Vec<_> = many.iter().map(|order| (order.as_str(), 13, 13)).collect();
    assert_eq!(apply_all(store, &folds).await, vec![Some(13); many.len()]);
}

/// All or nothing: who calls then finds out which it is, one by one.
pub async fn a_fold_that_is_refused_keeps_the_others_out(store: &dyn DeliveryStore) {
    let [good, bad] = ["contract-refused-among-a", "contract-refused-among-b"];
    let mut refused = fold(bad, 1, 1);
    refused.event.currency = "EURO".into();
    let folds = [(fold(good, 1, 1), origin(1)), (refused, origin(1))];
    let error = store.apply_all(&folds).await.expect_err("the currency is none");
    assert!(matches!(error, StoreError::Refused { .. }), "{error}");
    for order in [good, bad] {
        holds(store, order, 0, &[]).await;
    }
    assert_eq!(apply_all(store, &[(good, 1, 1)]).await, [Some(1)]);
}

/// A message may come again as the end of a longer fold; none of its events may be forgotten then.
pub async fn a_longer_fold_replaces_the_parked_one(store: &dyn DeliveryStore) {
    let order = "contract-longer-fold";
    for (first, last) in [(5, 8), (3, 8), (4, 8)] {
        let got = apply(store, fold(order, first, last)).await;
        assert_eq!(got, outcome(order, Effect::Parked, 0));
    }
    holds(store, order, 0, &[(3, 8)]).await;
    let got = apply(store, fold(order, 1, 2)).await;
    assert_eq!(got, outcome(order, Effect::Applied, 8));
    holds(store, order, 8, &[]).await;
}

/// A message at fault is refused, whether it would apply or be parked, and the next one is not harmed.
pub async fn a_refused_message_leaves_no_trace(store: &dyn DeliveryStore) {
    let order = "contract-refused";
    for revision in [1, 2] {
        let mut wrong = fold(order, revision, revision);
        wrong.event.currency = "EURO".into();
        let got = store.apply(&wrong, origin(revision)).await;
        assert!(matches!(got, Err(StoreError::Refused { .. })), "revision {revision}: {got:?}");
        holds(store, order, 0, &[]).await;
    }
    let got = apply(store, fold(order, 1, 1)).await;
    assert_eq!(got, outcome(order, Effect::Applied, 1));
}

/// More parked events than a store would read at a time.
pub async fn a_long_parked_run_is_applied_whole(store: &dyn DeliveryStore) {
    let order = "contract-long-run";
    let last = 600;
    for revision in (2..=last).rev() {
        apply(store, fold(order, revision, revision)).await;
    }
    let got = apply(store, fold(order, 1, 1)).await;
    assert_eq!(got, outcome(order, Effect::Applied, last));
    holds(store, order, last, &[]).await;
}

/// The law: where every event was delivered at least once, row and parked events do not tell in which order.
pub async fn any_delivery_order_ends_in_the_same_row(store: &dyn DeliveryStore) {
    let last = 7;
    for seed in 0..20 {
        let order = format!("contract-any-order-{seed}");
        for revision in shuffled_repeats(last, seed) {
            apply(store, fold(&order, revision, revision)).await;
        }
        holds(store, &order, last, &[]).await;
    }
}

/// Stores of one database, each with a connection of its own, are handed the same shuffled repeats at once.
pub async fn deliveries_at_once_end_in_the_same_rows(stores: &[Arc<dyn DeliveryStore>]) {
    const ORDERS: u64 = 12;
    const LAST: Revision = 10;
    let deliveries = stores.iter().enumerate().map(|(nth, store)| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            for turn in shuffled_repeats(LAST * ORDERS as Revision, nth as u64 + 1) {
                // Neighbouring orders, so that all tasks are at the same few rows.
                let order = format!("contract-at-once-{}", (turn - 1) / LAST);
                let revision = (turn - 1) % LAST + 1;
                apply(&*store, fold(&order, revision, revision)).await;
            }
        })
    });
    for delivery in deliveries.collect::<Vec<_>>() {
        delivery.await.expect("a delivering task panicked");
    }
    for order in 0..ORDERS {
        holds(&*stores[0], &format!("contract-at-once-{order}"), LAST, &[]).await;
    }
}

/// Rows and parked events go. Wants the store for itself.
pub async fn clear_empties_both_tables(store: &dyn DeliveryStore) {
    apply(store, fold("contract-clear", 1, 1)).await;
    apply(store, fold("contract-clear", 3, 3)).await;
    store.clear().await.expect("the store is cleared");
    assert_eq!(store.deliveries().await.expect("all rows are read"), []);
    assert_eq!(store.parked().await.expect("the parked events are read"), []);
    let got = apply(store, fold("contract-clear", 3, 3)).await;
    assert_eq!(got, outcome("contract-clear", Effect::Parked, 0));
    store.clear().await.expect("the store is cleared");
}

/// While the store is away (its server frozen, stopped or locked by someone else) a call ends within `bound`, and
/// blames neither the message nor the set-up.
pub async fn a_call_ends_as_unavailable_within(store: &dyn DeliveryStore, order: &str, bound: Duration) {
    let start = Instant::now();
    let got = store.apply(&fold(order, 1, 1), origin(1)).await;
    let took = start.elapsed();
    assert!(matches!(got, Err(StoreError::Unavailable(_))), "after {took:?}: {got:?}");
    assert!(took < bound, "it took {took:?}, allowed were {bound:?}");
}

/// Once the store is back, the message that could not be stored is, within `bound` and at most every 50 ms anew.
pub async fn the_same_message_succeeds_within(store: &dyn DeliveryStore, order: &str, bound: Duration) {
    let start = Instant::now();
    loop {
        match store.apply(&fold(order, 1, 1), origin(1)).await {
            Ok(got) => {
                // The attempt that seemed to fail may have been carried out after all.
                assert!(matches!(got.effect, Effect::Applied | Effect::Ignored), "{got:?}");
                return holds(store, order, 1, &[]).await;
            }
            Err(StoreError::Unavailable(_)) if start.elapsed() < bound => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => panic!("after {:?}: {error}", start.elapsed()),
        }
    }
}

/// Every revision up to `last` one to three times, in an order that `seed` chooses.
fn shuffled_repeats(last: Revision, seed: u64) -> Vec<Revision> {
    let mut state = seed;
    let mut draw = |below: usize| {
        // SplitMix64 (Steele, Lea, Flood 2014): small, seeded, and good enough to shuffle with.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % below as u64) as usize
    };
    let mut all: Vec<Revision> = (1..=last).collect();
    for revision in 1..=last {
        all.extend(std::iter::repeat_n(revision, draw(3)));
    }
    for i in (1..all.len()).rev() {
        all.swap(i, draw(i + 1));
    }
    debug_assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), last as usize);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::model::ModelStore;

    #[tokio::test]
    async fn the_model_holds_the_contract() {
        let store = ModelStore::default();
        for (_, check) in CHECKS {
            check(&store).await;
        }
        let store: Arc<dyn DeliveryStore> = Arc::new(store);
        deliveries_at_once_end_in_the_same_rows(&[Arc::clone(&store), store]).await;
        clear_empties_both_tables(&ModelStore::default()).await;
    }
}

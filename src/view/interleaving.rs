//! Every interleaving of writers and read-through refills, at the granularity of single calls: the view never goes
//! back, and nobody who asks after a revision was acknowledged as visible is told an older one.
//!
//! The real [`status`](super::status) runs here, over models whose calls each take one turn; proptest hands out the turns.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use proptest::prelude::*;

use super::memory::MemoryView;
use super::{Put, StatusView, ViewError, publish, status};
use crate::delivery::{Delivery, Fold, StatusEntry};
use crate::event::{OrderId, Revision};
use crate::kafka::Origin;
use crate::store::contract::{event, fold, origin};
use crate::store::model::ModelStore;
use crate::store::{DeliveryStore, Effect, Outcome, Parked, StoreError};

const ORDER: &str = "o-1";

/// Gives the turn away once.
async fn turn() {
    let mut given = false;
    std::future::poll_fn(
        |_| {
            if std::mem::replace(&mut given, true) { Poll::Ready(()) } else { Poll::Pending }
        },
    )
    .await;
}

/// The future's output, for one that needs no turns of others.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return output;
        }
    }
}

/// A store whose calls each take one turn.
#[derive(Default)]
struct TurnStore(ModelStore);

#[async_trait]
impl DeliveryStore for TurnStore {
    async fn apply(&self, fold: &Fold, origin: Origin) -> Result<Outcome, StoreError> {
        turn().await;
        self.0.apply(fold, origin).await
    }
    async fn delivery(&self, order_id: &OrderId) -> Result<Option<Delivery>, StoreError> {
        turn().await;
        self.0.delivery(order_id).await
    }
    async fn deliveries_after(&self, after: Option<&OrderId>) -> Result<Vec<Delivery>, StoreError> {
        self.0.deliveries_after(after).await
    }
    async fn parked(&self) -> Result<Vec<Parked>, StoreError> {
        self.0.parked().await
    }
    async fn prepare(&self) -> Result<(), StoreError> {
        self.0.prepare().await
    }
    async fn clear(&self) -> Result<(), StoreError> {
        self.0.clear().await
    }
}

/// A view whose calls each take one turn.
struct TurnView<V>(V);

#[async_trait]
impl<V: StatusView> StatusView for TurnView<V> {
    async fn put_if_newer(&self, entry: &StatusEntry) -> Result<Put, ViewError> {
        turn().await;
        self.0.put_if_newer(entry).await
    }
    async fn get(&self, order_ids: &[OrderId]) -> Result<Vec<Option<StatusEntry>>, ViewError> {
        turn().await;
        self.0.get(order_ids).await
    }
    async fn clear(&self) -> Result<(), ViewError> {
        self.0.clear().await
    }
}

/// A view that takes whatever comes last, as a plain `SET` would.
#[derive(Default)]
struct LastWriteWins(Mutex<Option<StatusEntry>>);

#[async_trait]
impl StatusView for LastWriteWins {
    async fn put_if_newer(&self, entry: &StatusEntry) -> Result<Put, ViewError> {
        let before = self.0.lock().unwrap().replace(entry.clone());
        Ok(Put { revision: entry.revision, was_there: before.is_some() })
    }
    async fn get(&self, order_ids: &[OrderId]) -> Result<Vec<Option<StatusEntry>>, ViewError> {
        Ok(vec![self.0.lock().unwrap().clone(); order_ids.len()])
    }
    async fn clear(&self) -> Result<(), ViewError> {
        *self.0.lock().unwrap() = None;
        Ok(())
    }
}

/// A view that does not say when it had lost an order.
#[derive(Default)]
struct SilentLoss(MemoryView);

#[async_trait]
impl StatusView for SilentLoss {
    async fn put_if_newer(&self, entry: &StatusEntry) -> Result<Put, ViewError> {
        Ok(Put { was_there: true, ..self.0.put_if_newer(entry).await? })
    }
    async fn get(&self, order_ids: &[OrderId]) -> Result<Vec<Option<StatusEntry>>, ViewError> {
        self.0.get(order_ids).await
    }
    async fn clear(&self) -> Result<(), ViewError> {
        self.0.clear().await
    }
}

/// Who takes part.
#[derive(Clone, Debug)]
enum Actor {
    /// A worker that works through these revisions; two of them are a worker and its zombie.
    Writer(Vec<Revision>),
    /// Someone who asks for the status this many times.
    Reader(usize),
    /// The view loses all it has, after so many turns.
    Loss(usize),
}

type Running<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Plays one interleaving, then everyone to the end. `Err` says what went back, or that the view ended with an old status.
///
/// Where the view loses what it has, it goes back; the order is at revision 1 already then, in row and view.
fn play<V: StatusView>(view: V, actors: &[Actor], turns: &[prop::sample::Index]) -> Result<(), String> {
    let (store, view) = (TurnStore::default(), TurnView(view));
    let lossy = actors.iter().any(|actor| matches!(actor, Actor::Loss(_)));
    if lossy {
        let first = at_once(store.apply(&fold(ORDER, 1, 1), origin(1))).unwrap();
        at_once(view.put_if_newer(&first.row.unwrap())).unwrap();
    }
    let visible = Mutex::new(0);
    let broken = Mutex::new(None);
    let mut running: Vec<Running<'_>> = actors
        .iter()
        .map(|actor| match actor {
            Actor::Writer(revisions) => Box::pin(write(&view, &store, revisions, &visible)) as Running<'_>,
            Actor::Reader(times) => Box::pin(read(&view, &store, *times, &visible, &broken)),
            Actor::Loss(after) => {
                let view = &view;
                Box::pin(async move {
                    for _ in 0..*after {
                        turn().await;
                    }
                    view.clear().await.unwrap();
                })
            }
        })
        .collect();
    let mut seen = 0;
    let mut turns = turns.iter();
    while !running.is_empty() {
        // When the drawn turns run out, the rest go one after the other.
        let next = turns.next().map_or(0, |turn| turn.index(running.len()));
        if running[next].as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
            drop(running.remove(next));
        }
        let now =
            at_once(view.0.get(&[event(ORDER, 1).order_id])).unwrap()[0].as_ref().map_or(0, |e| e.revision);
        if now < seen && !lossy {
            return Err(format!("the view went back from {seen} to {now}"));
        }
        seen = now;
        if let Some(what) = broken.lock().unwrap().take().filter(|_| !lossy) {
            return Err(what);
        }
    }
    let stored = at_once(store.0.deliveries()).unwrap().first().map_or(0, |row| row.revision);
    if seen == stored || (lossy && seen == 0) {
        Ok(())
    } else {
        Err(format!("the view ended at {seen}, the store at {stored}"))
    }
}

async fn write<V: StatusView>(
    view: &TurnView<V>,
    store: &TurnStore,
    revisions: &[Revision],
    visible: &Mutex<Revision>,
) {
    for revision in revisions {
        let outcome = store.apply(&fold(ORDER, *revision, *revision), origin(*revision)).await.unwrap();
        // An ignored redelivery writes the view too: the first delivery may have stopped before it did.
        if let Some(row) = outcome.row.filter(|_| outcome.effect != Effect::Parked) {
            let is_new = outcome.effect == Effect::Applied && row.revision == 1;
            let written = row.revision;
            let put = |entry: StatusEntry| async move { view.put_if_newer(&entry).await };
            let now = || async { Ok(store.delivery(&event(ORDER, 1).order_id).await.unwrap()) };
            let in_view = publish(row, is_new, put, now).await.unwrap();
            assert!(in_view >= written);
            let mut visible = visible.lock().unwrap();
            *visible = (*visible).max(in_view);
        }
    }
}

async fn read<V: StatusView>(
    view: &TurnView<V>,
    store: &TurnStore,
    times: usize,
    visible: &Mutex<Revision>,
    broken: &Mutex<Option<String>>,
) {
    for _ in 0..times {
        let before = *visible.lock().unwrap();
        let told = status(view, store, &event(ORDER, 1).order_id).await.unwrap();
        let told = told.map_or(0, |told| told.entry.revision);
        if told < before {
            *broken.lock().unwrap() = Some(format!("told revision {told} after {before} was visible"));
        }
    }
}

fn actors() -> impl Strategy<Value = Vec<Actor>> {
    let writer = prop::collection::vec(1..=5_u32, 1..8).prop_map(Actor::Writer);
    let reader = (1..4_usize).prop_map(Actor::Reader);
    prop::collection::vec(prop_oneof![writer, reader], 2..6)
}

proptest! {
    #[test]
    fn the_view_never_goes_back(
        actors in actors(),
        turns in prop::collection::vec(any::<prop::sample::Index>(), 0..80),
    ) {
        prop_assert_eq!(play(MemoryView::default(), &actors, &turns), Ok(()));
    }
}

proptest! {
    #[test]
    fn a_view_that_came_back_empty_ends_empty_or_as_the_store(
        actors in actors(),
        losses in prop::collection::vec((0..12_usize).prop_map(Actor::Loss), 1..3),
        turns in prop::collection::vec(any::<prop::sample::Index>(), 0..80),
    ) {
        let actors: Vec<Actor> = actors.into_iter().chain(losses).collect();
        prop_assert_eq!(play(MemoryView::default(), &actors, &turns), Ok(()));
    }
}

/// In what ways a view of kind `V` goes wrong over many turns, none of which the real one does.
fn found_out<V: StatusView + Default>(actors: &[Actor]) -> BTreeSet<String> {
    let found = Mutex::new(BTreeSet::new());
    proptest::test_runner::TestRunner::deterministic()
        .run(&prop::collection::vec(any::<prop::sample::Index>(), 24), |turns| {
            prop_assert_eq!(play(MemoryView::default(), actors, &turns), Ok(()));
            if let Err(what) = play(V::default(), actors, &turns) {
                found.lock().unwrap().insert(what);
            }
            Ok(())
        })
        .unwrap();
    found.into_inner().unwrap()
}

/// The same play finds out a view that does not say what it lost: a worker writes revision 2, late, where revision 3 was lost.
#[test]
fn a_loss_that_is_not_said_is_found_out() {
    let found = found_out::<SilentLoss>(&[Actor::Writer(vec![2]), Actor::Writer(vec![2, 3]), Actor::Loss(3)]);
    assert!(found.contains("the view ended at 2, the store at 3"), "{found:?}");
}

/// The same play finds out a view without the guard: a reader refills revision 1 after a writer wrote revision 2.
#[test]
fn a_view_without_the_guard_is_found_out() {
    let found =
        found_out::<LastWriteWins>(&[Actor::Writer(vec![1]), Actor::Reader(1), Actor::Writer(vec![2])]);
    assert!(found.contains("the view went back from 2 to 1"), "{found:?}");
}

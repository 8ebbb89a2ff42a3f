//! What every mode must do with whatever comes, and what sets them apart.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use proptest::prelude::*;
use tokio::time::timeout;

use super::dead_letter::DeadLetters;
use super::{AnyProcessor, Mode, Processor, ProcessorDeps};
use crate::consumer::tracker::Tracker;
use crate::consumer::{ConsumerError, ServiceTime};
use crate::delivery::{Delivery, Fold, StatusEntry};
use crate::event::{OrderId, Revision};
use crate::kafka::{Fetched, Message, Origin};
use crate::probe::{Probe, Seen};
use crate::store::model::ModelStore;
use crate::store::{DeliveryStore, Outcome, Parked, StoreError, contract};
use crate::view::StatusView;
use crate::view::memory::MemoryView;

#[test]
fn a_mode_reads_as_it_prints_and_another_is_refused_by_name() {
    for mode in Mode::KINDS {
        assert_eq!(mode.to_string().parse(), Ok(mode));
    }
    assert_eq!("keyed".parse(), Ok(Mode::KEYED));
    assert_eq!("keyed1".parse::<Mode>().unwrap().to_string(), "keyed1");
    assert_eq!(Mode::KINDS.map(Mode::calls_at_once), [1, 1, 64]);
    let refused = |text: &str| text.parse::<Mode>().unwrap_err();
    assert_eq!(refused("bulk"), "`bulk` is no mode; there are record, batch and keyed64 (64 orders at once)");
    for text in ["keyed0", "keyed513", "keyed-1", "keyed64x"] {
        assert!(refused(text).contains("1 to 512 orders"), "{}", refused(text));
    }
}

/// Remembers what was told of each event, and how long each call took.
#[derive(Default)]
struct Heard(Mutex<Vec<(&'static str, String, Revision)>>, Mutex<Vec<Duration>>);

impl Heard {
    fn note(&self, what: &'static str, seen: Seen<'_>) {
        self.0.lock().unwrap().push((what, seen.order_id.to_string(), seen.revision));
    }

    /// The revisions of which `what` was told, in that order.
    fn of(&self, what: &str) -> Vec<Revision> {
        self.0.lock().unwrap().iter().filter(|(w, ..)| *w == what).map(|(.., revision)| *revision).collect()
    }
}

impl Probe for Heard {
    fn fetched(&self, seen: Seen<'_>) {
        self.note("fetched", seen);
    }
    fn stored(&self, seen: Seen<'_>) {
        self.note("stored", seen);
    }
    fn ignored(&self, seen: Seen<'_>) {
        self.note("ignored", seen);
    }
    fn parked(&self, seen: Seen<'_>) {
        self.note("parked", seen);
    }
    fn visible(&self, seen: Seen<'_>, in_view: Revision) {
        assert!(in_view >= seen.revision);
        self.note("visible", seen);
    }
    fn served(&self, _consumer: &str, took: Duration) {
        self.1.lock().unwrap().push(took);
    }
}

/// A store that counts its calls, and loses the answers of as many of them as it is told to.
#[derive(Default)]
struct Counted {
    model: ModelStore,
    single: Mutex<usize>,
    several: Mutex<Vec<usize>>,
    loses: Mutex<usize>,
    /// It can't be used any more, after so many calls that apply several.
    breaks_after: Mutex<Option<usize>>,
}

impl Counted {
    fn answer<T>(&self, answer: T) -> Result<T, StoreError> {
        let mut loses = self.loses.lock().unwrap();
        if *loses == 0 {
            return Ok(answer);
        }
        *loses -= 1;
        Err(StoreError::Unavailable("its answer was lost".into()))
    }
}

#[async_trait]
impl DeliveryStore for Counted {
    async fn apply(&self, fold: &Fold, origin: Origin) -> Result<Outcome, StoreError> {
        *self.single.lock().unwrap() += 1;
        let outcome = self.model.apply(fold, origin).await?;
        self.answer(outcome)
    }
    async fn apply_all(&self, folds: &[(Fold, Origin)]) -> Result<Vec<Option<StatusEntry>>, StoreError> {
        assert!(folds.is_sorted_by(|(a, _), (b, _)| a.event.order_id < b.event.order_id));
        self.several.lock().unwrap().push(folds.len());
        if *self.breaks_after.lock().unwrap() == Some(self.several.lock().unwrap().len() - 1) {
            return Err(StoreError::Unusable("it is broken".into()));
        }
        let rows = self.model.apply_all(folds).await?;
        self.answer(rows)
    }
    async fn delivery(&self, order_id: &OrderId) -> Result<Option<Delivery>, StoreError> {
        self.model.delivery(order_id).await
    }
    async fn deliveries_after(&self, after: Option<&OrderId>) -> Result<Vec<Delivery>, StoreError> {
        self.model.deliveries_after(after).await
    }
    async fn parked(&self) -> Result<Vec<Parked>, StoreError> {
        self.model.parked().await
    }
    async fn prepare(&self) -> Result<(), StoreError> {
        Ok(())
    }
    async fn clear(&self) -> Result<(), StoreError> {
        self.model.clear().await
    }
}

/// A consumer's steps without Kafka.
struct Bench {
    store: Arc<Counted>,
    view: MemoryView,
    heard: Arc<Heard>,
    tracker: Arc<Tracker>,
    processor: AnyProcessor,
    at: i64,
}

impl Bench {
    fn new(mode: Mode, service_time: ServiceTime) -> Self {
        let (store, view, heard) = (Arc::<Counted>::default(), MemoryView::new(), Arc::<Heard>::default());
        let deps = ProcessorDeps {
            store: Arc::clone(&store) as _,
            view: Arc::new(view.clone()),
            probe: Arc::clone(&heard) as _,
        };
        let tracker = Arc::<Tracker>::default();
        tracker.start(0, None);
        let dead_letters = DeadLetters::new(Vec::new(), "t");
        let processor = AnyProcessor::new(mode, "c", deps, dead_letters, Arc::clone(&tracker), service_time);
        Self { store, view, heard, tracker, processor, at: 0 }
    }

    /// The next message of the partition.
    fn message(&mut self, value: Vec<u8>) -> Fetched {
        let origin = Origin { partition: 0, offset: self.at };
        self.at += 1;
        Fetched { origin, message: Message { value: Some(value), ..Message::default() } }
    }

    async fn take(&mut self, order: &str, revision: Revision) -> Result<(), ConsumerError> {
        let message = self.message(contract::event(order, revision).encode());
        self.processor.take(message).await
    }

    /// Goes on with what is in flight for a moment, as the processing loop does until another message comes.
    async fn finish_for_a_moment(&mut self) {
        let mut finish = std::pin::pin!(self.processor.finish());
        let polled = poll_fn(|context| Poll::Ready(finish.as_mut().poll(context)));
        if let Poll::Ready(finished) = polled.await {
            finished.unwrap();
        }
    }

    async fn work_off(&mut self, events: &[(&str, Revision)]) {
        for (order, revision) in events {
            self.take(order, *revision).await.unwrap();
        }
        self.processor.finish().await.unwrap();
        assert!(!self.processor.is_busy());
        assert_eq!(self.tracker.uncommitted(), BTreeMap::from([(0, self.at)]), "all of it is done");
    }

    /// Rows without where their events lay, what is parked, and what the view shows of each row.
    async fn left(&self) -> (Vec<Delivery>, Vec<(OrderId, Revision, Revision)>, Vec<Option<StatusEntry>>) {
        let (rows, parked) = left_in(&*self.store).await;
        let ids: Vec<_> = rows.iter().map(|row| row.order_id.clone()).collect();
        let shown = self.view.get(&ids).await.unwrap();
        (rows, parked, shown)
    }
}

async fn left_in(store: &dyn DeliveryStore) -> (Vec<Delivery>, Vec<(OrderId, Revision, Revision)>) {
    let origin = Origin { partition: 0, offset: 0 };
    let rows = store.deliveries().await.unwrap().into_iter().map(|row| Delivery { origin, ..row });
    let parked = store.parked().await.unwrap().into_iter().map(|p| (p.order_id, p.first, p.last));
    (rows.collect(), parked.collect())
}

#[tokio::test]
async fn each_event_of_a_fold_is_told_of_and_completed() {
    for mode in Mode::KINDS {
        let mut bench = Bench::new(mode, ServiceTime::NONE);
        bench.work_off(&[("o", 1), ("o", 2), ("o", 4)]).await;
        bench.work_off(&[("o", 2), ("o", 3), ("o", 5)]).await;
        let of = |what| bench.heard.of(what);
        assert_eq!(of("fetched"), [1, 2, 4, 2, 3, 5], "{mode}");
        assert_eq!(of("stored"), [1, 2, 2, 3, 5], "{mode}");
        assert_eq!((of("ignored"), of("parked")), (vec![2], vec![4]), "{mode}");
        assert_eq!(of("visible"), [1, 2, 2, 3, 5], "{mode}");
        let rows = bench.left().await.0;
        assert_eq!((rows[0].revision, rows[0].applied), (5, 5), "{mode}");
    }
}

#[tokio::test]
async fn what_follows_its_row_is_stored_by_one_call_a_group() {
    let orders: Vec<String> = (0..40).map(|n| format!("o-{n:02}")).collect();
    let events: Vec<_> =
        (1..=5).flat_map(|revision| orders.iter().map(move |o| (o.as_str(), revision))).collect();
    for (mode, single, several) in
        [(Mode::Record, 200, vec![]), (Mode::Batch, 0, vec![40]), (Mode::KEYED, 0, vec![40])]
    {
        let mut bench = Bench::new(mode, ServiceTime::NONE);
        bench.work_off(&events).await;
        assert_eq!(
            (*bench.store.single.lock().unwrap(), bench.store.several.lock().unwrap().clone()),
            (single, several)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_stored_although_its_answer_was_lost_is_ignored_the_next_time() {
    for mode in Mode::KINDS {
        let mut bench = Bench::new(mode, ServiceTime::NONE);
        *bench.store.loses.lock().unwrap() = 1;
        bench.work_off(&[("a", 1), ("a", 2), ("b", 1)]).await;
        let (rows, _, shown) = bench.left().await;
        assert_eq!(rows.iter().map(|row| (row.revision, row.applied)).collect::<Vec<_>>(), [(2, 2), (1, 1)]);
        assert_eq!(shown, rows.iter().map(|row| Some(row.status_entry())).collect::<Vec<_>>());
        assert!(!bench.heard.of("ignored").is_empty(), "{mode}");
    }
}

#[tokio::test]
async fn calls_of_one_order_are_in_its_order_and_hold_no_other_up() {
    let at_once = "keyed4".parse().unwrap();
    let mut bench = Bench::new(at_once, ServiceTime::fixed(Duration::from_millis(2)));
    let slow: Vec<_> = (1..=20).map(|revision| ("slow", revision)).collect();
    let others = ["a", "b", "c", "d", "e", "f"].map(|order| (order, 1));
    bench.work_off(&[&slow[..], &others[..]].concat()).await;
    let stored: Vec<_> = bench
        .heard
        .0
        .lock()
        .unwrap()
        .iter()
        .filter(|(what, ..)| *what == "stored")
        .map(|(_, o, r)| (o.clone(), *r))
        .collect();
    let slow: Vec<_> =
        stored.iter().filter(|(order, _)| order == "slow").map(|(_, revision)| *revision).collect();
    assert_eq!(slow, (1..=20).collect::<Vec<_>>());
    let place = |order: &str, revision| stored.iter().position(|(o, r)| o == order && *r == revision);
    for (order, _) in others {
        let at = place(order, 1).unwrap();
        assert!(at < place("slow", 10).unwrap(), "{order} waited for the order with many events: {stored:?}");
    }
}

#[tokio::test]
async fn each_event_has_a_call_of_its_own() {
    let longest = Duration::from_millis(4);
    let service_time = ServiceTime::uniform(Duration::ZERO, longest).unwrap();
    let orders: Vec<String> = (0..20).map(|n| format!("o-{n}")).collect();
    let events: Vec<_> = orders.iter().map(|order| (order.as_str(), 1)).collect();
    let mut drawn: Vec<Duration> =
        orders.iter().map(|order| service_time.of(&OrderId::new(order).unwrap(), 1)).collect();
    drawn.sort();
    for mode in Mode::KINDS {
        let mut bench = Bench::new(mode, service_time);
        bench.work_off(&events).await;
        let mut served = bench.heard.1.lock().unwrap().clone();
        served.sort();
        assert_eq!(served.len(), drawn.len(), "{mode}");
        assert!(drawn.iter().zip(&served).all(|(drawn, took)| took >= drawn), "{mode}: {served:?}");
        assert!(served[0] < longest, "{mode}: {served:?}");
    }
}

#[tokio::test]
async fn what_is_in_hand_is_bounded() {
    let (none, short) = (ServiceTime::NONE, ServiceTime::fixed(Duration::from_micros(20)));
    let half_a_second = Duration::from_millis(500);
    let long = ServiceTime::fixed(half_a_second);
    let up_to_long = ServiceTime::uniform(Duration::ZERO, half_a_second).unwrap();
    for (mode, service_time, events, expected) in [
        (Mode::Record, none, 10_000, 1..=2),
        (Mode::Batch, none, 10_000, 1_000..=2_000),
        (Mode::KEYED, none, 10_000, 1_000..=4_096),
        (Mode::KEYED, short, 10_000, 4_000..=4_096),
        ("keyed2".parse().unwrap(), long, 6, 4..=4),
        ("keyed2".parse().unwrap(), up_to_long, 6, 4..=4),
    ] {
        let mut bench = Bench::new(mode, service_time);
        let names: Vec<String> = (0..events).map(|n| format!("o-{}", n % 70)).collect();
        let events: Vec<_> = names.iter().zip(0..).map(|(name, n)| (name.as_str(), n / 70 + 1)).collect();
        bench.work_off(&events).await;
        let (mut in_hand, mut most_in_hand) = (0_usize, 0);
        for (what, ..) in &*bench.heard.0.lock().unwrap() {
            match *what {
                "fetched" => in_hand += 1,
                "visible" => in_hand -= 1,
                _ => {}
            }
            most_in_hand = most_in_hand.max(in_hand);
        }
        assert!(expected.contains(&most_in_hand), "{mode}: {most_in_hand} of {expected:?}");
    }
}

#[tokio::test]
async fn after_a_failure_nothing_else_is_begun() {
    for mode in [Mode::Batch, Mode::KEYED] {
        let mut bench = Bench::new(mode, ServiceTime::NONE);
        *bench.store.breaks_after.lock().unwrap() = Some(0);
        bench.take("o", 1).await.unwrap();
        bench.processor.finish().await.unwrap_err();
        bench.take("o", 2).await.unwrap();
        bench.processor.finish().await.unwrap();
        let (rows, parked, _) = bench.left().await;
        assert!(rows.is_empty() && parked.is_empty(), "{mode}: {rows:?} {parked:?}");
        assert_eq!(bench.tracker.uncommitted(), BTreeMap::from([(0, 0)]), "{mode}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_can_be_stored_is_while_a_dead_letter_waits_for_its_topic() {
    for mode in Mode::KINDS {
        let mut bench = Bench::new(mode, ServiceTime::NONE);
        bench.take("a", 1).await.unwrap();
        let no_event = bench.message(b"no event".to_vec());
        // There is no broker to send it to.
        let work = async {
            bench.processor.take(no_event).await?;
            bench.processor.finish().await
        };
        assert!(timeout(Duration::from_secs(60), work).await.is_err(), "{mode}");
        assert_eq!(bench.left().await.0.len(), 1, "{mode}");
        assert_eq!(bench.tracker.uncommitted(), BTreeMap::from([(0, 1)]), "{mode}");
    }
}

/// Events of few orders, with repeats and gaps, cut into batches.
fn batches() -> impl Strategy<Value = Vec<Vec<(String, Revision)>>> {
    let event = (0..3_u8, 1..8_u32).prop_map(|(order, revision)| (format!("o-{order}"), revision));
    prop::collection::vec(prop::collection::vec(event, 1..12), 1..8)
}

proptest! {
    #[test]
    fn every_mode_leaves_what_single_events_leave(
        batches in batches(), answers_lost in 0..2_usize, pauses in 0..u64::MAX, is_called: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let singly = ModelStore::default();
            for (order, revision) in batches.iter().flatten() {
                let fold = contract::fold(order, *revision, *revision);
                singly.apply(&fold, Origin { partition: 0, offset: 0 }).await.unwrap();
            }
            let (rows, parked) = left_in(&singly).await;
            let shown: Vec<_> = rows.iter().map(|row| Some(row.status_entry())).collect();
            let call = if is_called { Duration::from_micros(20) } else { Duration::ZERO };
            let service_time = ServiceTime::fixed(call);
            for mode in Mode::KINDS {
                let mut bench = Bench::new(mode, service_time);
                *bench.store.loses.lock().unwrap() = answers_lost;
                for batch in &batches {
                    for (order, revision) in batch {
                        bench.take(order, *revision).await.unwrap();
                        if pauses >> (bench.at % 64) & 1 == 1 {
                            bench.finish_for_a_moment().await;
                        }
                    }
                    bench.work_off(&[]).await;
                }
                assert_eq!(bench.left().await, (rows.clone(), parked.clone(), shown.clone()), "{mode}");
            }
        });
    }
}

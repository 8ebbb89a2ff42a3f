//! What must hold, whatever goes wrong: looked at while it runs, by what consumers report and by what the store really did.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use payment_delivery::delivery::Fold;
use payment_delivery::event::{OrderId, Revision};
use payment_delivery::kafka::Origin;
use payment_delivery::probe::{Probe, Seen};

/// What was broken, each kind once, with its first example.
pub(crate) type Broken = BTreeMap<&'static str, String>;

#[derive(Default)]
pub(crate) struct Truth(Mutex<SoFar>);

#[derive(Default)]
struct SoFar {
    broken: Broken,
    /// Offsets whose events the store holds, by partition.
    stored: BTreeMap<i32, BTreeSet<i64>>,
    /// Everything below was found there, by partition.
    checked_up_to: BTreeMap<i32, i64>,
    /// Consumers that gave their partitions up and have got no others.
    released: BTreeSet<String>,
    /// How often each message was taken in hand.
    taken: BTreeMap<Origin, u32>,
    /// Where each event lies, as far as it was taken in hand.
    places: BTreeMap<(OrderId, Revision), BTreeSet<Origin>>,
    rebalances: u32,
    /// Memberships that were lost.
    lost: u32,
}

impl Truth {
    fn seen(&self) -> MutexGuard<'_, SoFar> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something does not hold.
    pub(crate) fn broken(&self, what: &'static str, example: String) {
        self.seen().broken.entry(what).or_insert(example);
    }

    /// The store committed the event at `origin`, whatever the consumer was told.
    pub(crate) fn stored(&self, origin: Origin) {
        self.seen().stored.entry(origin.partition).or_default().insert(origin.offset);
    }

    /// The store committed all events of a fold. It names the place of its last event alone; those of the others are known since they were
    /// taken in hand.
    pub(crate) fn stored_fold(&self, fold: &Fold) {
        let mut so_far = self.seen();
        let SoFar { stored, places, .. } = &mut *so_far;
        for revision in fold.first..=fold.last() {
            for origin in places.get(&(fold.event.order_id.clone(), revision)).into_iter().flatten() {
                stored.entry(origin.partition).or_default().insert(origin.offset);
            }
        }
    }

    /// Times at which somebody was given partitions.
    pub(crate) fn rebalances(&self) -> u32 {
        self.seen().rebalances
    }

    /// Memberships that ended without a word of the member: it was killed, stood still, or the machine did.
    pub(crate) fn lost(&self) -> u32 {
        self.seen().lost
    }

    /// Messages that were taken in hand more than once.
    pub(crate) fn redelivered(&self) -> usize {
        self.seen().taken.values().filter(|times| **times > 1).count()
    }

    pub(crate) fn all_broken(&self) -> Broken {
        self.seen().broken.clone()
    }
}

impl Probe for Truth {
    fn fetched(&self, seen: Seen<'_>) {
        let mut so_far = self.seen();
        *so_far.taken.entry(seen.origin).or_default() += 1;
        so_far.places.entry((seen.order_id.clone(), seen.revision)).or_default().insert(seen.origin);
        if so_far.released.contains(seen.consumer) {
            let example = format!("{} took {} in hand", seen.consumer, seen.origin);
            so_far.broken.entry("works on what it gave up").or_insert(example);
        }
    }

    fn visible(&self, seen: Seen<'_>, in_view: Revision) {
        if in_view < seen.revision {
            let example = format!("{} shows {in_view} after {}", seen.order_id, seen.revision);
            self.broken("the view is behind its event", example);
        }
    }

    fn assigned(&self, consumer: &str, _partitions: &[i32]) {
        let mut so_far = self.seen();
        so_far.rebalances += 1;
        so_far.released.remove(consumer);
    }

    fn released(&self, consumer: &str, lost: bool) {
        let mut so_far = self.seen();
        so_far.lost += u32::from(lost);
        so_far.released.insert(consumer.to_owned());
    }

    fn committed(&self, consumer: &str, partition: i32, next_offset: i64) {
        let mut so_far = self.seen();
        let from = so_far.checked_up_to.get(&partition).copied().unwrap_or(0);
        let stored = so_far.stored.get(&partition);
        let hole = (from..next_offset).find(|offset| !stored.is_some_and(|stored| stored.contains(offset)));
        if let Some(hole) = hole {
            let example =
                format!("{consumer} committed {next_offset} of {partition}, and {hole} is not stored");
            so_far.broken.entry("committed ahead of the store").or_insert(example);
        }
        so_far.checked_up_to.insert(partition, next_offset.max(from));
    }
}

//! The trait through which someone may watch the pipeline at work.
//!
//! Architecture invariant: the pipeline reports what happened and never learns who listens. A probe must return
//! quickly, since it runs on the consumer's own processing loop.

use std::sync::Arc;
use std::time::Duration;

use crate::event::{OrderId, Revision};
use crate::failure::Component;
use crate::kafka::Origin;

/// One event at one consumer.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The consumer's name, as in its configuration.
    pub consumer: &'a str,
    /// The event's order.
    pub order_id: &'a OrderId,
    /// The event's revision.
    pub revision: Revision,
    /// Where the message lies in the log.
    pub origin: Origin,
}

/// One message at one consumer, from its arrival there until the processing loop was free again.
#[derive(Clone, Copy, Debug)]
pub struct Worked<'a> {
    /// The consumer's name.
    pub consumer: &'a str,
    /// Where the message lies in the log.
    pub origin: Origin,
    /// From the end of the fetch that brought it until the loop took it in hand.
    pub waited: Duration,
    /// From then until the loop was free for the next one.
    pub took: Duration,
}

/// Where a consumer's processing loop spends its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Activity {
    /// Waiting for a fetched message: the broker, the fetch loop, or simply no load.
    Idle,
    /// Its own work: decoding, bookkeeping, the probe itself.
    Own,
    /// The modelled downstream call.
    Service,
    /// Waiting for the store.
    Store,
    /// Waiting for the view.
    View,
}

/// Hears of each gate that an event passes. All methods do nothing unless overridden.
pub trait Probe: Send + Sync + 'static {
    /// The processing loop takes the message in hand; nothing was done with it yet.
    fn fetched(&self, _seen: Seen<'_>) {}
    /// The store's commit for this message returned.
    fn stored(&self, _seen: Seen<'_>) {}
    /// The store held this message's event already, a redelivery; heard just before `stored`.
    fn ignored(&self, _seen: Seen<'_>) {}
    /// The view acknowledged `in_view`, which is this revision or a later one.
    fn visible(&self, _seen: Seen<'_>, _in_view: Revision) {}
    /// The message was parked: it waits in the store for what comes before it.
    fn parked(&self, _seen: Seen<'_>) {}
    /// This event came late: so many that follow it had come before it, and are applied with it.
    fn out_of_order(&self, _seen: Seen<'_>, _events: u32) {}
    /// The message at `origin` went to the dead-letter topic.
    fn dead_lettered(&self, _consumer: &str, _origin: Origin, _reason: &str) {}
    /// `consumer` spent `spent` of its time on `activity`.
    fn spent(&self, _consumer: &str, _activity: Activity, _spent: Duration) {}
    /// A modelled downstream call took so long. Several may run side by side.
    fn served(&self, _consumer: &str, _took: Duration) {}
    /// The processing loop is free again.
    fn worked(&self, _worked: Worked<'_>) {}
    /// `consumer` now owns exactly these partitions.
    fn assigned(&self, _consumer: &str, _partitions: &[i32]) {}
    /// `consumer` gave up what it owned, having committed; `lost` if it had to go without.
    fn released(&self, _consumer: &str, _lost: bool) {}
    /// The group's next offset of `partition` was committed.
    fn committed(&self, _consumer: &str, _partition: i32, _next_offset: i64) {}
    /// Records from `from` up to `to` of `partition` were gone when they were asked for
    /// (only with `OutOfRange::Earliest`).
    fn skipped(&self, _consumer: &str, _partition: i32, _from: i64, _to: i64) {}
    /// An attempt at `component` failed and will be made again.
    fn retried(&self, _consumer: &str, _component: Component, _error: &str) {}
    /// An attempt at `component` succeeded after some that had failed.
    fn recovered(&self, _consumer: &str, _component: Component) {}
    /// A fetch loop of `partition` begins: what was said of an earlier one holds no more.
    fn fetch_started(&self, _consumer: &str, _partition: i32) {}
    /// From here on the raw reader reads `partition`: rskafka could not.
    fn reads_raw(&self, _consumer: &str, _partition: i32, _why: &str) {}
    /// Nothing of `partition` behind `since_offset` can be read, since a transaction is open; `None` once it has ended.
    fn open_transaction(&self, _consumer: &str, _partition: i32, _since_offset: Option<i64>) {}
    /// The group did not take a commit.
    fn commit_refused(&self, _consumer: &str) {}
}

/// The silent probe.
impl Probe for () {}

/// Tells the probe and the log that an attempt at `component` failed and will be made again.
pub(crate) fn retried(probe: &dyn Probe, consumer: &str, component: Component, error: &str) {
    probe.retried(consumer, component, error);
    tracing::warn!(consumer, component = component.as_str(), error, "attempt failed, trying again");
}

/// Two probes, of which the second hears everything after the first.
pub struct Both(pub Arc<dyn Probe>, pub Arc<dyn Probe>);

impl Both {
    fn each(&self, tell: impl Fn(&dyn Probe)) {
        tell(&*self.0);
        tell(&*self.1);
    }
}

impl Probe for Both {
    fn fetched(&self, seen: Seen<'_>) {
        self.each(|probe| probe.fetched(seen));
    }
    fn stored(&self, seen: Seen<'_>) {
        self.each(|probe| probe.stored(seen));
    }
    fn ignored(&self, seen: Seen<'_>) {
        self.each(|probe| probe.ignored(seen));
    }
    fn visible(&self, seen: Seen<'_>, in_view: Revision) {
        self.each(|probe| probe.visible(seen, in_view));
    }
    fn parked(&self, seen: Seen<'_>) {
        self.each(|probe| probe.parked(seen));
    }
    fn out_of_order(&self, seen: Seen<'_>, events: u32) {
        self.each(|probe| probe.out_of_order(seen, events));
    }
    fn dead_lettered(&self, consumer: &str, origin: Origin, reason: &str) {
        self.each(|probe| probe.dead_lettered(consumer, origin, reason));
    }
    fn spent(&self, consumer: &str, activity: Activity, spent: Duration) {
        self.each(|probe| probe.spent(consumer, activity, spent));
    }
    fn worked(&self, worked: Worked<'_>) {
        self.each(|probe| probe.worked(worked));
    }
    fn assigned(&self, consumer: &str, partitions: &[i32]) {
        self.each(|probe| probe.assigned(consumer, partitions));
    }
    fn released(&self, consumer: &str, lost: bool) {
        self.each(|probe| probe.released(consumer, lost));
    }
    fn committed(&self, consumer: &str, partition: i32, next_offset: i64) {
        self.each(|probe| probe.committed(consumer, partition, next_offset));
    }
    fn skipped(&self, consumer: &str, partition: i32, from: i64, to: i64) {
        self.each(|probe| probe.skipped(consumer, partition, from, to));
    }
    fn retried(&self, consumer: &str, component: Component, error: &str) {
        self.each(|probe| probe.retried(consumer, component, error));
    }
    fn recovered(&self, consumer: &str, component: Component) {
        self.each(|probe| probe.recovered(consumer, component));
    }
    fn served(&self, consumer: &str, took: Duration) {
        self.each(|probe| probe.served(consumer, took));
    }
    fn fetch_started(&self, consumer: &str, partition: i32) {
        self.each(|probe| probe.fetch_started(consumer, partition));
    }
    fn reads_raw(&self, consumer: &str, partition: i32, why: &str) {
        self.each(|probe| probe.reads_raw(consumer, partition, why));
    }
    fn open_transaction(&self, consumer: &str, partition: i32, since_offset: Option<i64>) {
        self.each(|probe| probe.open_transaction(consumer, partition, since_offset));
    }
    fn commit_refused(&self, consumer: &str) {
        self.each(|probe| probe.commit_refused(consumer));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Writes down what it hears, under its name.
    struct Scribe(&'static str, Arc<Mutex<Vec<String>>>);

    impl Scribe {
        fn note(&self, what: &str) {
            self.1.lock().unwrap().push(format!("{} {what}", self.0));
        }
    }

    impl Probe for Scribe {
        fn fetched(&self, seen: Seen<'_>) {
            self.note(&format!("fetched {}", seen.revision));
        }
        fn stored(&self, seen: Seen<'_>) {
            self.note(&format!("stored {}", seen.revision));
        }
        fn ignored(&self, seen: Seen<'_>) {
            self.note(&format!("ignored {}", seen.revision));
        }
        fn visible(&self, seen: Seen<'_>, in_view: Revision) {
            self.note(&format!("visible {} {in_view}", seen.revision));
        }
        fn parked(&self, seen: Seen<'_>) {
            self.note(&format!("parked {}", seen.revision));
        }
        fn out_of_order(&self, seen: Seen<'_>, events: u32) {
            self.note(&format!("out of order {} {events}", seen.revision));
        }
        fn dead_lettered(&self, consumer: &str, origin: Origin, reason: &str) {
            self.note(&format!("dead {consumer} {origin} {reason}"));
        }
        fn spent(&self, consumer: &str, activity: Activity, spent: Duration) {
            self.note(&format!("spent {consumer} {activity:?} {spent:?}"));
        }
        fn served(&self, consumer: &str, took: Duration) {
            self.note(&format!("served {consumer} {took:?}"));
        }
        fn worked(&self, worked: Worked<'_>) {
            self.note(&format!("worked {} {:?} {:?}", worked.consumer, worked.waited, worked.took));
        }
        fn assigned(&self, consumer: &str, partitions: &[i32]) {
            self.note(&format!("assigned {consumer} {partitions:?}"));
        }
        fn released(&self, consumer: &str, lost: bool) {
            self.note(&format!("released {consumer} {lost}"));
        }
        fn committed(&self, consumer: &str, partition: i32, next_offset: i64) {
            self.note(&format!("committed {consumer} {partition} {next_offset}"));
        }
        fn skipped(&self, consumer: &str, partition: i32, from: i64, to: i64) {
            self.note(&format!("skipped {consumer} {partition} {from} {to}"));
        }
        fn retried(&self, consumer: &str, component: Component, error: &str) {
            self.note(&format!("retried {consumer} {component:?} {error}"));
        }
        fn recovered(&self, consumer: &str, component: Component) {
            self.note(&format!("recovered {consumer} {component:?}"));
        }
        fn fetch_started(&self, consumer: &str, partition: i32) {
            self.note(&format!("started {consumer} {partition}"));
        }
        fn reads_raw(&self, consumer: &str, partition: i32, why: &str) {
            self.note(&format!("raw {consumer} {partition} {why}"));
        }
        fn open_transaction(&self, consumer: &str, partition: i32, since_offset: Option<i64>) {
            self.note(&format!("open {consumer} {partition} {since_offset:?}"));
        }
        fn commit_refused(&self, consumer: &str) {
            self.note(&format!("refused {consumer}"));
        }
    }

    #[test]
    fn both_hear_everything_one_after_the_other() {
        let notes = Arc::new(Mutex::new(Vec::new()));
        let [first, second] = ["first", "second"].map(|name| Arc::new(Scribe(name, Arc::clone(&notes))));
        let both = Both(first, second);
        let origin = Origin { partition: 1, offset: 2 };
        let order_id = OrderId::new("o-1").unwrap();
        let seen = Seen { consumer: "c", order_id: &order_id, revision: 3, origin };
        both.fetched(seen);
        both.ignored(seen);
        both.stored(seen);
        both.visible(seen, 4);
        both.parked(seen);
        both.out_of_order(seen, 2);
        both.dead_lettered("c", origin, "why");
        both.spent("c", Activity::Own, Duration::from_micros(5));
        both.served("c", Duration::from_micros(6));
        let (waited, took) = (Duration::from_micros(7), Duration::from_micros(9));
        both.worked(Worked { consumer: "c", origin, waited, took });
        both.assigned("c", &[1, 2]);
        both.released("c", true);
        both.committed("c", 1, 3);
        both.skipped("c", 1, 4, 9);
        both.retried("c", Component::View, "away");
        both.recovered("c", Component::View);
        both.fetch_started("c", 1);
        both.reads_raw("c", 1, "zstd");
        both.open_transaction("c", 1, Some(7));
        both.commit_refused("c");
        let heard = [
            "fetched 3",
            "ignored 3",
            "stored 3",
            "visible 3 4",
            "parked 3",
            "out of order 3 2",
            "dead c partition 1 offset 2 why",
            "spent c Own 5µs",
            "served c 6µs",
            "worked c 7µs 9µs",
            "assigned c [1, 2]",
            "released c true",
            "committed c 1 3",
            "skipped c 1 4 9",
            "retried c View away",
            "recovered c View",
            "started c 1",
            "raw c 1 zstd",
            "open c 1 Some(7)",
            "refused c",
        ];
        let expected: Vec<_> =
            heard.iter().flat_map(|what| ["first", "second"].map(|name| format!("{name} {what}"))).collect();
        assert_eq!(*notes.lock().unwrap(), expected);
    }
}

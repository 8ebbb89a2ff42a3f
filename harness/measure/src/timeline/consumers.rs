//! Consumers by name, and what each spent its time on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use payment_delivery::probe::Activity;

const ACTIVITIES: [Activity; 5] =
    [Activity::Idle, Activity::Own, Activity::Service, Activity::Store, Activity::View];

/// The consumers heard of so far, by number. They are few, so that to look through them beats a hash.
#[derive(Default)]
pub(super) struct Consumers {
    known: RwLock<Vec<Consumer>>,
    /// Each modelled call, in ns.
    services_ns: Mutex<Vec<i64>>,
    /// Nothing spent before this moment counts any more.
    boundary_ns: AtomicU64,
    worked: AtomicU64,
    unexplained_ns: AtomicU64,
    longest_unexplained_ns: AtomicU64,
}

struct Consumer {
    name: String,
    spent_ns: [AtomicU64; ACTIVITIES.len()],
    /// When its processing loop was free last.
    free_ns: AtomicU64,
}

/// Time that no event explains: one was at hand, its consumer was free, and nothing was done.
///
/// A consumer works on one event after another, so event n ends at Cₙ = max(Fₙ, Cₙ₋₁) + Xₙ, with Fₙ when it arrived and Xₙ how long it was
/// worked on. What Cₙ is later than that is unexplained: the runtime was late, or the clock was wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unexplained {
    /// Events that were worked on.
    pub events: u64,
    /// The time, added up over them.
    pub total: Duration,
    /// The longest since the last look.
    pub longest: Duration,
}

impl Unexplained {
    /// What came between an earlier look and this one.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            events: self.events - earlier.events,
            total: self.total.saturating_sub(earlier.total),
            longest: self.longest,
        }
    }
}

/// Time spent by consumer and activity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spent(BTreeMap<String, BTreeMap<Activity, Duration>>);

impl Spent {
    /// What was spent between an earlier snapshot and this one.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut difference = self.0.clone();
        for (consumer, activities) in &mut difference {
            for (activity, spent) in activities {
                *spent = spent.saturating_sub(earlier.get(consumer, *activity));
            }
        }
        Self(difference)
    }

    /// Time that a consumer spent on an activity; zero if it is unknown.
    pub fn get(&self, consumer: &str, activity: Activity) -> Duration {
        self.0.get(consumer).and_then(|a| a.get(&activity)).copied().unwrap_or_default()
    }

    /// All consumers with their activities, each activity present.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &BTreeMap<Activity, Duration>)> {
        self.0.iter().map(|(consumer, activities)| (consumer.as_str(), activities))
    }
}

/// The name of an activity in results.
pub fn activity_name(activity: Activity) -> &'static str {
    match activity {
        Activity::Idle => "idle",
        Activity::Own => "own",
        Activity::Service => "service",
        Activity::Store => "store",
        Activity::View => "view",
    }
}

impl Consumers {
    /// The number of a consumer, which from now on is known.
    pub(super) fn number(&self, name: &str) -> u32 {
        self.with(name, |number, _| number)
    }

    /// The names, by number.
    pub(super) fn names(&self) -> Vec<String> {
        self.read().iter().map(|consumer| consumer.name.clone()).collect()
    }

    /// Adds what a consumer spent up to `now_ns`, as far as it lies after the last snapshot.
    pub(super) fn spent(&self, name: &str, activity: Activity, spent: Duration, now_ns: u64) {
        let since_boundary = now_ns.saturating_sub(self.boundary_ns.load(Ordering::Relaxed));
        let spent_ns = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX).min(since_boundary);
        self.with(name, |_, consumer| {
            consumer.spent_ns[activity as usize].fetch_add(spent_ns, Ordering::Relaxed);
        });
    }

    /// Notes how long a modelled call took.
    pub(super) fn served(&self, took: Duration) {
        let took_ns = i64::try_from(took.as_nanos()).unwrap_or(i64::MAX);
        self.services_ns.lock().unwrap_or_else(PoisonError::into_inner).push(took_ns);
    }

    /// A consumer is free at `now_ns`, after an event that waited for it and was worked on for so long.
    pub(super) fn worked(&self, name: &str, waited: Duration, took: Duration, now_ns: u64) {
        let ns = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let begun_ns = now_ns.saturating_sub(ns(took));
        let arrived_ns = begun_ns.saturating_sub(ns(waited));
        let free_ns = self.with(name, |_, consumer| consumer.free_ns.swap(now_ns, Ordering::Relaxed));
        let unexplained_ns = begun_ns.saturating_sub(arrived_ns.max(free_ns));
        self.worked.fetch_add(1, Ordering::Relaxed);
        self.unexplained_ns.fetch_add(unexplained_ns, Ordering::Relaxed);
        self.longest_unexplained_ns.fetch_max(unexplained_ns, Ordering::Relaxed);
    }

    /// What no event explains so far. The longest is forgotten by that.
    pub(super) fn unexplained(&self) -> Unexplained {
        Unexplained {
            events: self.worked.load(Ordering::Relaxed),
            total: Duration::from_nanos(self.unexplained_ns.load(Ordering::Relaxed)),
            longest: Duration::from_nanos(self.longest_unexplained_ns.swap(0, Ordering::Relaxed)),
        }
    }

    /// Each modelled call so far, in ns.
    pub(super) fn services_ns(&self) -> Vec<i64> {
        self.services_ns.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn snapshot(&self, now_ns: u64) -> Spent {
        self.boundary_ns.fetch_max(now_ns, Ordering::Relaxed);
        let activities = |consumer: &Consumer| {
            ACTIVITIES
                .into_iter()
                .map(|a| (a, Duration::from_nanos(consumer.spent_ns[a as usize].load(Ordering::Relaxed))))
                .collect()
        };
        Spent(self.read().iter().map(|consumer| (consumer.name.clone(), activities(consumer))).collect())
    }

    fn with<T>(&self, name: &str, then: impl Fn(u32, &Consumer) -> T) -> T {
        let look = |known: &[Consumer]| {
            let number = known.iter().position(|consumer| consumer.name == name)?;
            Some(then(u32::try_from(number).unwrap_or(u32::MAX), &known[number]))
        };
        if let Some(found) = look(&self.read()) {
            return found;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have been faster.
        look(&known).unwrap_or_else(|| {
            let spent_ns = [const { AtomicU64::new(0) }; ACTIVITIES.len()];
            known.push(Consumer { name: name.to_owned(), spent_ns, free_ns: AtomicU64::new(0) });
            let newest = known.len() - 1;
            then(u32::try_from(newest).unwrap_or(u32::MAX), &known[newest])
        })
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<Consumer>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn time_is_unexplained_only_while_an_event_waits_for_a_consumer_that_is_free() {
        let consumers = Consumers::default();
        // It came at 10 and was taken at once.
        consumers.worked("c", ms(0), ms(5), 15 * MS);
        // It came at 12, while the first was in hand, and was taken 1 ms after that.
        consumers.worked("c", ms(4), ms(5), 21 * MS);
        // It came at 30, long after, and was taken 2 ms later.
        consumers.worked("c", ms(2), ms(5), 37 * MS);
        // Another's is not held against this one's.
        consumers.worked("d", ms(0), ms(1), 40 * MS);
        let seen = consumers.unexplained();
        assert_eq!((seen.events, seen.total, seen.longest), (4, ms(3), ms(2)));
        consumers.worked("c", ms(1), ms(1), 50 * MS);
        let later = consumers.unexplained().since(&seen);
        assert_eq!((later.events, later.total, later.longest), (1, ms(1), ms(1)));
    }
}

//! Consumers by name, and what each spent its time on.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use payment_delivery::probe::Activity;

const ACTIVITIES: [Activity; 5] =
    [Activity::Idle, Activity::Own, Activity::Service, Activity::Store, Activity::View];

/// The consumers heard of so far.
#[derive(Default)]
pub(super) struct Consumers {
    by_name: RwLock<HashMap<String, Arc<Consumer>>>,
    /// Nothing spent before this moment counts any more.
    boundary_ns: AtomicU64,
}

pub(super) struct Consumer {
    pub(super) number: u32,
    spent_ns: [AtomicU64; ACTIVITIES.len()],
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
    pub(super) fn named(&self, name: &str) -> Arc<Consumer> {
        let known = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(consumer) = known.get(name) {
            return consumer.clone();
        }
        drop(known);
        let mut known = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        let number = u32::try_from(known.len()).unwrap_or(u32::MAX);
        let new = || Arc::new(Consumer { number, spent_ns: [const { AtomicU64::new(0) }; ACTIVITIES.len()] });
        known.entry(name.to_owned()).or_insert_with(new).clone()
    }

    pub(super) fn names(&self) -> Vec<String> {
        let known = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        let mut names: Vec<(u32, String)> = known.iter().map(|(name, c)| (c.number, name.clone())).collect();
        names.sort_unstable();
        names.into_iter().map(|(_, name)| name).collect()
    }

    /// Adds what a consumer spent up to `now_ns`, as far as it lies after the last snapshot.
    pub(super) fn spent(&self, name: &str, activity: Activity, spent: Duration, now_ns: u64) {
        let since_boundary = now_ns.saturating_sub(self.boundary_ns.load(Ordering::Relaxed));
        let spent_ns = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX).min(since_boundary);
        self.named(name).spent_ns[activity as usize].fetch_add(spent_ns, Ordering::Relaxed);
    }

    pub(super) fn snapshot(&self, now_ns: u64) -> Spent {
        self.boundary_ns.fetch_max(now_ns, Ordering::Relaxed);
        let known = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        let activities = |consumer: &Consumer| {
            ACTIVITIES
                .into_iter()
                .map(|a| (a, Duration::from_nanos(consumer.spent_ns[a as usize].load(Ordering::Relaxed))))
                .collect()
        };
        Spent(known.iter().map(|(name, consumer)| (name.clone(), activities(consumer))).collect())
    }
}

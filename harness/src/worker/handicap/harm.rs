//! Lost events, and a sudden end.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use payment_delivery::delivery::{Fold, Status, StatusEntry};
use payment_delivery::event::Revision;
use payment_delivery::probe::{Probe, Seen};
use payment_delivery::store::{Effect, Outcome};

/// Loses every so many-th event of a process.
#[derive(Debug)]
pub(super) struct Drops {
    every: NonZeroU64,
    seen: AtomicU64,
}

impl Drops {
    pub(super) fn new(every: NonZeroU64) -> Self {
        Self { every, seen: AtomicU64::new(0) }
    }

    /// Whether the event at hand is lost.
    pub(super) fn this_one(&self) -> bool {
        (self.seen.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(self.every.get())
    }

    /// What a store would say that had applied it.
    pub(super) fn pretended(fold: &Fold) -> Outcome {
        let revision = fold.last();
        let order_id = fold.event.order_id.clone();
        let row = StatusEntry { order_id, revision, status: Status::at(revision) };
        Outcome { effect: Effect::Applied, row: Some(row) }
    }
}

/// Kills the process when so many events are visible, as an operator's `kill -9` would: no commit, no goodbye.
#[derive(Debug)]
pub(super) struct Death {
    after: NonZeroU64,
    visible: AtomicU64,
}

impl Death {
    pub(super) fn new(after: NonZeroU64) -> Self {
        Self { after, visible: AtomicU64::new(0) }
    }

    /// Whether the event that became visible is the last.
    fn comes(&self) -> bool {
        self.visible.fetch_add(1, Ordering::Relaxed) + 1 == self.after.get()
    }
}

impl Probe for Death {
    fn visible(&self, _seen: Seen<'_>, _in_view: Revision) {
        if self.comes()
            && let Err(error) = kill(Pid::this(), Signal::SIGKILL)
        {
            tracing::error!(%error, "the process was to kill itself and could not");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use payment_delivery::store::DeliveryStore;
    use payment_delivery::store::contract::{fold, origin};
    use payment_delivery::store::model::ModelStore;

    use super::*;
    use crate::worker::handicap::store::HandicappedStore;

    #[tokio::test]
    async fn every_third_event_of_the_process_is_acknowledged_and_not_stored() {
        let (inner, drops) =
            (Arc::new(ModelStore::default()), Arc::new(Drops::new(NonZeroU64::new(3).unwrap())));
        let consumer = || HandicappedStore { inner: inner.clone(), drops: Some(drops.clone()), slow: None };
        let (one, other) = (consumer(), consumer());
        for order in 1..=9 {
            let store = if order % 2 == 0 { &other } else { &one };
            let outcome = store.apply(&fold(&format!("o-{order}"), 1, 1), origin(order)).await.unwrap();
            assert_eq!(outcome.effect, Effect::Applied, "it says that it was stored");
            assert_eq!(outcome.row.unwrap().revision, 1);
        }
        let stored: Vec<_> =
            inner.deliveries().await.unwrap().iter().map(|row| row.order_id.to_string()).collect();
        assert_eq!(stored, ["o-1", "o-2", "o-4", "o-5", "o-7", "o-8"]);
    }

    #[test]
    fn death_comes_once_and_when_it_was_said() {
        let death = Death::new(NonZeroU64::new(3).unwrap());
        assert_eq!([(); 5].map(|()| death.comes()), [false, false, true, false, false]);
    }
}

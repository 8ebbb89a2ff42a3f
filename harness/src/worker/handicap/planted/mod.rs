//! Faults that are planted into the work on some events, for each kind of finding that a worker can cause, to see that each is named.
//!
//! They are done to the running system, at its store and its view, as a worker with that bug would do it. Each is written down as it is
//! done (`--planted FILE`, a line of JSON each), so that it can be looked for among the findings.

use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use payment_delivery::event::{OrderId, Revision};
use payment_delivery::kafka::Origin;
use serde_json::json;

mod raw;
pub(super) mod store;
pub(super) mod view;

pub(super) use raw::{RawRows, RawStatuses};

/// A fault of a kind that the checks of truth have a finding for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An event is acknowledged and shown, and not stored. What follows it waits for it.
    Drop,
    /// The same, and the next one is written past it by a statement without a guard, `applied` set to the revision.
    Skip,
    /// An event that the row holds comes again, and no guard keeps it from setting the row back.
    Guard,
    /// An event is applied twice.
    Twice,
    /// A row gets the address of the revision before.
    Content,
    /// A row gets a place in the log where its event is not.
    Place,
    /// An event is stored half a second after its offset can be committed.
    CommitAhead,
    /// An event comes to its row after the one that follows it.
    Swap,
    /// An event that was parked is forgotten.
    Unpark,
    /// A message with which nothing is wrong goes to the dead-letter topic.
    Refuse,
    /// A message that the store refuses is completed without a dead letter.
    Letter,
    /// A row is made for an order that nobody paid.
    Phantom,
    /// A status is set back to the revision before, whatever the view holds.
    ViewBack,
    /// A status is not written.
    ViewSkip,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Drop,
        Self::Skip,
        Self::Guard,
        Self::Twice,
        Self::Content,
        Self::Place,
        Self::CommitAhead,
        Self::Swap,
        Self::Unpark,
        Self::Refuse,
        Self::Letter,
        Self::Phantom,
        Self::ViewBack,
        Self::ViewSkip,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Skip => "skip",
            Self::Guard => "guard",
            Self::Twice => "twice",
            Self::Content => "content",
            Self::Place => "place",
            Self::Refuse => "refuse",
            Self::CommitAhead => "commit-ahead",
            Self::Swap => "swap",
            Self::Unpark => "unpark",
            Self::Letter => "letter",
            Self::Phantom => "phantom",
            Self::ViewBack => "view-back",
            Self::ViewSkip => "view-skip",
        }
    }

    /// Reads what [`Self::as_str`] wrote.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.as_str() == text)
    }

    /// Whether it is one of the view.
    pub(super) fn is_of_view(self) -> bool {
        matches!(self, Self::ViewBack | Self::ViewSkip)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Says which events of a process have the fault, and writes down which had it.
#[derive(Debug)]
pub(super) struct Planter {
    fault: Fault,
    every: NonZeroU64,
    eligible: AtomicU64,
    /// How often at most.
    left: AtomicU64,
    log: PlantLog,
}

/// Few enough for each to be among the findings that are kept, and all of them early in a trial.
const MOST: u64 = 5;

impl Planter {
    pub(super) fn new(fault: Fault, every: NonZeroU64, log: PlantLog) -> Self {
        // What is dropped is dropped to the end: a gate is to see that work is missing.
        let most = if fault == Fault::Drop { u64::MAX } else { MOST };
        Self { fault, every, eligible: AtomicU64::new(0), left: AtomicU64::new(most), log }
    }

    /// Whether the event at hand, which could have the fault, is to have it.
    fn this_one(&self) -> bool {
        (self.eligible.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(self.every.get())
            && self
                .left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                .is_ok()
    }

    fn write_down(&self, order_id: &OrderId, revision: Revision, origin: Option<Origin>) {
        self.log.write(self.fault, order_id, revision, origin);
    }
}

/// Where what was planted is written down, if anywhere.
#[derive(Clone, Debug, Default)]
pub(super) struct PlantLog(Option<Arc<Mutex<File>>>);

impl PlantLog {
    /// To a file that is made here, or nowhere.
    pub(super) fn create(path: Option<&Path>) -> std::io::Result<Self> {
        let file = path.map(|path| File::options().append(true).create(true).open(path)).transpose()?;
        Ok(Self(file.map(|file| Arc::new(Mutex::new(file)))))
    }

    fn write(&self, fault: Fault, order_id: &OrderId, revision: Revision, origin: Option<Origin>) {
        tracing::info!(%fault, order = %order_id, revision, "planted");
        let Some(file) = &self.0 else { return };
        let (partition, offset) = (origin.map(|at| at.partition), origin.map(|at| at.offset));
        let line = json!({
            "fault": fault.as_str(), "order_id": order_id.as_str(), "revision": revision, "partition": partition, "offset": offset,
        });
        let written = writeln!(file.lock().unwrap_or_else(PoisonError::into_inner), "{line}");
        if let Err(error) = written {
            tracing::error!(%error, "what was planted could not be written down");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_third_event_has_the_fault_and_is_written_down() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("planted");
        let log = PlantLog::create(Some(&file)).unwrap();
        let planter = Planter::new(Fault::Twice, NonZeroU64::new(3).unwrap(), log);
        let order = OrderId::new("o-1").unwrap();
        for revision in 1..=7 {
            if planter.this_one() {
                planter.write_down(&order, revision, Some(Origin { partition: 2, offset: 9 }));
            }
        }
        let lines = std::fs::read_to_string(file).unwrap();
        let planted: Vec<serde_json::Value> =
            lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(planted.len(), 2);
        assert_eq!(
            (&planted[1]["fault"], &planted[1]["revision"], &planted[1]["offset"]),
            (&json!("twice"), &json!(6), &json!(9))
        );
    }
}

//! What the log holds at each offset: four bytes a record.

use std::collections::BTreeMap;

use payment_delivery::kafka::Origin;

use super::ledger::EventNumber;

/// What lies at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// An event.
    Event(EventNumber),
    /// A record that is none.
    Unreadable,
}

/// The records of a topic, by partition and offset.
#[derive(Debug, Default)]
pub(super) struct Places(BTreeMap<i32, Vec<Run>>);

/// Records with offsets that lie close to each other.
#[derive(Debug)]
struct Run {
    first: i64,
    slots: Vec<Slot>,
}

/// An event's number, or one of the two at the end; the top bit says that a consumer had it in hand.
#[derive(Clone, Copy, Debug)]
struct Slot(u32);

impl Slot {
    const TAKEN: u32 = 1 << 31;
    const EMPTY: u32 = Self::TAKEN - 1;
    const UNREADABLE: u32 = Self::TAKEN - 2;

    fn holds(self) -> Option<Holds> {
        match self.0 & !Self::TAKEN {
            Self::EMPTY => None,
            Self::UNREADABLE => Some(Holds::Unreadable),
            event => Some(Holds::Event(event)),
        }
    }
}

/// A gap that is larger begins a run of its own.
const GAP_MAX: i64 = 1_024;

impl Places {
    /// Notes what lies behind all that was noted of its partition. Whether it does: an offset that was noted before counts once.
    pub(super) fn push(&mut self, at: Origin, holds: Holds) -> bool {
        let runs = self.0.entry(at.partition).or_default();
        let gap = runs.last().map(|run| at.offset - run.first - run.slots.len() as i64);
        if gap.is_some_and(|gap| gap < 0) {
            return false;
        }
        if gap.is_none_or(|gap| gap > GAP_MAX) {
            runs.push(Run { first: at.offset, slots: Vec::new() });
        }
        let run = runs.last_mut().expect("one was pushed");
        run.slots.resize((at.offset - run.first) as usize, Slot(Slot::EMPTY));
        run.slots.push(Slot(match holds {
            Holds::Event(event) => event,
            Holds::Unreadable => Slot::UNREADABLE,
        }));
        true
    }

    /// What lies there; `None` if nothing does.
    pub(super) fn at(&self, origin: Origin) -> Option<Holds> {
        let runs = self.0.get(&origin.partition)?;
        let run = &runs[runs.partition_point(|run| run.first <= origin.offset).checked_sub(1)?];
        run.slots.get(usize::try_from(origin.offset - run.first).ok()?)?.holds()
    }

    /// Notes that a consumer had it in hand; whether it is the first time. `None` if nothing lies there.
    pub(super) fn take(&mut self, origin: Origin) -> Option<bool> {
        let runs = self.0.get_mut(&origin.partition)?;
        let run = runs.partition_point(|run| run.first <= origin.offset).checked_sub(1)?;
        let run = &mut runs[run];
        let slot = run.slots.get_mut(usize::try_from(origin.offset - run.first).ok()?)?;
        slot.holds()?;
        let first = slot.0 & Slot::TAKEN == 0;
        slot.0 |= Slot::TAKEN;
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: i64) -> Origin {
        Origin { partition: 1, offset }
    }

    #[test]
    fn offsets_may_have_gaps_and_count_once() {
        let mut places = Places::default();
        for (offset, event) in [(5, 0), (6, 1), (9, 2), (1_000_000, 3)] {
            assert!(places.push(at(offset), Holds::Event(event)));
            assert!(!places.push(at(offset), Holds::Event(event)), "the same again");
        }
        assert!(places.push(at(1_000_001), Holds::Unreadable));
        let held =
            [4, 5, 6, 7, 9, 10, 999_999, 1_000_000, 1_000_001, 1_000_002].map(|offset| places.at(at(offset)));
        let event = |event| Some(Holds::Event(event));
        let unreadable = Some(Holds::Unreadable);
        assert_eq!(held, [None, event(0), event(1), None, event(2), None, None, event(3), unreadable, None]);
        assert_eq!(places.at(Origin { partition: 0, offset: 5 }), None);
    }

    #[test]
    fn a_record_is_taken_for_the_first_time_once() {
        let mut places = Places::default();
        places.push(at(5), Holds::Event(7));
        places.push(at(8), Holds::Event(8));
        assert_eq!(
            [5, 5, 6, 4, 8].map(|offset| places.take(at(offset))),
            [Some(true), Some(false), None, None, Some(true)]
        );
        assert_eq!(places.at(at(5)), Some(Holds::Event(7)));
    }
}

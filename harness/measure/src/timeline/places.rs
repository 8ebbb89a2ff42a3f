//! Which event was acknowledged where: four bytes a record.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use payment_delivery::kafka::Origin;

/// Stands for an offset at which no event was acknowledged, yet or ever.
const NOBODY: u32 = u32::MAX;

/// Offsets of a topic of one trial's own, so that they begin at 0, hold hardly anything else, and are below this.
const OFFSETS_MAX: usize = 1 << 31;

/// Events by partition and offset.
#[derive(Default)]
pub(super) struct AckedPlaces(Mutex<BTreeMap<i32, Vec<u32>>>);

impl AckedPlaces {
    /// An event was acknowledged there.
    pub(super) fn note(&self, origin: Origin, index: usize) {
        let offset = usize::try_from(origin.offset).ok().filter(|offset| *offset < OFFSETS_MAX);
        let (Some(offset), Ok(index)) = (offset, u32::try_from(index)) else { return };
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let partition = places.entry(origin.partition).or_default();
        if partition.len() <= offset {
            partition.resize(offset + 1, NOBODY);
        }
        partition[offset] = index;
    }

    /// The event that was acknowledged there.
    pub(super) fn at(&self, origin: Origin) -> Option<usize> {
        let places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let index = *places.get(&origin.partition)?.get(usize::try_from(origin.offset).ok()?)?;
        (index != NOBODY).then_some(index as usize)
    }
}

/// How far a partition is known to be committed, and what of that could not be told yet: an event whose acknowledgement is still
/// under way, or whose phase has not begun.
#[derive(Debug, Default)]
pub(super) struct CommittedCursor {
    next: i64,
    open: Vec<i64>,
}

impl CommittedCursor {
    /// Everything below `next` is committed: tells each offset that was not told before to `tell`, again and again until that says that
    /// it knows its event.
    pub(super) fn advance(&mut self, next: i64, mut tell: impl FnMut(i64) -> bool) {
        self.open.retain(|offset| !tell(*offset));
        let open = (self.next..next).filter(|offset| !tell(*offset));
        self.open.extend(open);
        self.next = self.next.max(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_found_where_it_was_acknowledged() {
        let places = AckedPlaces::default();
        let at = |offset| Origin { partition: 2, offset };
        places.note(at(4), 7);
        places.note(at(0), 8);
        assert_eq!(
            [0, 1, 4, 5, -1].map(|offset| places.at(at(offset))),
            [Some(8), None, Some(7), None, None]
        );
        places.note(at(i64::MAX), 9);
        assert_eq!(places.at(at(i64::MAX)), None, "no topic of a trial is so long");
    }

    #[test]
    fn an_offset_is_told_until_its_event_is_known_and_then_no_more() {
        let mut cursor = CommittedCursor::default();
        let mut told = Vec::new();
        let mut advance = |next, known: &[i64]| {
            told.clear();
            cursor.advance(next, |offset| {
                told.push(offset);
                known.contains(&offset)
            });
            told.clone()
        };
        assert_eq!(advance(3, &[0, 2]), [0, 1, 2]);
        assert_eq!(advance(3, &[]), [1]);
        assert_eq!(advance(5, &[1, 3, 4]), [1, 3, 4]);
        assert!(advance(4, &[]).is_empty(), "one that goes back tells nothing");
    }
}

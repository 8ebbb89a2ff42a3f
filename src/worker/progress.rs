//! How far a consumer has worked, and how much of it is committed.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Shared by the processing loop, which advances it, and the commits, which follow. Never held across an await.
pub(super) struct Progress(Mutex<BTreeMap<i32, Position>>);

#[derive(Clone, Copy)]
struct Position {
    next: i64,
    committed: Option<i64>,
}

impl Progress {
    /// Starts with work that an earlier generation left uncommitted.
    pub(super) fn new(carried: BTreeMap<i32, i64>) -> Self {
        let positions = carried.into_iter().map(|(p, next)| (p, Position { next, committed: None }));
        Self(Mutex::new(positions.collect()))
    }

    /// The message before `next` is done.
    pub(super) fn advance(&self, partition: i32, next: i64) {
        let mut positions = self.lock();
        let committed = positions.get(&partition).and_then(|p| p.committed);
        positions.insert(partition, Position { next, committed });
    }

    /// The next offsets that the group does not know yet.
    pub(super) fn uncommitted(&self) -> BTreeMap<i32, i64> {
        let positions = self.lock();
        positions.iter().filter(|(_, p)| p.committed != Some(p.next)).map(|(id, p)| (*id, p.next)).collect()
    }

    /// The group knows `next` now.
    pub(super) fn committed(&self, next: &BTreeMap<i32, i64>) {
        let mut positions = self.lock();
        for (partition, offset) in next {
            if let Some(position) = positions.get_mut(partition) {
                position.committed = Some(*offset);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<i32, Position>> {
        // Each critical section is a few plain stores, so a poisoned map is still whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_covers_what_was_asked_and_not_what_came_since() {
        let progress = Progress::new(BTreeMap::from([(2, 40)]));
        progress.advance(0, 1);
        let asked = progress.uncommitted();
        assert_eq!(asked, BTreeMap::from([(0, 1), (2, 40)]));
        progress.advance(0, 2);
        progress.committed(&asked);
        assert_eq!(progress.uncommitted(), BTreeMap::from([(0, 2)]));
    }
}

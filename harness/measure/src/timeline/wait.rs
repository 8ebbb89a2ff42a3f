//! Waiting for what the consumers do, with a bound.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{PhaseId, Timeline};

/// What did not come about in time.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// Events of a phase that no view acknowledged.
    #[error("{visible} of {total} events of the {phase} phase were visible after {within:?}")]
    NotVisible {
        /// The phase.
        phase: String,
        /// Events visible by then.
        visible: usize,
        /// Events of the phase.
        total: usize,
        /// How long was waited.
        within: Duration,
    },
    /// Partitions without an owner, or fewer owners than there should be.
    #[error(
        "{partitions} partitions were not shared among {consumers} consumers within {within:?}; owned by then: {owned:?}"
    )]
    NotAssigned {
        /// Consumers expected.
        consumers: usize,
        /// Partitions of the topic.
        partitions: i32,
        /// Who owned what.
        owned: BTreeMap<String, Vec<i32>>,
        /// How long was waited.
        within: Duration,
    },
}

impl Timeline {
    /// Waits until every event of a phase that was offered is visible.
    ///
    /// # Errors
    /// [`WaitError::NotVisible`] when that took longer than `within`.
    pub async fn all_visible(&self, phase: PhaseId, within: Duration) -> Result<(), WaitError> {
        let all = || self.visible_count(phase) >= self.offered_count(phase);
        self.until(within, all).await.map_err(|()| WaitError::NotVisible {
            phase: self.name(phase).into(),
            visible: self.visible_count(phase),
            total: self.offered_count(phase),
            within,
        })
    }

    /// Waits until the partitions 0 to `partitions` − 1 have one owner each, and as many consumers as can own one
    /// of them do.
    ///
    /// # Errors
    /// [`WaitError::NotAssigned`] when that took longer than `within`.
    pub async fn all_assigned(
        &self,
        consumers: usize,
        partitions: i32,
        within: Duration,
    ) -> Result<(), WaitError> {
        let shared = || {
            let journal = self.lock_journal();
            let mut owned: Vec<i32> = journal.owned.values().flatten().copied().collect();
            owned.sort_unstable();
            let owners = journal.owned.values().filter(|p| !p.is_empty()).count();
            owned.into_iter().eq(0..partitions) && owners == consumers.min(partitions.unsigned_abs() as usize)
        };
        self.until(within, shared).await.map_err(|()| WaitError::NotAssigned {
            consumers,
            partitions,
            owned: self.owned(),
            within,
        })
    }

    async fn until(&self, within: Duration, reached: impl Fn() -> bool) -> Result<(), ()> {
        let wait = async {
            loop {
                let mut changed = std::pin::pin!(self.changed.notified());
                // Registered before the look, so that no change falls between the two.
                changed.as_mut().enable();
                if reached() {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(within, wait).await.map_err(|_| ())
    }
}

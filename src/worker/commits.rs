//! When offsets are committed: on a cadence while working, and at the end of an assignment.

use std::collections::BTreeMap;
use std::time::Duration;

use super::progress::Progress;
use crate::kafka::group::{CommitError, Offsets};
use crate::probe::{Probe, retried};

/// Pause between two attempts at the last commit.
const AGAIN: Duration = Duration::from_millis(50);

/// The commits of one assignment; one request in flight, since each is awaited before the next.
pub(super) struct Commits<'a> {
    pub(super) consumer: &'a str,
    pub(super) offsets: Offsets,
    pub(super) progress: &'a Progress,
    pub(super) probe: &'a dyn Probe,
}

/// Why no further commit can succeed.
pub(super) enum Broken {
    /// The membership is over.
    Lost(String),
    /// Something that trying again does not mend, such as a missing right.
    Refused(CommitError),
}

impl Commits<'_> {
    /// At most one commit an `interval`, for as long as commits can succeed.
    pub(super) async fn on_cadence(&self, interval: Duration) -> Broken {
        let mut tick = tokio::time::interval(interval);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            match self.commit(&self.progress.uncommitted()).await {
                // A rebalance is told of by the member as well; the work is committed at the revoke or after the sync.
                Ok(()) | Err(CommitError::RebalanceInProgress) => {}
                Err(CommitError::Lost(reason)) => return Broken::Lost(reason.to_string()),
                Err(error @ CommitError::Refused { .. }) => return Broken::Refused(error),
                Err(CommitError::Unavailable(why)) => retried(self.probe, self.consumer, "broker", &why),
            }
        }
    }

    /// The last commit of an assignment: as many attempts as fit `within`. What stays uncommitted is told by
    /// [`Progress::uncommitted`].
    pub(super) async fn at_the_end(&self, within: Duration) {
        let attempts = async {
            loop {
                match self.commit(&self.progress.uncommitted()).await {
                    Ok(()) => return,
                    Err(CommitError::Unavailable(why)) => {
                        retried(self.probe, self.consumer, "broker", &why);
                        tokio::time::sleep(AGAIN).await;
                    }
                    Err(error) => {
                        tracing::warn!(consumer = self.consumer, %error, "the last commit was not taken");
                        return;
                    }
                }
            }
        };
        if tokio::time::timeout(within, attempts).await.is_err() {
            tracing::warn!(consumer = self.consumer, "the last commit found no answer in time");
        }
    }

    async fn commit(&self, next: &BTreeMap<i32, i64>) -> Result<(), CommitError> {
        if next.is_empty() {
            return Ok(());
        }
        self.offsets.commit(next).await?;
        self.progress.committed(next);
        for (&partition, &offset) in next {
            self.probe.committed(self.consumer, partition, offset);
        }
        Ok(())
    }
}

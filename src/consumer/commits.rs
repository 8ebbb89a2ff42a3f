//! When offsets are committed: on a cadence while working, and at the end of an assignment.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::tracker::Tracker;
use crate::failure::{Backoff, Component};
use crate::kafka::group::{CommitError, Offsets};
use crate::probe::{Probe, retried};

/// The commits of one assignment; one request in flight, since each is awaited before the next.
pub(super) struct Commits<'a> {
    pub(super) consumer: &'a str,
    pub(super) offsets: Offsets,
    pub(super) tracker: &'a Tracker,
    pub(super) probe: &'a dyn Probe,
}

/// Why no further commit can succeed.
pub(super) enum CommitFailure {
    /// The membership is over.
    Lost(String),
    /// Something that trying again does not mend, such as a missing right.
    Refused(CommitError),
}

impl Commits<'_> {
    /// At most one commit an `interval`, until told to stop. A commit that is under way then is not given up: its outcome would be unknown.
    ///
    /// # Errors
    /// [`CommitFailure`].
    pub(super) async fn on_cadence(
        &self,
        interval: Duration,
        stop: &CancellationToken,
    ) -> Result<(), CommitFailure> {
        let mut tick = tokio::time::interval(interval);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut failed = false;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                _ = tick.tick() => {}
            }
            match self.commit(&self.tracker.uncommitted()).await {
                Ok(()) => {
                    if std::mem::take(&mut failed) {
                        self.probe.recovered(self.consumer, Component::Broker);
                    }
                }
                // A rebalance is told of by the member as well; the work is committed at the revoke or after the sync.
                Err(CommitError::RebalanceInProgress) => {}
                Err(CommitError::Lost(reason)) => return Err(CommitFailure::Lost(reason.to_string())),
                Err(error @ CommitError::Refused { .. }) => return Err(CommitFailure::Refused(error)),
                Err(CommitError::Unavailable(why)) => {
                    failed = true;
                    retried(self.probe, self.consumer, Component::Broker, &why);
                }
            }
        }
    }

    /// The last commit of an assignment: as many attempts as fit `within`. What stays uncommitted is told by
    /// [`Tracker::uncommitted`].
    pub(super) async fn at_the_end(&self, within: Duration) {
        let attempts = async {
            let mut backoff = Backoff::up_to(Backoff::SHORT);
            loop {
                match self.commit(&self.tracker.uncommitted()).await {
                    Ok(()) => return,
                    Err(CommitError::Unavailable(why)) => {
                        retried(self.probe, self.consumer, Component::Broker, &why);
                        backoff.wait().await;
                    }
                    Err(error) => {
                        tracing::warn!(consumer = self.consumer, %error, "the last commit was not taken");
                        self.probe.commit_refused(self.consumer);
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
        self.tracker.committed(next);
        for (&partition, &offset) in next {
            self.probe.committed(self.consumer, partition, offset);
        }
        Ok(())
    }
}

//! What can be seen of any worker from outside: the offsets that its group has committed, sampled on a tick, and how its
//! partitions are shared.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use payment_delivery::kafka::Origin;
use payment_delivery::kafka::admin::{Admin, AdminError};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::timeline::Timeline;

/// How often committed offsets are sampled.
pub const TICK: Duration = Duration::from_millis(100);

/// The committed offsets over time: whenever a partition's moved on, the moment at which that was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitSamples(BTreeMap<i32, Vec<(u64, i64)>>);

impl CommitSamples {
    /// Takes in what was seen at `at_ns`. Times and offsets only grow; a sample that goes back is left out.
    pub fn push(&mut self, at_ns: u64, next: &BTreeMap<i32, i64>) {
        for (partition, next) in next {
            let seen = self.0.entry(*partition).or_default();
            if seen.last().is_none_or(|(at, last)| last < next && *at <= at_ns) {
                seen.push((at_ns, *next));
            }
        }
    }

    /// When the committed offset was first seen beyond `origin`; `None` if it never was.
    pub fn passed_ns(&self, origin: Origin) -> Option<u64> {
        let seen = self.0.get(&origin.partition)?;
        seen.get(seen.partition_point(|(_, next)| *next <= origin.offset)).map(|(at_ns, _)| *at_ns)
    }
}

/// Whose group is watched, and what is told of it.
pub struct Watch {
    /// A connection of its own.
    pub admin: Admin,
    /// The topic.
    pub topic: String,
    /// The group.
    pub group: String,
    /// The trial's.
    pub timeline: Arc<Timeline>,
    /// Whether the timeline hears of owners and of events that are committed: where nobody inside tells of them.
    pub tells: bool,
}

impl Watch {
    /// Samples every [`TICK`] until `stop`, and once more then.
    ///
    /// A broker that doesn't answer for a while costs ticks; what comes later holds what was missed.
    ///
    /// # Errors
    /// What the broker answered last, where it did not answer at the end.
    pub async fn run(self, stop: CancellationToken) -> Result<CommitSamples, AdminError> {
        let mut samples = CommitSamples::default();
        let mut owners = BTreeMap::new();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            let last = tokio::select! {
                _ = ticks.tick() => false,
                () = stop.cancelled() => true,
            };
            match self.sample(&mut samples, &mut owners).await {
                Err(error) if last => return Err(error),
                Err(error) => tracing::debug!(%error, "committed offsets could not be sampled"),
                Ok(()) => {}
            }
            if last {
                return Ok(samples);
            }
        }
    }

    async fn sample(
        &self,
        samples: &mut CommitSamples,
        owners: &mut BTreeMap<i32, String>,
    ) -> Result<(), AdminError> {
        if self.tells && !self.timeline.has_begun() {
            *owners = self.owners().await?;
        }
        let next = self.admin.group_offsets(&self.group, &self.topic).await?;
        let at_ns = self.timeline.clock().now_ns();
        samples.push(at_ns, &next);
        if self.tells {
            self.timeline.committed_up_to(&next, at_ns, owners);
        }
        Ok(())
    }

    /// Who owns each partition, told to the timeline. Nobody does until the group is stable, and members may come one by one.
    async fn owners(&self) -> Result<BTreeMap<i32, String>, AdminError> {
        let group = self.admin.group_members(&self.group).await?;
        let members = if group.state == "Stable" { group.members } else { Vec::new() };
        let mut owners = BTreeMap::new();
        let mut owned = BTreeMap::new();
        for (number, member) in members.iter().enumerate() {
            // A client id need not tell members apart.
            let name = format!("{}#{number}", member.client_id);
            let partitions = member.partitions.get(&self.topic).cloned().unwrap_or_default();
            owners.extend(partitions.iter().map(|partition| (*partition, name.clone())));
            owned.insert(name, partitions);
        }
        self.timeline.owned_are(owned);
        Ok(owners)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(partition: i32, offset: i64) -> Origin {
        Origin { partition, offset }
    }

    #[test]
    fn an_offset_is_passed_when_the_next_one_is_committed() {
        let mut samples = CommitSamples::default();
        for (at_ns, zero) in [(100, 0), (200, 5), (300, 5), (400, 9)] {
            samples.push(at_ns, &[(0, zero)].into());
        }
        assert_eq!(samples.passed_ns(at(0, 0)), Some(200));
        assert_eq!(samples.passed_ns(at(0, 4)), Some(200));
        assert_eq!(samples.passed_ns(at(0, 5)), Some(400), "5 is the next one, not done yet");
        assert_eq!(samples.passed_ns(at(0, 8)), Some(400));
        assert_eq!(samples.passed_ns(at(0, 9)), None);
        assert_eq!(samples.passed_ns(at(1, 0)), None, "a partition without a commit");
    }

    #[test]
    fn what_goes_back_is_left_out() {
        let mut samples = CommitSamples::default();
        samples.push(100, &[(0, 5)].into());
        samples.push(200, &[(0, 3)].into());
        samples.push(300, &[(0, 6)].into());
        assert_eq!((samples.passed_ns(at(0, 4)), samples.passed_ns(at(0, 5))), (Some(100), Some(300)));
    }
}

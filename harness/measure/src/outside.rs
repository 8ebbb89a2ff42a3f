//! A worker that reports nothing, seen from outside: how its partitions are shared, and how far it has committed, on a tick.

use std::collections::BTreeMap;
use std::sync::Arc;

use payment_delivery::kafka::admin::{Admin, AdminError};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::lag::TICK_DEFAULT;
use super::timeline::Timeline;

/// Tells a timeline of owners, and of events whose offset is committed.
pub struct Watch {
    /// A connection of its own.
    pub admin: Admin,
    /// The topic.
    pub topic: String,
    /// The group.
    pub group: String,
    /// The trial's, which has to keep places ([`Timeline::keep_places`]).
    pub timeline: Arc<Timeline>,
}

impl Watch {
    /// Samples every [`TICK_DEFAULT`] until `stop`, and once more then.
    ///
    /// A broker that doesn't answer for a while costs ticks; what comes later holds what was missed.
    ///
    /// # Errors
    /// What the broker answered last, where it did not answer at the end.
    pub async fn run(self, stop: CancellationToken) -> Result<(), AdminError> {
        let mut owners = BTreeMap::new();
        let mut ticks = interval(TICK_DEFAULT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            let last = tokio::select! {
                _ = ticks.tick() => false,
                () = stop.cancelled() => true,
            };
            match self.sample(&mut owners).await {
                Err(error) if last => return Err(error),
                Err(error) => tracing::debug!(%error, "committed offsets could not be sampled"),
                Ok(()) => {}
            }
            if last {
                return Ok(());
            }
        }
    }

    async fn sample(&self, owners: &mut BTreeMap<i32, String>) -> Result<(), AdminError> {
        if !self.timeline.has_begun() {
            *owners = self.owners().await?;
        }
        let next = self.admin.group_offsets(&self.group, &self.topic).await?;
        let at_ns = self.timeline.clock().now_ns();
        self.timeline.committed_up_to(&next, at_ns, owners);
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

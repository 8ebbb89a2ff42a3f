//! What the members of the group went through, as far as they reported it.

use std::collections::BTreeMap;

use lanebench_result::GroupEvents;

use super::Timeline;

/// Counts up to one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupCounts {
    /// Assignments, by member.
    assigned: BTreeMap<u32, u64>,
    lost: u64,
    retries: u64,
}

impl GroupCounts {
    /// What happened between an earlier moment and this one. A rebalance gives each member one assignment at most, so there
    /// were as many as the member with the most of them was given.
    pub fn since(&self, earlier: &Self) -> GroupEvents {
        let before = |member| earlier.assigned.get(member).copied().unwrap_or(0);
        GroupEvents {
            rebalances: self.assigned.iter().map(|(member, n)| n - before(member)).max().unwrap_or(0),
            lost: self.lost - earlier.lost,
            retries: self.retries - earlier.retries,
        }
    }
}

impl Timeline {
    /// What the group's members went through so far.
    pub fn group_counts(&self) -> GroupCounts {
        let journal = self.lock_journal();
        let mut counts = GroupCounts::default();
        for change in &journal.ownership {
            if change.lost {
                counts.lost += 1;
            } else if !change.partitions.is_empty() {
                *counts.assigned.entry(change.consumer).or_default() += 1;
            }
        }
        counts.retries = journal.retries.values().map(|retries| retries.count).sum();
        counts
    }
}

#[cfg(test)]
mod tests {
    use payment_delivery::failure::Component;
    use payment_delivery::probe::Probe as _;

    use super::*;
    use crate::Clock;

    #[test]
    fn a_rebalance_of_three_members_is_one() {
        let timeline = Timeline::new(Clock::start(), |_| None);
        for (member, partition) in [("c0", 0), ("c1", 1), ("c2", 2)] {
            timeline.assigned(member, &[partition]);
        }
        let before = timeline.group_counts();
        timeline.released("c2", true);
        timeline.assigned("c0", &[0, 2]);
        timeline.assigned("c1", &[1]);
        timeline.retried("c1", Component::Store, "away");
        let events = timeline.group_counts().since(&before);
        assert_eq!(events, GroupEvents { rebalances: 1, lost: 1, retries: 1 });
        assert_eq!(before.since(&before), GroupEvents::default());
    }
}

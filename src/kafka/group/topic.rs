//! Whether the topic is still as it was assigned: partitions may be added while the group works, and a topic may be deleted and made again.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::error::GroupError;
use super::join::{Joiner, Setback};

/// How long a topic may be missing: one broker that does not know it is no proof.
const MISSING_MAX: Duration = Duration::from_secs(30);

/// A topic as metadata shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SeenTopic {
    /// Nil where the broker gives none.
    pub(super) id: Uuid,
    pub(super) partitions: i32,
}

/// What is known of the topic, and when to look again.
#[derive(Debug)]
pub(super) struct TopicWatch {
    max_age: Duration,
    next_look: Instant,
    /// Which topic it was when the member first joined.
    id: Option<Uuid>,
    /// The numbers of partitions that this member assigned by, as the leader.
    assigned: Option<BTreeMap<String, i32>>,
    missing_since: Option<Instant>,
}

impl TopicWatch {
    pub(super) fn new(max_age: Duration) -> Self {
        Self { max_age, next_look: Instant::now() + max_age, id: None, assigned: None, missing_since: None }
    }

    /// Whether the topic was ever seen.
    pub(super) fn has_seen(&self) -> bool {
        self.id.is_some()
    }

    /// It is there.
    pub(super) fn seen(&mut self, id: Uuid) {
        self.id = Some(id);
        self.missing_since = None;
    }

    /// For how long it has been missing, now included.
    pub(super) fn missing_for(&mut self) -> Duration {
        self.missing_since.get_or_insert_with(Instant::now).elapsed()
    }

    /// A generation begins, which another member may lead.
    pub(super) fn begin(&mut self) {
        self.assigned = None;
        self.next_look = Instant::now() + self.max_age;
    }

    /// This member leads, and assigned so many partitions of each topic.
    pub(super) fn assigned(&mut self, counts: BTreeMap<String, i32>) {
        self.assigned = Some(counts);
    }

    /// What this look says: true if the group should rebalance.
    ///
    /// # Errors
    /// [`GroupError::NoTopic`] after half a minute, [`GroupError::TopicReplaced`].
    pub(super) fn judge(
        &mut self,
        topic: &str,
        seen: &BTreeMap<String, SeenTopic>,
    ) -> Result<bool, GroupError> {
        let Some(own) = seen.get(topic) else {
            if self.missing_for() < MISSING_MAX {
                return Ok(false);
            }
            return Err(GroupError::NoTopic { topic: topic.to_owned() });
        };
        self.missing_since = None;
        // A broker that gives no id says nothing of it.
        if self.id.is_some_and(|id| !id.is_nil() && !own.id.is_nil() && id != own.id) {
            return Err(GroupError::TopicReplaced { topic: topic.to_owned() });
        }
        // Never fewer: a broker that is behind still shows the old number.
        let grew =
            |(name, count): (&String, &i32)| seen.get(name).is_some_and(|seen| seen.partitions > *count);
        Ok(self.assigned.as_ref().is_some_and(|assigned| assigned.iter().any(grew)))
    }
}

impl Joiner {
    /// Waits until the group should rebalance, since a topic has other partitions than this member, as the leader, assigned.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// [`GroupError::NoTopic`], [`GroupError::TopicReplaced`], [`GroupError::Forbidden`].
    pub(super) async fn topic_changed(&mut self) -> Result<(), GroupError> {
        loop {
            sleep_until(self.watch.next_look).await;
            self.watch.next_look = Instant::now() + self.watch.max_age;
            let assigned = self.watch.assigned.iter().flat_map(BTreeMap::keys);
            let mut topics: Vec<String> = assigned.chain([&self.topic]).cloned().collect();
            topics.sort_unstable();
            topics.dedup();
            match self.describe(&topics).await {
                Ok(seen) => {
                    if self.watch.judge(&self.topic, &seen)? {
                        tracing::info!(
                            group = self.config.group_id,
                            ?seen,
                            "a topic has other partitions, rebalancing"
                        );
                        return Ok(());
                    }
                }
                Err(Setback::Fatal(error)) => return Err(error),
                Err(setback) => tracing::debug!(?setback, "the topic could not be looked at"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(id: u128, partitions: i32) -> BTreeMap<String, SeenTopic> {
        BTreeMap::from([("t".to_owned(), SeenTopic { id: Uuid::from_u128(id), partitions })])
    }

    fn watch(assigned: Option<i32>) -> TopicWatch {
        let mut watch = TopicWatch::new(Duration::from_secs(25));
        watch.seen(Uuid::from_u128(1));
        assigned.into_iter().for_each(|count| watch.assigned(BTreeMap::from([("t".to_owned(), count)])));
        watch
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_leader_asks_for_a_rebalance_when_partitions_were_added() {
        assert_eq!(watch(Some(3)).judge("t", &seen(1, 3)), Ok(false));
        assert_eq!(watch(Some(3)).judge("t", &seen(1, 6)), Ok(true));
        assert_eq!(watch(None).judge("t", &seen(1, 6)), Ok(false));
        assert_eq!(watch(Some(6)).judge("t", &seen(1, 3)), Ok(false), "a broker that is behind");
    }

    #[tokio::test(start_paused = true)]
    async fn a_topic_that_was_made_again_is_another_one() {
        let replaced = watch(None).judge("t", &seen(2, 3)).unwrap_err();
        assert!(replaced.to_string().contains("made again"), "{replaced}");
        assert_eq!(watch(None).judge("t", &seen(0, 3)), Ok(false), "a broker that gives no ids");
    }

    #[tokio::test(start_paused = true)]
    async fn a_topic_is_gone_after_half_a_minute() {
        let mut watch = watch(None);
        assert_eq!(watch.judge("t", &BTreeMap::new()), Ok(false));
        tokio::time::advance(Duration::from_secs(29)).await;
        assert_eq!(watch.judge("t", &BTreeMap::new()), Ok(false));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(matches!(watch.judge("t", &BTreeMap::new()), Err(GroupError::NoTopic { .. })));
    }
}

//! A member of a group, from joining to leaving.

use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::LeaveGroupRequest;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::protocol::StrBytes;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::coordinator::{Finder, Link, Trouble};
use super::error::{GroupError, LostReason};
use super::join::{Joiner, Setback};
use super::membership::{Membership, Standing};
use super::offsets::Offsets;
use super::topic::TopicWatch;
use super::wire::group_id;
use super::{GroupConfig, heartbeat};
use crate::failure::Backoff;
use crate::kafka::conn::cluster::Cluster;
use crate::kafka::conn::code::KafkaCode;

const LEAVE_GROUP: i16 = 4;
/// How long joining may take before a failed round is a warning.
const ROUTINE: Duration = Duration::from_millis(500);

/// What a member owns in a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The group's generation, growing with each rebalance.
    pub generation: i32,
    /// The id the coordinator gave the member.
    pub member_id: String,
    /// The partitions of the subscribed topic, in order; none if there are more members than partitions.
    pub partitions: Vec<i32>,
}

/// News about a membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The group rebalances, or has to, since the topic has other partitions than were assigned: finish and commit within the
    /// rebalance time-out, then join again. Heartbeats go on.
    Rebalance,
    /// No further attempt would succeed: the topic is gone, or is another one.
    Failed(GroupError),
    /// The partitions may be someone else's already: stop, commit nothing, then join again.
    Lost(LostReason),
}

/// A member of a consumer group, subscribed to one topic.
///
/// Dropping it stops its heartbeats and says nothing to the coordinator, which notices after the session time-out, as
/// with a process that was killed. [`Member::leave`] is the polite way.
#[derive(Debug)]
pub struct Member {
    joiner: Joiner,
    /// Good for the next JoinGroup; empty until the coordinator has given one.
    member_id: String,
    membership: Arc<Membership>,
    standing: watch::Receiver<Standing>,
    /// Whether [`Member::changed`] has told of the rebalance that ends this generation.
    told: bool,
    heartbeats: Option<AbortOnDropHandle<()>>,
    offsets: Arc<Mutex<Link>>,
}

impl Member {
    /// A member that has not joined yet. `bootstrap` are addresses `host:port`; nothing is sent.
    pub fn new(bootstrap: Vec<String>, topic: String, config: GroupConfig) -> Self {
        let cluster = Cluster::new(bootstrap, config.client_id.clone());
        let finder = Arc::new(Finder::new(cluster, config.group_id.clone()));
        let membership = Arc::new(Membership::none(config.group_id.clone(), config.instance_id.clone()));
        let link = || Link::new(Arc::clone(&finder), config.request_timeout);
        Self {
            member_id: String::new(),
            standing: membership.watch(),
            membership,
            told: false,
            heartbeats: None,
            offsets: Arc::new(Mutex::new(link())),
            joiner: Joiner {
                link: link(),
                topic,
                watch: TopicWatch::new(config.metadata_max_age),
                config,
                finder,
            },
        }
    }

    /// Joins the group, or joins it again for the next generation, and starts the heartbeats.
    ///
    /// Goes on through coordinators that move and connections that break for as long as it is polled. When the future
    /// is dropped half-way, call it again: the member id is kept.
    ///
    /// # Errors
    /// A [`GroupError`], when no further attempt would succeed.
    pub async fn join(&mut self) -> Result<Assignment, GroupError> {
        let begin = Instant::now();
        let mut backoff = Backoff::up_to(Backoff::SHORT);
        loop {
            let why = match self.round().await {
                Ok(assignment) => return Ok(assignment),
                Err(Setback::Named(member_id)) => {
                    // At once, unless the coordinator names a member that already had a name.
                    if std::mem::replace(&mut self.member_id, member_id).is_empty() {
                        continue;
                    }
                    "the coordinator gave another member id".to_owned()
                }
                Err(Setback::Unknown) => {
                    self.member_id.clear();
                    self.membership.lost(LostReason::UnknownMember);
                    // The coordinator answers: what went wrong before this is over.
                    backoff = Backoff::up_to(Backoff::SHORT);
                    "the member id is not known".to_owned()
                }
                Err(Setback::Again(why)) => why,
                Err(Setback::Fatal(error)) => return Err(error),
            };
            let (consumer, waited) = (&self.joiner.config.client_id, begin.elapsed());
            // A rebalance takes a round or two; what lasts longer is trouble.
            if waited > ROUTINE {
                let waited_ms = waited.as_millis() as u64;
                tracing::warn!(consumer, why, waited_ms, "not a member yet, joining again");
            } else {
                tracing::debug!(consumer, why, "joining again");
            }
            backoff.wait().await;
        }
    }

    async fn round(&mut self) -> Result<Assignment, Setback> {
        self.see_topic().await?;
        let joined = self.joiner.join(&self.member_id).await?;
        // From here on the coordinator expects heartbeats, also while the leader takes its time to assign.
        self.begin(joined.member_id.to_string(), joined.generation_id);
        let partitions = self.joiner.sync(&joined).await?;
        tracing::debug!(
            group = self.joiner.config.group_id,
            generation = joined.generation_id,
            ?partitions,
            "joined"
        );
        Ok(Assignment { generation: joined.generation_id, member_id: self.member_id.clone(), partitions })
    }

    /// Makes sure once that the topic exists: the group protocol itself would only assign nothing.
    async fn see_topic(&mut self) -> Result<(), Setback> {
        if self.joiner.watch.has_seen() {
            return Ok(());
        }
        let topic = self.joiner.topic.clone();
        if let Some(seen) = self.joiner.describe(std::slice::from_ref(&topic)).await?.get(&topic) {
            self.joiner.watch.seen(seen.id);
            return Ok(());
        }
        // One that was created a moment ago may not have reached every broker.
        if self.joiner.watch.missing_for() < self.joiner.config.request_timeout {
            return Err(Setback::Again(format!("topic `{topic}` is not known yet")));
        }
        Err(Setback::Fatal(GroupError::NoTopic { topic }))
    }

    fn begin(&mut self, member_id: String, generation: i32) {
        let membership = Arc::new(self.membership.next(member_id.clone(), generation));
        // Whoever still holds the offsets of the last generation may not commit any more.
        self.membership.lost(LostReason::IllegalGeneration);
        let link = Link::new(Arc::clone(&self.joiner.finder), self.joiner.config.request_timeout);
        self.heartbeats = Some(heartbeat::start(link, Arc::clone(&membership), &self.joiner.config));
        self.standing = membership.watch();
        self.membership = membership;
        self.member_id = member_id;
        self.told = false;
    }

    /// Waits for news. Tells of a rebalance once, then waits on, for that may still end in a loss; tells of a loss
    /// each time. Before the first [`Member::join`] it says [`LostReason::NotJoined`].
    ///
    /// Cancel-safe: dropping the future loses nothing.
    pub async fn changed(&mut self) -> Change {
        let told = self.told;
        let news = |standing: &Standing| match standing {
            Standing::Good => false,
            Standing::Rebalancing => !told,
            Standing::Lost(_) => true,
        };
        let change = tokio::select! {
            biased;
            standing = self.standing.wait_for(news) => match standing.as_deref() {
                Ok(Standing::Lost(reason)) => Change::Lost(reason.clone()),
                Ok(_) => Change::Rebalance,
                // The sender lives in `self.membership`.
                Err(_) => Change::Lost(LostReason::NotJoined),
            },
            changed = self.joiner.topic_changed(), if !told => changed.map_or_else(Change::Failed, |()| Change::Rebalance),
        };
        self.told |= change == Change::Rebalance;
        change
    }

    /// The offsets, under the current membership; after the next [`Member::join`] take them anew.
    pub fn offsets(&self) -> Offsets {
        Offsets {
            topic: self.joiner.topic.clone(),
            request_timeout: self.joiner.config.request_timeout,
            membership: Arc::clone(&self.membership),
            link: Arc::clone(&self.offsets),
        }
    }

    /// Stops the heartbeats and tells the coordinator, so that the group goes on at once. Bounded by the request
    /// time-out; if the coordinator can't be told, it notices after the session time-out.
    ///
    /// A member with an instance id stays silent, as Java's does: it may come back without a rebalance.
    pub async fn leave(mut self) {
        self.heartbeats = None;
        self.membership.lost(LostReason::NotJoined);
        if self.member_id.is_empty() || self.joiner.config.instance_id.is_some() {
            return;
        }
        let limit = self.joiner.config.request_timeout;
        if timeout(limit, self.say_goodbye()).await.is_err() {
            tracing::warn!(
                group = self.joiner.config.group_id,
                "the coordinator was not told of a member's leaving"
            );
        }
    }

    async fn say_goodbye(&mut self) {
        let member = MemberIdentity::default().with_member_id(StrBytes::from_string(self.member_id.clone()));
        let request = LeaveGroupRequest::default()
            .with_group_id(group_id(&self.joiner.config.group_id))
            .with_members(vec![member]);
        let limit = self.joiner.config.request_timeout / 3;
        let mut backoff = Backoff::up_to(Backoff::SHORT);
        loop {
            let why = match self.joiner.link.call(LEAVE_GROUP, &request, limit).await {
                Ok(response) => match KafkaCode::of(response.error_code) {
                    Some(code) if code.is_retriable() => {
                        self.joiner.link.heed(code);
                        code.to_string()
                    }
                    // Anything else is final, and a member that is not known has left already.
                    _ => return,
                },
                Err(Trouble::Passing(why)) => why,
                Err(Trouble::Refused(code)) => {
                    tracing::debug!(%code, "leaving was refused");
                    return;
                }
            };
            tracing::debug!(why, "leaving again");
            backoff.wait().await;
        }
    }
}

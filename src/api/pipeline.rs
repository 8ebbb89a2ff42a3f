//! `GET /pipeline`: who works on which partition, and how far behind.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};
use utoipa::ToSchema;

use super::App;
use super::consumers::ConsumerState;
use super::problem::Problem;
use crate::kafka::admin::{Admin, AdminError};

/// How old an answer may be: many who ask at once cost the brokers one question.
const FRESH: Duration = Duration::from_millis(500);

/// How long `GET /pipeline` waits for the cluster.
const PATIENCE: Duration = Duration::from_secs(4);

/// The group and the partitions at one moment.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pipeline {
    /// The topic that payments go to.
    #[schema(example = "payment-completed")]
    pub(super) topic: String,
    /// The group that delivers them.
    #[schema(example = "deliveries")]
    pub(super) group: String,
    /// Kafka's name of the group's state.
    #[schema(example = "Stable")]
    pub(super) state: String,
    /// By member id.
    pub(super) members: Vec<Member>,
    /// By number.
    pub(super) partitions: Vec<Partition>,
    /// Records not committed, all partitions together.
    #[schema(minimum = 0)]
    pub(super) lag: i64,
    /// What the consumers of this process are at, by name.
    pub(super) consumers: Vec<ConsumerState>,
}

/// A member of the group.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Member {
    /// As the coordinator calls it.
    member_id: String,
    /// As it calls itself.
    client_id: String,
    /// Where it connects from.
    host: String,
    /// What it works on.
    partitions: Vec<i32>,
}

/// A partition of the topic.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Partition {
    /// Its number.
    pub(super) partition: i32,
    /// Node id of its leader; null while there is none.
    #[schema(required)]
    leader: Option<i32>,
    /// The offset that the next record gets.
    pub(super) end_offset: i64,
    /// The next offset for the group; null if it has committed none.
    #[schema(required)]
    committed_offset: Option<i64>,
    /// Records that the group has not committed.
    #[schema(minimum = 0)]
    pub(super) lag: i64,
    /// Member id of who works on it; null if nobody does.
    #[schema(required)]
    pub(super) owner: Option<String>,
}

/// Asks the cluster, and remembers the answer for a moment. However many want to know, it is asked once at a time, and by a task of its own:
/// nobody waits longer than they like, least of all for others.
pub(super) struct Watch {
    asking: Arc<Asking>,
}

/// What the cluster said last, and since when it says nothing.
#[derive(Clone, Debug, Default)]
struct Known {
    /// Asked at, and answered.
    said: Option<(Instant, Arc<Pipeline>)>,
    /// Given up at, and why, if nothing was said since.
    failed: Option<(Instant, String)>,
}

impl Known {
    fn is_fresh(&self) -> bool {
        let newest = self.failed.as_ref().map(|(at, _)| *at).or(self.said.as_ref().map(|(at, _)| *at));
        newest.is_some_and(|at| at.elapsed() < FRESH)
    }
}

struct Asking {
    admin: Admin,
    topic: String,
    group: String,
    known: watch::Sender<Known>,
    /// Held while the cluster is asked.
    turn: Arc<Semaphore>,
}

impl Watch {
    pub(super) fn new(admin: Admin, topic: String, group: String) -> Self {
        let (known, turn) = (watch::Sender::default(), Arc::new(Semaphore::new(1)));
        Self { asking: Arc::new(Asking { admin, topic, group, known, turn }) }
    }

    pub(super) fn admin(&self) -> &Admin {
        &self.asking.admin
    }

    /// The present state, half a second old at most; waits no longer than `patience` for it, and not at all while the cluster does not
    /// answer.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub(super) async fn look(&self, patience: Duration) -> Result<Arc<Pipeline>, String> {
        let mut changes = self.asking.known.subscribe();
        let known = changes.borrow_and_update().clone();
        if !known.is_fresh() {
            self.ask();
            if known.failed.is_none() && timeout(patience, changes.changed()).await.is_err() {
                return Err(format!("no answer within {} ms", patience.as_millis()));
            }
        }
        match changes.borrow().clone() {
            Known { failed: Some((_, why)), .. } => Err(why),
            Known { said: Some((_, pipeline)), .. } => Ok(pipeline),
            Known { .. } => Err("it was not asked yet".to_owned()),
        }
    }

    /// Has the cluster asked, unless it is being asked.
    fn ask(&self) {
        let Ok(turn) = Arc::clone(&self.asking.turn).try_acquire_owned() else { return };
        let asking = Arc::clone(&self.asking);
        tokio::spawn(async move {
            let begun = Instant::now();
            let answer = asking.ask().await;
            asking.known.send_modify(|known| match answer {
                Ok(pipeline) => *known = Known { said: Some((begun, Arc::new(pipeline))), failed: None },
                Err(error) => known.failed = Some((Instant::now(), error.to_string())),
            });
            drop(turn);
        });
    }
}

impl Asking {
    async fn ask(&self) -> Result<Pipeline, AdminError> {
        let (admin, topic, group) = (&self.admin, self.topic.as_str(), self.group.as_str());
        // The committed offsets first: what is committed meanwhile must not lie behind an end that was asked for before.
        let committed = admin.group_offsets(group, topic).await?;
        // The partitions first, so that the ends of those that were added meanwhile are asked for, too.
        let infos = admin.describe_topic(topic).await?;
        let (starts, ends, described) = tokio::try_join!(
            admin.start_offsets(topic),
            admin.end_offsets(topic),
            admin.group_members(group),
        )?;
        let members: Vec<_> = described
            .members
            .into_iter()
            .map(|member| Member {
                partitions: member.partitions.get(topic).cloned().unwrap_or_default(),
                member_id: member.member_id,
                client_id: member.client_id,
                host: member.host,
            })
            .collect();
        let owner = |partition: i32| {
            let owns = members.iter().find(|member| member.partitions.contains(&partition));
            owns.map(|member| member.member_id.clone())
        };
        let of = |offsets: &std::collections::BTreeMap<i32, i64>, partition| offsets.get(&partition).copied();
        let partitions: Vec<_> = infos
            .into_iter()
            .map(|info| {
                let end_offset = of(&ends, info.id).unwrap_or_default();
                let committed_offset = of(&committed, info.id);
                let begin = committed_offset.or(of(&starts, info.id)).unwrap_or_default();
                Partition {
                    partition: info.id,
                    leader: info.leader,
                    end_offset,
                    committed_offset,
                    lag: (end_offset - begin).max(0),
                    owner: owner(info.id),
                }
            })
            .collect();
        Ok(Pipeline {
            topic: topic.to_owned(),
            group: group.to_owned(),
            state: described.state,
            members,
            lag: partitions.iter().map(|partition| partition.lag).sum(),
            partitions,
            consumers: Vec::new(), // shown as they are when the answer is given
        })
    }
}

/// The group and its members, who works on which partition, and the lag
#[utoipa::path(
    get,
    path = "/pipeline",
    tag = "pipeline",
    responses((status = 200, description = "The state, half a second old at most", body = Pipeline))
)]
pub(super) async fn pipeline(State(app): State<App>) -> Result<Json<Pipeline>, Problem> {
    let pipeline = app.watch.look(PATIENCE).await.map_err(Problem::unavailable)?;
    Ok(Json(Pipeline { consumers: app.metrics.consumers.states(), ..Pipeline::clone(&pipeline) }))
}

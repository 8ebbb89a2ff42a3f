//! The edge of the groups: the clock, the requests that wait, and one lock around all groups of the cluster. The state
//! is shared by the nodes, as if each change were replicated at once.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kafka_protocol::error::ResponseError;
use tokio::sync::{Notify, oneshot};

use super::member::{Joining, Ticket};
use super::state::{Effect, Group, JoinRefused, Joined, Sender, Synced};

/// Groups of the cluster; one more is refused.
const GROUPS_MAX: usize = 10_000;

/// All groups.
#[derive(Debug)]
pub(crate) struct Coordinator {
    groups: Mutex<Groups>,
    /// Told when the next deadline may have changed.
    changed: Notify,
    min_session_timeout: Duration,
    max_session_timeout: Duration,
}

#[derive(Debug, Default)]
pub(crate) struct Groups {
    pub(crate) by_name: BTreeMap<String, Group>,
    waiting: HashMap<Ticket, Waiting>,
    tickets: u64,
}

#[derive(Debug)]
enum Waiting {
    Join(oneshot::Sender<Result<Joined, JoinRefused>>),
    Sync(oneshot::Sender<Result<Synced, ResponseError>>),
}

impl Coordinator {
    pub(crate) fn new(min_session_timeout: Duration, max_session_timeout: Duration) -> Self {
        Self { groups: Mutex::default(), changed: Notify::new(), min_session_timeout, max_session_timeout }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets time pass for all groups, for as long as it is polled.
    pub(crate) async fn run(&self) {
        loop {
            let next = self.lock().by_name.values().filter_map(Group::next_deadline).min();
            let due = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => {}
                () = self.changed.notified() => continue,
            }
            let mut groups = self.lock();
            let now = Instant::now();
            groups.each(|_, group| group.tick(now));
            groups.by_name.retain(|_, group| !group.is_blank());
        }
    }

    /// The groups that `moved` names have another coordinator.
    pub(crate) fn move_groups(&self, moved: impl Fn(&str) -> bool) {
        let now = Instant::now();
        self.lock().each(|name, group| {
            if moved(name) {
                group.moved(now);
            }
        });
        self.changed.notify_one();
    }

    /// A topic is gone, and what was committed for it.
    pub(crate) fn forget_topic(&self, topic: &str) {
        self.lock().by_name.values_mut().for_each(|group| {
            group.offsets.remove(topic);
        });
    }

    /// Waits for the other members, the rebalance time-out at most.
    pub(super) async fn join(
        &self,
        name: &str,
        joining: Joining,
        hand_out: bool,
    ) -> Result<Joined, JoinRefused> {
        let refused = |error| JoinRefused { error, member_id: joining.member_id.clone() };
        if name.is_empty() {
            return Err(refused(ResponseError::InvalidGroupId));
        }
        if !(self.min_session_timeout..=self.max_session_timeout).contains(&joining.session_timeout) {
            return Err(refused(ResponseError::InvalidSessionTimeout));
        }
        let member_id = joining.member_id.clone();
        let answered = {
            let mut groups = self.lock();
            if !groups.by_name.contains_key(name) {
                if !joining.member_id.is_empty() {
                    return Err(refused(ResponseError::UnknownMemberId));
                }
                if groups.by_name.len() >= GROUPS_MAX {
                    return Err(refused(ResponseError::GroupMaxSizeReached));
                }
            }
            let (sender, answered) = oneshot::channel();
            let ticket = groups.ticket(Waiting::Join(sender));
            let called = joining.instance_id.as_ref().unwrap_or(&joining.client_id);
            let new_id = format!("{called}-{:016x}{:016x}", rand::random::<u64>(), rand::random::<u64>());
            let group = groups.by_name.entry(name.to_owned()).or_insert_with(Group::new);
            group.join(Instant::now(), ticket, joining, new_id, hand_out);
            let effects = group.effects();
            groups.answer(effects);
            answered
        };
        self.changed.notify_one();
        let gone = JoinRefused { error: ResponseError::RebalanceInProgress, member_id };
        answered.await.unwrap_or(Err(gone))
    }

    /// Waits for the leader's assignment.
    pub(super) async fn sync(
        &self,
        name: &str,
        sender: Sender<'_>,
        generation: i32,
        protocol: (Option<&str>, Option<&str>),
        assignments: Vec<(String, bytes::Bytes)>,
    ) -> Result<Synced, ResponseError> {
        let answered = {
            let mut groups = self.lock();
            let (answer, answered) = oneshot::channel();
            let ticket = groups.ticket(Waiting::Sync(answer));
            let Some(group) = groups.by_name.get_mut(name) else {
                groups.waiting.remove(&ticket);
                return Err(ResponseError::UnknownMemberId);
            };
            group.sync(Instant::now(), ticket, sender, generation, protocol, assignments);
            let effects = group.effects();
            groups.answer(effects);
            answered
        };
        self.changed.notify_one();
        answered.await.unwrap_or(Err(ResponseError::RebalanceInProgress))
    }

    /// Something that is answered at once, of a group that exists.
    pub(crate) fn with<T>(&self, name: &str, act: impl FnOnce(&mut Group, Instant) -> T) -> Option<T> {
        let mut groups = self.lock();
        let group = groups.by_name.get_mut(name)?;
        let outcome = act(group, Instant::now());
        let effects = group.effects();
        groups.answer(effects);
        drop(groups);
        self.changed.notify_one();
        Some(outcome)
    }

    /// As [`Self::with`], the group made if there is none.
    pub(crate) fn with_or_new<T>(&self, name: &str, act: impl FnOnce(&mut Group, Instant) -> T) -> Option<T> {
        let mut groups = self.lock();
        if !groups.by_name.contains_key(name) {
            if groups.by_name.len() >= GROUPS_MAX {
                return None;
            }
            groups.by_name.insert(name.to_owned(), Group::new());
        }
        drop(groups);
        self.with(name, act)
    }
}

impl Groups {
    fn ticket(&mut self, waiting: Waiting) -> Ticket {
        self.tickets += 1;
        self.waiting.insert(Ticket(self.tickets), waiting);
        Ticket(self.tickets)
    }

    fn each(&mut self, mut act: impl FnMut(&str, &mut Group)) {
        let mut effects = Vec::new();
        for (name, group) in &mut self.by_name {
            act(name, group);
            effects.extend(group.effects());
        }
        self.answer(effects);
    }

    /// Hands answers to whoever waits; one whose connection is closed does not any more.
    fn answer(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Joined(ticket, answer) => {
                    if let Some(Waiting::Join(waiting)) = self.waiting.remove(&ticket) {
                        let _ = waiting.send(answer);
                    }
                }
                Effect::Synced(ticket, answer) => {
                    if let Some(Waiting::Sync(waiting)) = self.waiting.remove(&ticket) {
                        let _ = waiting.send(answer);
                    }
                }
            }
        }
    }
}

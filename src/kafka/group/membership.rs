//! One generation's membership, and how it stands: shared by heartbeats, offsets and the member itself.

use tokio::sync::watch;

use super::error::LostReason;

/// How a membership stands. It only ever gets worse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Good,
    Rebalancing,
    Lost(LostReason),
}

/// A member id in a generation of a group.
#[derive(Debug)]
pub(super) struct Membership {
    pub(super) group_id: String,
    pub(super) instance_id: Option<String>,
    pub(super) member_id: String,
    pub(super) generation: i32,
    standing: watch::Sender<Standing>,
}

impl Membership {
    /// Of someone who has not joined: −1 is Kafka's word for no generation.
    pub(super) fn none(group_id: String, instance_id: Option<String>) -> Self {
        let standing = watch::Sender::new(Standing::Lost(LostReason::NotJoined));
        Self { group_id, instance_id, member_id: String::new(), generation: -1, standing }
    }

    /// The membership that follows this one.
    pub(super) fn next(&self, member_id: String, generation: i32) -> Self {
        Self {
            group_id: self.group_id.clone(),
            instance_id: self.instance_id.clone(),
            member_id,
            generation,
            standing: watch::Sender::new(Standing::Good),
        }
    }

    pub(super) fn watch(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// The group is rebalancing.
    pub(super) fn rebalancing(&self) {
        self.standing.send_if_modified(|standing| {
            let news = *standing == Standing::Good;
            if news {
                *standing = Standing::Rebalancing;
            }
            news
        });
    }

    /// The membership is over; the first reason stays.
    pub(super) fn lost(&self, reason: LostReason) {
        self.standing.send_if_modified(|standing| {
            let news = !matches!(standing, Standing::Lost(_));
            if news {
                *standing = Standing::Lost(reason);
            }
            news
        });
    }

    /// Waits until the membership is over.
    pub(super) async fn until_lost(&self) -> LostReason {
        let mut watch = self.watch();
        let standing = watch.wait_for(|s| matches!(s, Standing::Lost(_))).await;
        match standing.as_deref() {
            Ok(Standing::Lost(reason)) => reason.clone(),
            // The sender lives in `self`, so waiting ends only with what was waited for.
            _ => LostReason::NotJoined,
        }
    }
}

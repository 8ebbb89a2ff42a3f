//! The heartbeat task: keeps the session alive, and hears of rebalances.

use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::HeartbeatRequest;
use kafka_protocol::protocol::StrBytes;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::GroupConfig;
use super::coordinator::{Link, Trouble};
use super::error::LostReason;
use super::membership::Membership;
use super::wire::group_id;
use crate::failure::Backoff;
use crate::kafka::conn::code::KafkaCode;

const HEARTBEAT: i16 = 4;

/// Starts the heartbeats of one membership; they end when it is lost, or when the handle is dropped.
pub(super) fn start(link: Link, membership: Arc<Membership>, config: &GroupConfig) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(beat(link, membership, config.clone())))
}

/// What an answer means.
#[derive(Debug, PartialEq, Eq)]
enum Beat {
    /// The session goes on.
    Heard,
    /// The session goes on, the generation ends.
    Rebalance,
    /// Not heard by the coordinator: try again soon.
    Again(KafkaCode),
    Lost(LostReason),
}

fn meaning(error_code: i16) -> Beat {
    use ResponseError as E;
    let Some(code) = KafkaCode::of(error_code) else {
        return Beat::Heard;
    };
    match code.kind() {
        E::RebalanceInProgress => Beat::Rebalance,
        E::UnknownMemberId => Beat::Lost(LostReason::UnknownMember),
        E::IllegalGeneration => Beat::Lost(LostReason::IllegalGeneration),
        E::FencedInstanceId => Beat::Lost(LostReason::Fenced),
        _ if code.is_coordinator_trouble() || code.is_retriable() => Beat::Again(code),
        _ => Beat::Lost(LostReason::Refused(code)),
    }
}

/// Says that the membership is over however the task ends, by a panic or an abort too: without heartbeats it soon is.
struct Ended(Arc<Membership>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.lost(LostReason::NotJoined);
    }
}

async fn beat(mut link: Link, membership: Arc<Membership>, config: GroupConfig) {
    let ended = Ended(membership);
    let membership = &ended.0;
    let request = HeartbeatRequest::default()
        .with_group_id(group_id(&membership.group_id))
        .with_generation_id(membership.generation)
        .with_member_id(StrBytes::from_string(membership.member_id.clone()))
        .with_group_instance_id(membership.instance_id.clone().map(StrBytes::from_string));
    // A third, so that a connection that hangs leaves time for another within the session.
    let limit = config.request_timeout.min(config.session_timeout / 3);
    // Counted from the sending, which the coordinator can't have heard earlier.
    let mut heard = Instant::now();
    let mut backoff = Backoff::up_to(Backoff::SHORT);
    let mut pause = config.heartbeat_interval;
    let reason = loop {
        let session_end = heard + config.session_timeout;
        let attempt = async {
            sleep(pause).await;
            let sent = Instant::now();
            (sent, link.call(HEARTBEAT, &request, limit).await)
        };
        let Ok((sent, answer)) = timeout_at(session_end, attempt).await else {
            break LostReason::Silence { session_timeout: config.session_timeout };
        };
        match answer.map(|r| meaning(r.error_code)) {
            Ok(Beat::Lost(reason)) => break reason,
            Err(Trouble::Refused(code)) => break LostReason::Refused(code),
            Ok(beat @ (Beat::Heard | Beat::Rebalance)) => {
                if beat == Beat::Rebalance {
                    membership.rebalancing();
                }
                heard = sent;
                backoff = Backoff::up_to(Backoff::SHORT);
                pause = config.heartbeat_interval;
            }
            Ok(Beat::Again(code)) => {
                tracing::debug!(%code, "the heartbeat was not taken");
                link.heed(code);
                pause = backoff.step().min(config.heartbeat_interval);
            }
            Err(Trouble::Passing(why)) => {
                tracing::debug!(why, "the heartbeat was not answered");
                pause = backoff.step().min(config.heartbeat_interval);
            }
        }
    };
    membership.lost(reason);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_code_has_its_meaning() {
        assert_eq!(meaning(0), Beat::Heard);
        assert_eq!(meaning(27), Beat::Rebalance);
        assert_eq!(meaning(25), Beat::Lost(LostReason::UnknownMember));
        assert_eq!(meaning(22), Beat::Lost(LostReason::IllegalGeneration));
        assert_eq!(meaning(82), Beat::Lost(LostReason::Fenced));
        assert!(matches!(meaning(30), Beat::Lost(LostReason::Refused(_))));
        for passing in [14, 15, 16, 7] {
            assert!(matches!(meaning(passing), Beat::Again(_)), "{passing}");
        }
    }
}

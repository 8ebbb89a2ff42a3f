//! What can go wrong with a membership, by what it means for the owner of the partitions.

use std::time::Duration;

use crate::kafka::conn::code::KafkaCode;

/// Why a member can't join, now or later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// The subscribed topic is not there.
    #[error("topic `{topic}` does not exist")]
    NoTopic {
        /// The topic.
        topic: String,
    },
    /// The subscribed topic was deleted and made again: the group's offsets say nothing about what lies in it now.
    #[error("topic `{topic}` was deleted and made again: delete the group's offsets, or use another group")]
    TopicReplaced {
        /// The topic.
        topic: String,
    },
    /// The client lacks a right.
    #[error("not allowed to join group `{group}`: it needs {right} ({code})")]
    Forbidden {
        /// The group.
        group: String,
        /// The missing right, as Kafka's ACLs name it.
        right: String,
        /// Kafka's error.
        code: KafkaCode,
    },
    /// The group's members use another protocol or assignor.
    #[error("group `{group}` does not use the consumer protocol with the range assignor ({code})")]
    Inconsistent {
        /// The group.
        group: String,
        /// Kafka's error.
        code: KafkaCode,
    },
    /// The broker does not allow this session time-out.
    #[error(
        "the broker refuses a session time-out of {} ms: it is below its group.min.session.timeout.ms \
         or above its group.max.session.timeout.ms ({code})", session_timeout.as_millis()
    )]
    SessionTimeout {
        /// What was asked for.
        session_timeout: Duration,
        /// Kafka's error.
        code: KafkaCode,
    },
    /// Another consumer has taken over the instance id.
    #[error("another consumer of group `{group}` uses the group.instance.id `{instance_id}` ({code})")]
    Fenced {
        /// The group.
        group: String,
        /// The contested id.
        instance_id: String,
        /// Kafka's error.
        code: KafkaCode,
    },
    /// Anything else that will not pass: the group is full, its id is invalid, the broker has an internal error.
    #[error("the coordinator of group `{group}` refuses this member: {code}")]
    Refused {
        /// The group.
        group: String,
        /// Kafka's error.
        code: KafkaCode,
    },
}

/// Why a membership is over: its partitions may already be someone else's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LostReason {
    /// The coordinator does not know the member (any more).
    #[error("the coordinator does not know this member (UNKNOWN_MEMBER_ID)")]
    UnknownMember,
    /// The group went on without the member, or the member joined again: this generation is over.
    #[error("the group is in a later generation (ILLEGAL_GENERATION)")]
    IllegalGeneration,
    /// Another consumer has taken over the instance id.
    #[error("another consumer took over this group.instance.id (FENCED_INSTANCE_ID)")]
    Fenced,
    /// No heartbeat was answered for a session time-out.
    #[error("no heartbeat was answered for {} ms", session_timeout.as_millis())]
    Silence {
        /// The session time-out.
        session_timeout: Duration,
    },
    /// The coordinator refuses the member for another reason.
    #[error("the coordinator refuses this member: {0}")]
    Refused(KafkaCode),
    /// It has not joined yet, or has left.
    #[error("not a member of the group")]
    NotJoined,
}

/// Why an offset was not committed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// The group is rebalancing: commit again after the next [`Member::join`](super::Member::join), if still the owner.
    #[error("the group is rebalancing (REBALANCE_IN_PROGRESS)")]
    RebalanceInProgress,
    /// The membership is over: never commit what was done under it.
    #[error("the membership is lost: {0}")]
    Lost(LostReason),
    /// The coordinator refuses this commit and would again, as for a missing right.
    #[error("the commit was refused: {code}; it needs READ on the group and on the topic")]
    Refused {
        /// Kafka's error.
        code: KafkaCode,
    },
    /// No answer within the request time-out, all attempts included: try again.
    #[error("the commit was not answered: {0}")]
    Unavailable(String),
}

/// Why committed offsets could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OffsetError {
    /// The membership is over.
    #[error("the membership is lost: {0}")]
    Lost(LostReason),
    /// The coordinator refuses to tell and would again, as for a missing right.
    #[error("the committed offsets were refused: {code}; it needs DESCRIBE on the group and on the topic")]
    Refused {
        /// Kafka's error.
        code: KafkaCode,
    },
    /// No answer within the request time-out, all attempts included: try again.
    #[error("the committed offsets were not answered: {0}")]
    Unavailable(String),
}

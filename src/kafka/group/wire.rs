//! What members tell each other through the coordinator, which does not look inside: subscriptions and assignments.
//!
//! Both start with an `i16` version (Kafka's `ConsumerProtocol`). A later version only adds fields at the end, so any
//! version is read as far as it is needed here. Read by hand with every length checked: the bytes come from whoever
//! may join the group, and kafka-protocol's decoder reserves memory for the length it is told.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::GroupId;
use kafka_protocol::protocol::StrBytes;

use super::assignor::Partitions;

/// The version of the subscriptions written here: the one Java's 4.1 client writes.
const SUBSCRIPTION_VERSION: i16 = 3;

/// The version of the assignments written here: the fields are the same in all of them, so the one everybody reads.
const ASSIGNMENT_VERSION: i16 = 0;

/// Why bytes are no subscription or assignment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireError {
    #[error("it ends too early")]
    Short,
    #[error("it holds the length {0}")]
    Length(i32),
    #[error("it holds a topic name that is not UTF-8")]
    Utf8,
    #[error("it has version {0}")]
    Version(i16),
}

impl From<bytes::TryGetError> for WireError {
    fn from(_: bytes::TryGetError) -> Self {
        Self::Short
    }
}

pub(crate) fn group_id(group: &str) -> GroupId {
    GroupId(StrBytes::from_string(group.to_owned()))
}

/// The subscription to one topic: owning nothing, since the eager protocol gives everything up before joining.
pub(super) fn encode_subscription(topic: &str) -> Bytes {
    let mut out = BytesMut::new();
    out.put_i16(SUBSCRIPTION_VERSION);
    out.put_i32(1);
    put_name(&mut out, topic);
    out.put_i32(-1); // user data: none
    out.put_i32(0); // owned partitions, from version 1
    out.put_i32(-1); // generation, from version 2: none
    out.put_i16(-1); // rack, from version 3: none
    out.freeze()
}

/// The topics of a subscription.
pub(super) fn decode_subscription(bytes: &[u8]) -> Result<Vec<String>, WireError> {
    let mut bytes = after_version(bytes)?;
    let count = get_count(&mut bytes)?;
    (0..count).map(|_| get_name(&mut bytes)).collect()
}

/// An assignment.
pub(super) fn encode_assignment(assignment: &Partitions) -> Bytes {
    let mut out = BytesMut::new();
    out.put_i16(ASSIGNMENT_VERSION);
    put_count(&mut out, assignment.len());
    for (topic, partitions) in assignment {
        put_name(&mut out, topic);
        put_count(&mut out, partitions.len());
        for partition in partitions {
            out.put_i32(*partition);
        }
    }
    out.put_i32(-1); // user data: none
    out.freeze()
}

/// An assignment, partitions in order; no bytes at all mean that nothing was assigned.
pub(crate) fn decode_assignment(bytes: &[u8]) -> Result<Partitions, WireError> {
    let mut assignment = Partitions::new();
    if bytes.is_empty() {
        return Ok(assignment);
    }
    let mut bytes = after_version(bytes)?;
    for _ in 0..get_count(&mut bytes)? {
        let topic = get_name(&mut bytes)?;
        let partitions = assignment.entry(topic).or_default();
        for _ in 0..get_count(&mut bytes)? {
            partitions.push(bytes.try_get_i32()?);
        }
        partitions.sort_unstable();
    }
    Ok(assignment)
}

fn after_version(mut bytes: &[u8]) -> Result<&[u8], WireError> {
    let version = bytes.try_get_i16()?;
    if version < 0 { Err(WireError::Version(version)) } else { Ok(bytes) }
}

fn get_count(bytes: &mut &[u8]) -> Result<i32, WireError> {
    let count = bytes.try_get_i32()?;
    if count < 0 { Err(WireError::Length(count)) } else { Ok(count) }
}

fn get_name(bytes: &mut &[u8]) -> Result<String, WireError> {
    let length = bytes.try_get_i16()?;
    let length = usize::try_from(length).map_err(|_| WireError::Length(length.into()))?;
    let (name, rest) = bytes.split_at_checked(length).ok_or(WireError::Short)?;
    *bytes = rest;
    Ok(std::str::from_utf8(name).map_err(|_| WireError::Utf8)?.to_owned())
}

fn put_count(out: &mut BytesMut, count: usize) {
    out.put_i32(i32::try_from(count).expect("partitions are numbered by i32"));
}

fn put_name(out: &mut BytesMut, name: &str) {
    out.put_i16(i16::try_from(name.len()).expect("Kafka's topic names have at most 249 bytes"));
    out.put_slice(name.as_bytes());
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::consumer_protocol_assignment::{
        ConsumerProtocolAssignment, TopicPartition as Assigned,
    };
    use kafka_protocol::messages::consumer_protocol_subscription::{
        ConsumerProtocolSubscription, TopicPartition as Owned,
    };
    use kafka_protocol::protocol::{Decodable, Encodable};
    use proptest::prelude::*;

    use super::*;
    use crate::kafka::conn::cluster::topic_name;

    fn prefixed(version: i16, message: &impl Encodable) -> BytesMut {
        let mut out = BytesMut::new();
        out.put_i16(version);
        message.encode(&mut out, version).unwrap();
        out
    }

    #[test]
    fn subscriptions_of_every_version_are_read() {
        for version in 0..=3 {
            let mut theirs = ConsumerProtocolSubscription::default()
                .with_topics(vec!["one".into(), "two".into()])
                .with_user_data(Some(Bytes::from_static(b"x")));
            if version >= 1 {
                let owned = Owned::default().with_topic(topic_name("one")).with_partitions(vec![1, 2]);
                theirs = theirs.with_owned_partitions(vec![owned]);
            }
            assert_eq!(decode_subscription(&prefixed(version, &theirs)).unwrap(), ["one", "two"]);
        }
        // A version that does not exist yet, with a field more.
        let mut later = prefixed(3, &ConsumerProtocolSubscription::default().with_topics(vec!["one".into()]));
        later[1] = 4;
        later.put_i32(7);
        assert_eq!(decode_subscription(&later).unwrap(), ["one"]);
    }

    #[test]
    fn a_subscription_is_what_the_schema_says() {
        let mut ours = encode_subscription("payments");
        assert_eq!(ours.get_i16(), SUBSCRIPTION_VERSION);
        let read = ConsumerProtocolSubscription::decode(&mut ours, SUBSCRIPTION_VERSION).unwrap();
        assert!(ours.is_empty());
        assert_eq!(read, ConsumerProtocolSubscription::default().with_topics(vec!["payments".into()]));
    }

    #[test]
    fn assignments_go_both_ways() {
        let ours = Partitions::from([("a".to_owned(), vec![0, 2]), ("b".to_owned(), vec![])]);
        assert_eq!(decode_assignment(&encode_assignment(&ours)).unwrap(), ours);
        let topic = |t: &str, ps| Assigned::default().with_topic(topic_name(t)).with_partitions(ps);
        let theirs = ConsumerProtocolAssignment::default()
            .with_assigned_partitions(vec![topic("a", vec![2, 0]), topic("b", vec![])]);
        for version in 0..=3 {
            assert_eq!(decode_assignment(&prefixed(version, &theirs)).unwrap(), ours);
        }
        let mut written = encode_assignment(&ours);
        assert_eq!(written.get_i16(), ASSIGNMENT_VERSION);
        ConsumerProtocolAssignment::decode(&mut written, ASSIGNMENT_VERSION).unwrap();
        assert!(written.is_empty());
        assert!(decode_assignment(&[]).unwrap().is_empty());
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        assert_eq!(decode_subscription(&[0, 0, 0x7f, 0xff, 0xff, 0xff]), Err(WireError::Short));
        assert_eq!(decode_subscription(&[0, 0, 0xff, 0xff, 0xff, 0xff]), Err(WireError::Length(-1)));
        assert_eq!(decode_subscription(&[0xff, 0xff]), Err(WireError::Version(-1)));
        assert_eq!(decode_assignment(&[0, 0, 0, 0, 0, 1, 0, 1, 0xff]), Err(WireError::Utf8));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode_subscription(&bytes);
            let _ = decode_assignment(&bytes);
        }
    }
}

//! What an rskafka error says about a produced batch: may it be in the log, and is another attempt of any use?
//!
//! Retriable or not is decided as Kafka's Java client does (`org.apache.kafka.common.protocol.Errors`, exceptions that
//! extend `RetriableException`); written or not by where the broker raises the error (`ReplicaManager.appendRecords`
//! and `DelayedProduce`). In doubt a batch counts as possibly written.

use rskafka::client::error::{Error, ProtocolError, RequestError};

use crate::kafka::link::root_cause;

/// The outcome of an attempt that was not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Certainly not written; try again.
    NotWritten,
    /// Perhaps written; try again, identical.
    Unknown,
    /// Certainly not written, and trying again would not help.
    Refused,
    /// Perhaps written, and trying again would not help.
    RefusedUnknown,
}

impl Verdict {
    /// Whether the batch may be in the log.
    pub(super) fn may_be_in_log(self) -> bool {
        matches!(self, Self::Unknown | Self::RefusedUnknown)
    }

    /// Whether another attempt is of any use.
    pub(super) fn is_retriable(self) -> bool {
        matches!(self, Self::NotWritten | Self::Unknown)
    }
}

/// Judges an error of `PartitionClient::produce`, or of making that client.
pub(super) fn verdict(error: &Error) -> Verdict {
    match root_cause(error) {
        // Only looking for the leader and connecting to it raise this one, before the request is written.
        Error::Connection(_) => Verdict::NotWritten,
        Error::Request(error) => request(error),
        // Made up by rskafka from metadata, before the request is written.
        Error::ServerError { is_virtual: true, .. } => Verdict::NotWritten,
        Error::ServerError { protocol_error, .. } => server(*protocol_error),
        // `InvalidResponse` may come from metadata too, but a produce answer that can't be read is possible.
        _ => Verdict::Unknown,
    }
}

fn request(error: &RequestError) -> Verdict {
    match error {
        // Raised before anything is written: the broker is too old or too new, or the batch can't be encoded.
        RequestError::NoVersionMatch { .. } | RequestError::WriteError(_) => Verdict::Refused,
        _ => Verdict::Unknown,
    }
}

fn server(error: ProtocolError) -> Verdict {
    use ProtocolError as E;
    match error {
        // Before the append, by validation of the batch or of the replica set.
        E::NotEnoughReplicas
        | E::CorruptMessage
        | E::LeaderNotAvailable
        | E::BrokerNotAvailable
        | E::FencedLeaderEpoch
        | E::UnknownLeaderEpoch
        | E::ThrottlingQuotaExceeded => Verdict::NotWritten,

        // After the append, or while it waited for its replicas: leadership moved, the partition went away, a disk failed.
        E::NotEnoughReplicasAfterAppend
        | E::RequestTimedOut
        | E::NetworkException
        | E::NotLeaderOrFollower
        | E::ReplicaNotAvailable
        | E::UnknownTopicOrPartition
        | E::UnknownTopicId
        | E::KafkaStorageError => Verdict::Unknown,

        // The batch, the right, or the request is wrong, and stays so.
        E::MessageTooLarge
        | E::RecordListTooLarge
        | E::InvalidRecord
        | E::InvalidTimestamp
        | E::InvalidTopicException
        | E::InvalidRequiredAcks
        | E::InvalidRequest
        | E::PolicyViolation
        | E::TopicAuthorizationFailed
        | E::ClusterAuthorizationFailed
        | E::SaslAuthenticationFailed
        | E::IllegalSaslState
        | E::SecurityDisabled
        | E::UnsupportedVersion
        | E::UnsupportedForMessageFormat
        | E::UnsupportedCompressionType => Verdict::Refused,

        // Not an answer to a produce request, or "unknown server error": the Java client gives up on it too.
        _ => Verdict::RefusedUnknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rskafka::client::error::RequestContext;

    fn server_error(protocol_error: ProtocolError, is_virtual: bool) -> Error {
        let request = RequestContext::Partition("t".into(), 0);
        Error::ServerError { protocol_error, error_message: None, request, response: None, is_virtual }
    }

    /// As rskafka wraps what it would have retried, had its back-off a deadline above zero.
    fn wrapped(error: Error) -> Error {
        let deadline = std::time::Duration::ZERO;
        Error::RetryFailed(rskafka::BackoffError::DeadlineExceded { deadline, source: Box::new(error) })
    }

    fn io() -> RequestError {
        RequestError::IO(std::io::ErrorKind::ConnectionReset.into())
    }

    #[test]
    fn table() {
        use ProtocolError as E;
        let rows = [
            (E::NotEnoughReplicas, Verdict::NotWritten),
            (E::CorruptMessage, Verdict::NotWritten),
            (E::NotEnoughReplicasAfterAppend, Verdict::Unknown),
            (E::RequestTimedOut, Verdict::Unknown),
            (E::NotLeaderOrFollower, Verdict::Unknown),
            (E::UnknownTopicOrPartition, Verdict::Unknown),
            (E::KafkaStorageError, Verdict::Unknown),
            (E::MessageTooLarge, Verdict::Refused),
            (E::InvalidTimestamp, Verdict::Refused),
            (E::TopicAuthorizationFailed, Verdict::Refused),
            (E::UnknownServerError, Verdict::RefusedUnknown),
            (E::Unknown(4711), Verdict::RefusedUnknown),
            (E::OffsetOutOfRange, Verdict::RefusedUnknown),
        ];
        for (error, expected) in rows {
            assert_eq!(verdict(&server_error(error, false)), expected, "{error}");
            assert_eq!(verdict(&wrapped(server_error(error, false))), expected, "{error} in a retry");
        }
    }

    #[test]
    fn what_comes_before_the_request_is_not_written() {
        assert_eq!(verdict(&server_error(ProtocolError::NotLeaderOrFollower, true)), Verdict::NotWritten);
        let connecting = Error::Connection(rskafka::ConnectionError::Metadata(io()));
        assert_eq!(verdict(&connecting), Verdict::NotWritten);
        assert_eq!(verdict(&wrapped(connecting)), Verdict::NotWritten);
    }

    #[test]
    fn a_connection_that_breaks_leaves_the_outcome_unknown() {
        assert_eq!(verdict(&Error::Request(io())), Verdict::Unknown);
        assert_eq!(verdict(&wrapped(Error::Request(RequestError::Poisoned(io().into())))), Verdict::Unknown);
        assert_eq!(verdict(&Error::InvalidResponse("?".into())), Verdict::Unknown);
        assert_eq!(verdict(&Error::Timeout), Verdict::Unknown);
    }

    #[test]
    fn only_what_helps_is_tried_again() {
        let all = [Verdict::NotWritten, Verdict::Unknown, Verdict::Refused, Verdict::RefusedUnknown];
        assert_eq!(all.map(Verdict::is_retriable), [true, true, false, false]);
        assert_eq!(all.map(Verdict::may_be_in_log), [false, true, false, true]);
    }
}

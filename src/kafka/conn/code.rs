//! Kafka's error codes under Kafka's own names.

use std::fmt;

use kafka_protocol::error::ResponseError;

/// An error code of the Kafka protocol. Shown as Kafka names it, as in `NOT_COORDINATOR (16)`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KafkaCode(ResponseError);

impl KafkaCode {
    /// The error that `code` stands for; `None` for 0, success.
    pub(crate) fn of(code: i16) -> Option<Self> {
        ResponseError::try_from_code(code).map(Self)
    }

    /// `Ok` for 0, else the error.
    pub(crate) fn check(code: i16) -> Result<(), Self> {
        Self::of(code).map_or(Ok(()), Err)
    }

    /// As an enum to match on.
    pub(crate) fn kind(self) -> ResponseError {
        self.0
    }

    /// The number on the wire.
    pub fn code(self) -> i16 {
        self.0.code()
    }

    /// Whether Kafka's clients would try again.
    pub(crate) fn is_retriable(self) -> bool {
        self.0.is_retriable()
    }

    /// Whether the client lacks a right.
    pub fn is_authorization(self) -> bool {
        use ResponseError as E;
        matches!(
            self.0,
            E::TopicAuthorizationFailed | E::GroupAuthorizationFailed | E::ClusterAuthorizationFailed
        )
    }

    /// Whether there are too few brokers for as many replicas.
    pub fn is_replication(self) -> bool {
        self.0 == ResponseError::InvalidReplicationFactor
    }

    /// Whether there is such a topic already.
    pub fn is_existing_topic(self) -> bool {
        self.0 == ResponseError::TopicAlreadyExists
    }

    /// Whether the group's coordinator is elsewhere or not ready: look for it again, then try again.
    pub(crate) fn is_coordinator_trouble(self) -> bool {
        use ResponseError as E;
        matches!(self.0, E::CoordinatorNotAvailable | E::NotCoordinator | E::CoordinatorLoadInProgress)
    }
}

impl From<ResponseError> for KafkaCode {
    fn from(error: ResponseError) -> Self {
        Self(error)
    }
}

impl fmt::Display for KafkaCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let ResponseError::Unknown(code) = self.0 {
            return write!(f, "an error code that is not known here ({code})");
        }
        // The crate names its variants after Kafka's constants, in camel case.
        for (i, c) in self.0.to_string().chars().enumerate() {
            if i > 0 && c.is_ascii_uppercase() {
                f.write_str("_")?;
            }
            write!(f, "{}", c.to_ascii_uppercase())?;
        }
        write!(f, " ({})", self.code())
    }
}

impl fmt::Debug for KafkaCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kafkas() {
        let name = |code| KafkaCode::of(code).unwrap().to_string();
        assert_eq!(name(16), "NOT_COORDINATOR (16)");
        assert_eq!(name(3), "UNKNOWN_TOPIC_OR_PARTITION (3)");
        assert_eq!(name(-1), "UNKNOWN_SERVER_ERROR (-1)");
        assert_eq!(name(29), "TOPIC_AUTHORIZATION_FAILED (29)");
        assert_eq!(name(999), "an error code that is not known here (999)");
        assert!(KafkaCode::of(0).is_none());
    }
}

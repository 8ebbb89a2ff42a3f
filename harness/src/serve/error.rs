//! Why the service can't work, and what to do then.

use std::io;

use payment_delivery::api::ApiError;
use payment_delivery::consumer::ConsumerError;
use payment_delivery::intake::OpenError;
use payment_delivery::kafka::admin::AdminError;
use payment_delivery::store::StoreError;
use payment_delivery::view::ViewError;

/// Why the service ended other than by being stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// No broker answered, or it refused.
    #[error("Kafka: {0}")]
    Admin(#[from] AdminError),
    /// There is no such topic.
    #[error("there is no topic {topic}")]
    NoTopic {
        /// Its name.
        topic: String,
    },
    /// The store can't be reached or used.
    #[error("store: {0}")]
    Store(#[from] StoreError),
    /// The view can't be reached or used.
    #[error("view: {0}")]
    View(#[from] ViewError),
    /// The API can't serve, or was not drained.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// A consumer ended by itself.
    #[error(transparent)]
    Worker(#[from] ConsumerError),
    /// The consumers' threads could not be started.
    #[error("the consumers' threads could not be started: {cause}")]
    Threads {
        /// What the system said.
        cause: io::Error,
    },
    /// The address can't be listened on.
    #[error("can't listen on {address}: {cause}")]
    Listen {
        /// As it was asked for.
        address: String,
        /// What the system said.
        cause: io::Error,
    },
}

impl ServeError {
    /// What to do next, where that is known.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Admin(_) | Self::Api(ApiError::Admin(_)) => {
                "is the cluster up? `lanebench stack up` holds a local one up"
            }
            Self::NoTopic { .. } | Self::Api(ApiError::NoTopic { .. }) => {
                "create it first, with its dead-letter topic `<topic>.DLT`, or add `--create`"
            }
            Self::Store(StoreError::Unusable(_)) => {
                "the role needs a schema of its own (`--schema`), or the right to create one"
            }
            Self::Store(_) | Self::Api(ApiError::Intake(OpenError::Store(_))) => {
                "check the database URL, and that the database is up"
            }
            Self::View(_) => "check the Redis URL, and the rights of its user",
            Self::Api(ApiError::Intake(OpenError::OtherTopic { .. })) => {
                "give each topic a schema of its own with `--schema`"
            }
            Self::Api(ApiError::NotDrained { .. }) => "start it again: what is pending is sent then",
            Self::Worker(ConsumerError::Panicked { .. }) | Self::Threads { .. } => return None,
            Self::Worker(_) => "see its log with `LANEBENCH_LOG=payment_delivery=debug`",
            Self::Listen { cause, .. } if cause.kind() == io::ErrorKind::AddrInUse => {
                "something listens there already: choose another port with `--listen 127.0.0.1:PORT`"
            }
            Self::Listen { .. } => {
                "`--listen` takes an address of this machine and a port, as in 127.0.0.1:8080"
            }
        };
        Some(hint.into())
    }
}

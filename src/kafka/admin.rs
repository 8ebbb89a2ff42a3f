//! Topics, brokers, offsets and groups, as an operator asks for them.
//!
//! Versions used: Metadata 12, CreateTopics 7, DeleteTopics 6, ListOffsets 7, FindCoordinator 4, OffsetFetch 8,
//! DescribeGroups 5, DeleteGroups 2; all spoken by Kafka 3.0 and later. And DescribeQuorum 0, from 3.3 on.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kafka_protocol::messages::metadata_response::MetadataResponse;
use tokio::time::Instant;

use super::conn::cluster::{Cluster, METADATA, metadata_request};
use super::conn::pool::Pool;
use super::conn::{ConnError, check_address};
use crate::failure::Backoff;

mod groups;
pub(in crate::kafka) mod offsets;
mod quorum;
mod rights;
mod topics;

pub use super::conn::code::KafkaCode;
pub use groups::{GroupDescription, GroupMember};
pub use rights::{Operation, Rights};

const CLIENT_ID: &str = "lanebench-admin";

/// Why an admin call failed.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// A bootstrap address can't be one.
    #[error("{0}")]
    Address(String),
    /// No bootstrap address led to a broker that answers.
    #[error("no broker answered at {addresses} within {} s", timeout.as_secs_f64())]
    NoBroker {
        /// What was tried.
        addresses: String,
        /// For how long.
        timeout: Duration,
        /// What the last attempt met.
        last: String,
    },
    /// What answers at an address is no broker, or none that speaks in plaintext.
    #[error("{0}")]
    Foreign(String),
    /// The client lacks a right.
    #[error("not allowed to {what}: it needs {right} ({code})")]
    Forbidden {
        /// What was asked for.
        what: String,
        /// The missing right, as Kafka's ACLs name it.
        right: String,
        /// Kafka's error.
        code: KafkaCode,
    },
    /// The broker refused, and would again.
    #[error("could not {what}: {code}{}", detail(message.as_deref()))]
    Refused {
        /// What was asked for.
        what: String,
        /// Kafka's error.
        code: KafkaCode,
        /// The broker's own words, if it has any.
        message: Option<String>,
    },
    /// Not done in time; attempts were made until then.
    #[error("could not {what} within {} s: {last}", timeout.as_secs_f64())]
    TimedOut {
        /// What was asked for.
        what: String,
        /// For how long.
        timeout: Duration,
        /// What the last attempt met.
        last: String,
    },
}

fn detail(message: Option<&str>) -> String {
    message.map(|m| format!(": {m}")).unwrap_or_default()
}

/// A broker as the cluster advertises it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// Node id.
    pub id: i32,
    /// Advertised host.
    pub host: String,
    /// Advertised port.
    pub port: u16,
}

/// One partition's place in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionInfo {
    /// Partition number.
    pub id: i32,
    /// Node id of its leader; `None` while there is none.
    pub leader: Option<i32>,
    /// Node ids of all its replicas, the preferred leader first.
    pub replicas: Vec<i32>,
    /// Node ids of the replicas in sync.
    pub isr: Vec<i32>,
}

/// What one attempt came to.
enum Fault {
    /// Worth another attempt until the time is up.
    Retry(String),
    /// Final.
    Fail(AdminError),
}

impl From<ConnError> for Fault {
    fn from(error: ConnError) -> Self {
        match error {
            ConnError::Foreign { .. } => Self::Fail(AdminError::Foreign(error.to_string())),
            _ => Self::Retry(error.to_string()),
        }
    }
}

/// A client of the cluster for everything but producing, fetching and being a group member.
///
/// Each call is bounded by the timeout given to [`Admin::connect`] and tries again until then: a lost connection or a
/// moved leader is not an error by itself. Connections are kept, one a broker, so that polling is cheap.
#[derive(Debug)]
pub struct Admin {
    cluster: Cluster,
    pool: Pool,
    timeout: Duration,
    /// Address of the broker that answered last; asked first.
    home: Mutex<Option<String>>,
    /// Leader addresses of each topic's partitions, forgotten as soon as one of them is wrong.
    leaders: Mutex<HashMap<String, Arc<BTreeMap<i32, String>>>>,
    /// Coordinator address of each group, likewise.
    coordinators: Mutex<HashMap<String, String>>,
}

impl Admin {
    /// Connects to whichever of `bootstrap` (`host:port` each) answers first, trying all of them until `timeout`,
    /// which also bounds each later call.
    ///
    /// # Errors
    /// [`AdminError::Address`] at once, [`AdminError::NoBroker`] after `timeout`.
    pub async fn connect(bootstrap: &[String], timeout: Duration) -> Result<Self, AdminError> {
        for address in bootstrap {
            check_address(address).map_err(|e| AdminError::Address(e.to_string()))?;
        }
        if bootstrap.is_empty() {
            return Err(AdminError::Address(ConnError::NoAddress.to_string()));
        }
        let admin = Self {
            cluster: Cluster::new(bootstrap.to_vec(), CLIENT_ID.to_owned()),
            pool: Pool::new(CLIENT_ID.to_owned()),
            timeout,
            home: Mutex::default(),
            leaders: Mutex::default(),
            coordinators: Mutex::default(),
        };
        match admin.brokers().await {
            Ok(_) => Ok(admin),
            Err(AdminError::TimedOut { last, timeout, .. }) => {
                Err(AdminError::NoBroker { addresses: bootstrap.join(", "), timeout, last })
            }
            Err(other) => Err(other),
        }
    }

    /// The live brokers, by id.
    ///
    /// # Errors
    /// [`AdminError::TimedOut`].
    pub async fn brokers(&self) -> Result<Vec<Broker>, AdminError> {
        let metadata = self
            .retry("list the brokers", |attempt| async move {
                let metadata = self.metadata(&[], attempt).await?;
                // A broker that is just starting knows of nobody, itself included.
                if metadata.brokers.is_empty() {
                    return Err(Fault::Retry("the cluster has no registered broker yet".to_owned()));
                }
                Ok(metadata)
            })
            .await?;
        let mut brokers: Vec<_> = metadata
            .brokers
            .iter()
            .map(|b| Broker {
                id: b.node_id.0,
                host: b.host.to_string(),
                port: u16::try_from(b.port).unwrap_or_default(),
            })
            .collect();
        brokers.sort_by_key(|b| b.id);
        Ok(brokers)
    }

    /// Makes attempts until one is final or the time is up. Each is given the moment by which it must end: a third of
    /// the whole, so that a broker that hangs leaves time to ask another.
    async fn retry<T, F>(&self, what: &str, mut attempt: impl FnMut(Instant) -> F) -> Result<T, AdminError>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let deadline = Instant::now() + self.timeout;
        let mut backoff = Backoff::up_to(Backoff::SHORT);
        loop {
            let last = match attempt(deadline.min(Instant::now() + self.timeout / 3)).await {
                Ok(done) => return Ok(done),
                Err(Fault::Fail(error)) => return Err(error),
                Err(Fault::Retry(why)) => why,
            };
            let pause = backoff.step();
            if Instant::now() + pause >= deadline {
                return Err(AdminError::TimedOut { what: what.to_owned(), timeout: self.timeout, last });
            }
            tracing::debug!(what, why = last, "will be tried again");
            tokio::time::sleep(pause).await;
        }
    }

    /// Metadata from the broker that answered last, else from any.
    async fn metadata(&self, topics: &[String], until: Instant) -> Result<MetadataResponse, ConnError> {
        let left = || until.saturating_duration_since(Instant::now());
        let home = self.home.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(home) = home {
            let half = Instant::now() + left() / 2;
            match self.pool.call(&home, METADATA, &metadata_request(topics), half).await {
                Ok(metadata) => {
                    self.cluster.learn(&metadata);
                    return Ok(metadata);
                }
                Err(error) => tracing::debug!(%error, "asking the other brokers"),
            }
        }
        let metadata = self.cluster.metadata(topics, left()).await?;
        let address = metadata.brokers.first().and_then(|b| self.cluster.address(b.node_id.0));
        *self.home.lock().unwrap_or_else(PoisonError::into_inner) = address;
        Ok(metadata)
    }
}

/// [`Fault`] for an error code: another attempt, a missing right, or final.
fn fault(what: &str, right: &str, code: KafkaCode, message: Option<&str>) -> Fault {
    if code.is_authorization() {
        Fault::Fail(AdminError::Forbidden { what: what.to_owned(), right: right.to_owned(), code })
    } else if code.is_retriable() {
        Fault::Retry(format!("{code}{}", detail(message)))
    } else {
        Fault::Fail(AdminError::Refused { what: what.to_owned(), code, message: message.map(str::to_owned) })
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn connect(address: &str) -> String {
        Admin::connect(&[address.to_owned()], Duration::from_millis(300)).await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn nobody_there_is_said_in_time() {
        // Bound, then dropped: a port where nobody listens.
        let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
        assert_eq!(connect(&address).await, format!("no broker answered at {address} within 0.3 s"));
    }

    #[tokio::test]
    async fn a_broker_that_accepts_and_never_answers_is_bounded() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let begin = Instant::now();
        assert_eq!(connect(&address).await, format!("no broker answered at {address} within 0.3 s"));
        assert!(begin.elapsed() < Duration::from_secs(2));
    }

    #[tokio::test]
    async fn an_address_without_port_is_refused_at_once() {
        assert_eq!(connect("localhost").await, "`localhost` is not an address of the form host:port");
    }

    #[test]
    fn a_missing_right_is_named() {
        let code = KafkaCode::of(29).unwrap();
        let Fault::Fail(error) = fault("delete topic `t`", "DELETE on topic `t`", code, None) else {
            panic!("a missing right is final")
        };
        let expected =
            "not allowed to delete topic `t`: it needs DELETE on topic `t` (TOPIC_AUTHORIZATION_FAILED (29))";
        assert_eq!(error.to_string(), expected);
    }

    /// Callers spawn these calls: a future that holds something that may not change threads does not compile here.
    #[test]
    fn calls_can_be_spawned() {
        fn sendable(_: &(impl Future + Send)) {}
        async fn all(admin: Admin) -> Result<(), AdminError> {
            admin.create_topic("t", 1, 1, &[("a", "b")]).await?;
            admin.delete_topics(&["t"]).await?;
            admin.topic_exists("t").await?;
            admin.start_offsets("t").await?;
            admin.group_offsets("g", "t").await?;
            admin.group_members("g").await?;
            admin.delete_group("g").await
        }
        let of = |admin| sendable(&all(admin));
        let _: fn(Admin) = of;
    }
}

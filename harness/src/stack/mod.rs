//! What a run works against: broker, store and view. Each stack says what it needs, starts, checks and stops.
//!
//! ```text
//! embedded    a stand-in for each, in this process; a demonstration                                 embedded.rs
//! native      Apache Kafka (1 or 3 nodes), PostgreSQL and Redis, started here and gone afterwards   native.rs
//!             (its Kafka alone, for tests of brokers: brokers.rs)
//! containers  the same three in containers, by Docker, gone afterwards as well                      containers/
//! external    a team's own, given by address; nothing is started, nothing is stopped                external.rs
//!             (docker-compose.yml's, for one: compose.rs knows its addresses)
//! ```
//!
//! Architecture invariant: the rest of the harness knows a stack by its [`StackTarget`]. Process ids are for measuring
//! resources and for failure tests only; where there are none (external, containers that are not in this machine's /proc),
//! both are left out.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;

use payment_delivery::store::sqlite::SqliteStore;

pub mod brokers;
pub mod compose;
pub mod containers;
pub mod embedded;
pub mod error;
pub mod external;
pub mod native;
pub mod requirements;
pub mod worker;

mod checks;
mod faults;
mod kafka;
mod ports;
mod postgres;
mod prefix;
mod process;
mod programs;
mod proxied;
mod redis;
mod refusal;
mod rights;
mod scratch;
mod starved;

pub(crate) use crate::broker::Answers;
pub use brokers::NativeBrokers;
pub use containers::{ContainerOptions, ContainerStack, Images};
pub use embedded::EmbeddedStack;
pub use error::StackError;
pub use external::External;
pub use kafka::BrokerJit;
pub(crate) use kafka::{C1_ALONE, C1_BIAS};
pub use lanebench_redis_stub::StatusServer;
pub use native::{NativeOptions, NativeStack};
pub use payment_delivery::redact::redact;
pub use prefix::{Prefix, PrefixError};
pub use requirements::{Presence, Requirement, requirements};
pub use rights::Replicas;
pub use starved::HeldConnections;

/// Which stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum StackKind {
    /// Stand-ins in this process: a demonstration that needs nothing installed.
    Embedded,
    /// Real components, started here.
    Native,
    /// Real components in containers, started here.
    Containers,
    /// Somebody's own components, given by address.
    External,
}

impl StackKind {
    /// Those that are started here.
    pub const STARTED: [Self; 3] = [Self::Native, Self::Containers, Self::Embedded];
}

impl fmt::Display for StackKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Embedded => "embedded",
            Self::Native => "native",
            Self::Containers => "containers",
            Self::External => "external",
        })
    }
}

/// Where the parts of a stack answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// Broker addresses, `host:port`.
    pub bootstrap: Vec<String>,
    /// URL of the store, password included: print it only where the user asked for it.
    pub database_url: String,
    /// URL of the view, password included.
    pub redis_url: String,
}

/// Passwords stay out of logs and panics.
impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoints")
            .field("bootstrap", &self.bootstrap)
            .field("database_url", &redact(&self.database_url))
            .field("redis_url", &redact(&self.redis_url))
            .finish()
    }
}

/// What a run works on.
#[derive(Clone, Debug)]
pub struct StackTarget {
    /// Broker addresses, `host:port`.
    pub bootstrap: Vec<String>,
    /// Where rows and statuses are kept.
    pub backing: Backing,
    /// What every name of a run there begins with.
    pub prefix: Prefix,
    /// Where consumers find the parts, if not there: something stands between them.
    pub consumers: Option<Endpoints>,
}

/// Where rows and statuses are kept.
#[derive(Clone)]
pub enum Backing {
    /// On servers.
    Servers {
        /// PostgreSQL, password included.
        database_url: String,
        /// Redis, password included.
        redis_url: String,
        /// Certificates (PEM) of those who may have signed that of Redis, in place of the system's.
        redis_ca: Option<PathBuf>,
    },
    /// Rows in SQLite files, statuses in this process.
    InProcess {
        /// The service's file; a run has its own beside it.
        database: PathBuf,
        /// The one store on the service's file, which all of its consumers share.
        store: Arc<SqliteStore>,
        /// Where statuses can be reached from other processes, if they can: a stand-in for Redis.
        statuses: Option<String>,
    },
}

/// Passwords stay out of logs and panics.
impl fmt::Debug for Backing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Servers { database_url, redis_url, redis_ca } => f
                .debug_struct("Servers")
                .field("database_url", &redact(database_url))
                .field("redis_url", &redact(redis_url))
                .field("redis_ca", redis_ca)
                .finish(),
            Self::InProcess { database, .. } => {
                f.debug_struct("InProcess").field("database", database).finish_non_exhaustive()
            }
        }
    }
}

impl From<&Endpoints> for StackTarget {
    fn from(endpoints: &Endpoints) -> Self {
        Self {
            bootstrap: endpoints.bootstrap.clone(),
            backing: Backing::Servers {
                database_url: endpoints.database_url.clone(),
                redis_url: endpoints.redis_url.clone(),
                redis_ca: None,
            },
            prefix: Prefix::default(),
            consumers: None,
        }
    }
}

/// One program of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    /// A Kafka node, broker and controller in one.
    Kafka {
        /// Its `node.id`, from 1.
        node: usize,
    },
    /// PostgreSQL.
    Postgres,
    /// Redis.
    Redis,
    /// The worker that is measured, as a process of its own.
    Worker,
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kafka { node } => write!(f, "Kafka node {node}"),
            Self::Postgres => f.write_str("PostgreSQL"),
            Self::Redis => f.write_str("Redis"),
            Self::Worker => f.write_str("the worker"),
        }
    }
}

/// Process ids of what was started here; all empty for an external stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pids {
    /// The Kafka nodes, in the order of [`Endpoints::bootstrap`].
    pub kafka: Vec<u32>,
    /// The postmaster; the processes that do the work are its children.
    pub postgres: Option<u32>,
    /// The Redis server.
    pub redis: Option<u32>,
    /// What stands between the parts' ports on 127.0.0.1 and the parts: a Docker proxy for each container that has one.
    pub proxies: Vec<u32>,
}

/// What is known of a running stack, for a result's `stack` object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Brokers in the cluster.
    pub nodes: usize,
    /// The broker.
    pub kafka: PartFacts,
    /// The store.
    pub store: PartFacts,
    /// The view.
    pub view: PartFacts,
}

/// What is known of one part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartFacts {
    /// Such as `postgresql`.
    pub name: &'static str,
    /// As the part itself says; `None` where it can't be asked (a Kafka broker names no version).
    pub version: Option<String>,
    /// Settings that bear on the numbers.
    pub settings: BTreeMap<String, String>,
}

impl PartFacts {
    /// Redis's policy and its bound in bytes, where it evicts keys of ours once it is full: they have no time to live, which those policies
    /// that begin with `volatile` ask for.
    pub(crate) fn evicts(&self) -> Option<(&str, &str)> {
        let policy = self.settings.get("maxmemory_policy").filter(|policy| policy.starts_with("allkeys"))?;
        let bound = self.settings.get("maxmemory").filter(|bytes| *bytes != "0")?;
        Some((policy, bound))
    }
}

/// How far a start is; its `Display` is one line for a spinner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// What a killed run had left behind was removed.
    Swept {
        /// Scratch directories.
        directories: usize,
        /// Processes.
        processes: usize,
    },
    /// The same, of the stack of containers.
    SweptContainers {
        /// Containers, with their volumes.
        containers: usize,
        /// Networks.
        networks: usize,
    },
    /// An image is not here and is being pulled.
    Pulling {
        /// Its name.
        image: String,
    },
    /// The parts are starting, side by side.
    Starting {
        /// Kafka nodes.
        nodes: usize,
    },
    /// A part answers.
    Ready {
        /// Which.
        part: &'static str,
        /// Since the start began.
        after: std::time::Duration,
    },
    /// A port was taken by somebody between its choice and its use: everything is started again, once, on others.
    Retrying,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Swept { directories, processes } => {
                write!(
                    f,
                    "removed what a killed run left behind: {directories} directories, {processes} processes"
                )
            }
            Self::SweptContainers { containers, networks } => {
                write!(
                    f,
                    "removed what a killed run left behind: {containers} containers, {networks} networks"
                )
            }
            Self::Pulling { image } => write!(f, "pulling {image}"),
            Self::Starting { nodes: 1 } => f.write_str("starting Kafka, PostgreSQL and Redis"),
            Self::Starting { nodes } => write!(f, "starting Kafka ({nodes} nodes), PostgreSQL and Redis"),
            Self::Ready { part, after } => write!(f, "{part} is ready after {:.1} s", after.as_secs_f64()),
            Self::Retrying => f.write_str("a chosen port was taken meanwhile; starting again on others"),
        }
    }
}

/// A stack that can be used: started, or checked.
#[derive(Debug)]
pub enum Stack {
    /// In this process. Dropping it stops and removes everything.
    Embedded(Box<EmbeddedStack>),
    /// Started here. Dropping it stops and removes everything.
    Native(Box<NativeStack>),
    /// Started here, in containers. Dropping it stops and removes everything.
    Containers(Box<ContainerStack>),
    /// Somebody else's.
    External(Box<external::Connected>),
}

impl Stack {
    /// Which stack it is.
    pub fn kind(&self) -> StackKind {
        match self {
            Self::Embedded(_) => StackKind::Embedded,
            Self::Native(_) => StackKind::Native,
            Self::Containers(_) => StackKind::Containers,
            Self::External(_) => StackKind::External,
        }
    }

    /// What a run works on.
    pub fn target(&self) -> StackTarget {
        match self {
            Self::Embedded(embedded) => embedded.target().clone(),
            Self::Native(native) => {
                let consumers = native.proxies().map(|proxies| proxies.endpoints().clone());
                StackTarget { consumers, ..native.endpoints().into() }
            }
            Self::Containers(containers) => containers.endpoints().into(),
            Self::External(external) => external.target().clone(),
        }
    }

    /// Versions and settings.
    pub fn facts(&self) -> &Facts {
        match self {
            Self::Embedded(embedded) => embedded.facts(),
            Self::Native(native) => native.facts(),
            Self::Containers(containers) => containers.facts(),
            Self::External(external) => external.facts(),
        }
    }

    /// Process ids, where they are ours to know.
    pub fn pids(&self) -> Pids {
        match self {
            Self::Native(native) => native.pids(),
            Self::Containers(containers) => containers.pids(),
            Self::Embedded(_) | Self::External(_) => Pids::default(),
        }
    }

    /// Where the brokers' JVMs write of their garbage collection; none where they are not ours.
    pub fn gc_logs(&self) -> Vec<PathBuf> {
        match self {
            Self::Native(native) => native.gc_logs(),
            Self::Containers(_) | Self::Embedded(_) | Self::External(_) => Vec::new(),
        }
    }

    /// The directory below which the parts keep their data; `None` where it is not on this machine, or nothing there is synced.
    pub fn data_directory(&self) -> Option<&Path> {
        match self {
            Self::Native(native) => Some(native.data_directory()),
            Self::Containers(_) | Self::Embedded(_) | Self::External(_) => None,
        }
    }

    /// Components that are threads of this process, each with what its threads' names begin with.
    pub fn threads(&self) -> Vec<(&'static str, &'static str)> {
        match self {
            Self::Embedded(_) => embedded::threads(),
            Self::Native(_) | Self::Containers(_) | Self::External(_) => Vec::new(),
        }
    }

    /// What stands in for a real component, a sentence each; empty where the numbers count.
    pub fn stands_in(&self) -> Vec<String> {
        match self {
            Self::Embedded(_) => embedded::stands_in(),
            Self::Native(_) | Self::Containers(_) | Self::External(_) => Vec::new(),
        }
    }

    /// The parts that were started here and have ended, with their status.
    pub async fn ended(&self) -> Vec<(Component, ExitStatus)> {
        match self {
            Self::Native(native) => native.ended(),
            Self::Containers(containers) => containers.ended().await,
            Self::Embedded(_) | Self::External(_) => Vec::new(),
        }
    }

    /// Writes the logs of the parts to `directory`, which it makes, before they go with their parts. True if there are any:
    /// of containers only.
    ///
    /// # Errors
    /// [`StackError::Scratch`] where the directory can't be written.
    pub async fn keep_logs(&self, directory: &Path) -> Result<bool, StackError> {
        match self {
            Self::Containers(containers) => containers.keep_logs(directory).await.map(|()| true),
            Self::Embedded(_) | Self::Native(_) | Self::External(_) => Ok(false),
        }
    }

    /// Stops and removes what was started here. Dropping does the same, but blocks the thread while it waits.
    pub async fn stop(self) {
        match self {
            Self::Embedded(embedded) => embedded.stop().await,
            Self::Native(native) => native.stop().await,
            Self::Containers(containers) => containers.stop().await,
            Self::External(_) => {}
        }
    }
}

impl From<EmbeddedStack> for Stack {
    fn from(stack: EmbeddedStack) -> Self {
        Self::Embedded(Box::new(stack))
    }
}

impl From<NativeStack> for Stack {
    fn from(stack: NativeStack) -> Self {
        Self::Native(Box::new(stack))
    }
}

impl From<ContainerStack> for Stack {
    fn from(stack: ContainerStack) -> Self {
        Self::Containers(Box::new(stack))
    }
}

impl From<external::Connected> for Stack {
    fn from(stack: external::Connected) -> Self {
        Self::External(Box::new(stack))
    }
}

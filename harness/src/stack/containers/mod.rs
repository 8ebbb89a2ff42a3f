//! The stack of containers: Apache Kafka, PostgreSQL and Redis by a Docker daemon of this machine, gone afterwards.
//!
//! ```text
//! images.rs    which images, by name; here, or pulled
//! daemon.rs    the connection to the daemon, and the threads on which all is said to it
//! project.rs   what one start has there: a network and containers, labelled, removed when dropped
//! owner.rs     who made it, and whether that process still lives
//! sweep.rs     removal by label: of one project, and of all whose owner was killed
//! kafka.rs, postgres.rs, redis.rs   one part each: its environment, its start, its facts
//! faults.rs    breaks a container, and mends it
//! pids.rs      the processes behind all that, for measuring resources
//! started.rs   the stack; absent.rs is what stands there without the cargo feature `containers`
//! ```
//!
//! Four layers see to it that nothing stays: a [`ContainerStack`] removes all when it is dropped, on an error, a panic or a
//! cancelled start as well; what was being created at that moment is waited for first; removal goes by label, so it finds what
//! no handle was had of; and what a SIGKILL leaves behind carries its owner's id, by which the next start finds it.
//!
//! Ports are published on 127.0.0.1 only, so the daemon has to be this machine's. What passes them passes Docker's proxy too, a
//! process a port, whose CPU time is shown as a component of its own: figures are compared with those of this stack only.

use std::time::Duration;

mod images;

#[cfg(feature = "containers")]
mod daemon;
#[cfg(feature = "containers")]
mod faults;
#[cfg(feature = "containers")]
mod kafka;
#[cfg(feature = "containers")]
mod owner;
#[cfg(feature = "containers")]
mod pids;
#[cfg(feature = "containers")]
mod postgres;
#[cfg(feature = "containers")]
mod project;
#[cfg(feature = "containers")]
mod redis;
#[cfg(feature = "containers")]
mod started;
#[cfg(feature = "containers")]
mod sweep;

#[cfg(not(feature = "containers"))]
mod absent;

#[cfg(not(feature = "containers"))]
pub use absent::ContainerStack;
#[cfg(not(feature = "containers"))]
pub(super) use absent::requirements;
pub use images::Images;
#[cfg(feature = "containers")]
pub use started::ContainerStack;
#[cfg(feature = "containers")]
pub(super) use started::requirements;

/// What to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerOptions {
    /// Kafka nodes: 1 or 3.
    pub nodes: usize,
    /// The first broker's port on 127.0.0.1, the others following; a free one each by default.
    pub kafka_port: Option<u16>,
    /// PostgreSQL's port.
    pub postgres_port: Option<u16>,
    /// Redis' port.
    pub redis_port: Option<u16>,
    /// The images of the parts; from the environment by default.
    pub images: Images,
    /// Limit of the whole start, once the images are here.
    pub start_limit: Duration,
}

impl Default for ContainerOptions {
    fn default() -> Self {
        Self {
            nodes: 1,
            kafka_port: None,
            postgres_port: None,
            redis_port: None,
            images: Images::from_env(),
            start_limit: Duration::from_secs(120),
        }
    }
}

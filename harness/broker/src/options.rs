//! What a cluster is started with.

use std::time::Duration;

/// How an embedded cluster is set up. Kafka's name of each setting is in its documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterOptions {
    /// Number of nodes, 1 or 3. Their ids count from 1. Default 1.
    pub nodes: usize,
    /// The shortest session that a group member may ask for (`group.min.session.timeout.ms`). Default 200 ms.
    pub min_session_timeout: Duration,
    /// The longest one (`group.max.session.timeout.ms`). Default 30 min.
    pub max_session_timeout: Duration,
    /// The most that all logs together may hold, in bytes of record batches. What would exceed it is refused with
    /// `KAFKA_STORAGE_ERROR`; nothing is ever dropped to make room. Default 2 GiB.
    pub max_log_bytes: usize,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self {
            nodes: 1,
            min_session_timeout: Duration::from_millis(200),
            max_session_timeout: Duration::from_secs(30 * 60),
            max_log_bytes: 2 << 30,
        }
    }
}

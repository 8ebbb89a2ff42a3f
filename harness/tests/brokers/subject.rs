//! The brokers that the cases run on, started when the first case needs them.

use std::time::Duration;

use lanebench::broker::{self, ClusterOptions};
use lanebench::stack::{NativeBrokers, StackKind, requirements};
use libtest_mimic::Failed;
use tokio::sync::{Mutex, OnceCell};

/// A kind of cluster.
pub(crate) struct Subject {
    /// As in the names of its tests.
    pub(crate) name: &'static str,
    /// How many brokers it has.
    pub(crate) nodes: usize,
    /// What the machine must have for it.
    pub(crate) needs: Option<Need>,
    /// The shortest session time-out that its groups allow.
    pub(crate) shortest_session: Duration,
    /// Cases that are skipped, each with the reason.
    pub(crate) lacks: &'static [(&'static str, &'static str)],
    maker: Maker,
}

/// Every subject. The judge comes first and lacks nothing.
pub(crate) const SUBJECTS: &[Subject] = &[
    Subject {
        name: "kafka-1",
        nodes: 1,
        needs: Some(Need::Kafka),
        shortest_session: Duration::from_secs(1),
        lacks: &[],
        maker: Maker::Kafka,
    },
    Subject {
        name: "kafka-3",
        nodes: 3,
        needs: Some(Need::Kafka),
        shortest_session: Duration::from_secs(1),
        lacks: &[],
        maker: Maker::Kafka,
    },
    Subject {
        name: "embedded-1",
        nodes: 1,
        needs: None,
        shortest_session: Duration::from_millis(200),
        lacks: EMBEDDED_LACKS,
        maker: Maker::Embedded,
    },
    Subject {
        name: "embedded-3",
        nodes: 3,
        needs: None,
        shortest_session: Duration::from_millis(200),
        lacks: EMBEDDED_LACKS,
        maker: Maker::Embedded,
    },
];

/// What the embedded broker leaves out (its module documentation says so too).
const EMBEDDED_LACKS: &[(&str, &str)] = &[
    ("the first offset at or after a time, in a compressed batch", "it never decompresses a batch"),
    (
        "Kafka's own producer produces, idempotent as it is by default",
        "it keeps no state of idempotent producers",
    ),
];

/// How a cluster comes to be. A new kind of broker is added here, in [`Cluster`], and in the two matches over them.
#[derive(Clone, Copy, Debug)]
enum Maker {
    Kafka,
    Embedded,
}

#[derive(Debug)]
enum Cluster {
    Kafka(NativeBrokers),
    Embedded(broker::Cluster),
}

impl Cluster {
    async fn start(maker: Maker, nodes: usize) -> Result<(Self, Vec<String>), String> {
        match maker {
            Maker::Kafka => {
                let brokers = NativeBrokers::start(nodes, Duration::from_secs(90)).await;
                let brokers = brokers.map_err(|error| error.to_string())?;
                let bootstrap = brokers.bootstrap().to_vec();
                Ok((Self::Kafka(brokers), bootstrap))
            }
            Maker::Embedded => {
                let options = ClusterOptions { nodes, ..ClusterOptions::default() };
                let cluster = broker::Cluster::start(options).await.map_err(|error| error.to_string())?;
                let bootstrap = cluster.bootstrap();
                Ok((Self::Embedded(cluster), bootstrap))
            }
        }
    }

    async fn stop(self) {
        match self {
            Self::Kafka(brokers) => brokers.stop().await,
            Self::Embedded(cluster) => cluster.stop().await,
        }
    }
}

/// What not every machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Apache Kafka and a Java that runs it.
    Kafka,
    /// The client of librdkafka.
    Kcat,
}

/// What this machine has not, and in words.
pub(crate) async fn missing() -> Vec<(Need, String)> {
    let mut missing = Vec::new();
    let of_kafka = ["Java", "Apache Kafka"];
    let requirements = requirements(StackKind::Native).await;
    let absent: Vec<_> = requirements
        .iter()
        .filter(|r| of_kafka.contains(&r.name) && !r.is_present())
        .map(|r| r.name)
        .collect();
    if !absent.is_empty() {
        missing.push((Need::Kafka, format!("no {} here; `ci/setup` brings it", absent.join(", no "))));
    }
    if tokio::process::Command::new("kcat").arg("-V").output().await.is_err() {
        missing.push((Need::Kcat, "no kcat here; `apt-get install kcat` brings it".to_owned()));
    }
    missing
}

/// Where the cluster of one subject is, once somebody needs it.
pub(crate) struct Place {
    pub(crate) subject: &'static Subject,
    bootstrap: OnceCell<Result<Vec<String>, String>>,
    cluster: Mutex<Option<Cluster>>,
}

impl Place {
    pub(crate) fn new(subject: &'static Subject) -> Self {
        Self { subject, bootstrap: OnceCell::new(), cluster: Mutex::new(None) }
    }

    /// The addresses of the running cluster, which the first call starts.
    pub(crate) async fn cluster(&self) -> Result<Vec<String>, Failed> {
        let started = self.bootstrap.get_or_init(|| async {
            let (cluster, bootstrap) = Cluster::start(self.subject.maker, self.subject.nodes).await?;
            *self.cluster.lock().await = Some(cluster);
            Ok(bootstrap)
        });
        let started = started.await.clone();
        started.map_err(|error| format!("{} did not start: {error}", self.subject.name).into())
    }

    /// Stops the cluster, if there is one.
    pub(crate) async fn stop(&self) {
        if let Some(cluster) = self.cluster.lock().await.take() {
            cluster.stop().await;
        }
    }
}

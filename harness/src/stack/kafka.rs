//! The native stack's Kafka: one node or three, each broker and controller in one (KRaft), run by `java` directly.
//!
//! Kafka's own shell scripts are left out: they need a distribution where jars are enough, and put a shell between us
//! and the process that has to be measured and stopped.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::ports::Reserved;
use super::process::{Deadline, Process, until_ready};
use super::programs::KafkaJars;
use super::scratch::Scratch;
use super::{Component, PartFacts, StackError, checks};

/// Heap of a node. A 3-node cluster then fits beside a build in 4 GiB, and the page cache holds the logs anyway.
pub(super) const HEAP: &str = "-Xmx384m";

/// What of the brokers' byte code is compiled, and how well. HotSpot's names: C1 compiles at once and optimises little, C2 compiles what
/// is hot, minutes later, and optimises it well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum BrokerJit {
    /// C1 alone: brokers settle within seconds; response times are up to 1.9 × those of warm brokers
    C1,
    /// C1, then C2, ten times as early as a JVM does by itself and with little inlining: brokers settle after about a minute of load
    #[default]
    Early,
    /// C1, then C2, as a JVM does by itself: brokers settle after minutes of load
    Tiered,
}

/// The flag by which a result says that brokers ran with C1 alone.
pub(crate) const C1_ALONE: &str = "-XX:TieredStopAtLevel=1";

/// What that does to the numbers.
pub(crate) const C1_BIAS: &str = "The native brokers' JVM compiles with C1 alone, so that they settle within seconds: throughput is as on \
    warm brokers, response times are up to 1.9 × theirs. Use `--broker-jit early` or `tiered` for \
    response times that count; brokers then settle after a minute or several.";

/// Compiled early, with little work for each: most of what C2 does is what it inlines. What that saves and what it changes is in
/// docs/evidence/jvm.md.
const EARLY: [&str; 6] = [
    "-XX:CompileThresholdScaling=0.1",
    "-XX:MaxInlineLevel=3",
    "-XX:MaxInlineSize=15",
    "-XX:FreqInlineSize=50",
    "-XX:InlineSmallCode=400",
    "-XX:LoopUnrollLimit=20",
];

impl BrokerJit {
    fn flags(self) -> &'static [&'static str] {
        match self {
            Self::C1 => &[C1_ALONE],
            Self::Early => &EARLY,
            Self::Tiered => &[],
        }
    }
}

/// The garbage collector and its goals, as Kafka's own scripts set them.
const SERVER_FLAGS: [&str; 5] = [
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-Djava.awt.headless=true",
];

/// No performance counters in a file of /tmp, which a JVM that is killed leaves behind.
const NO_COUNTERS: &str = "-XX:-UsePerfData";

/// For the tool that formats a directory and ends: start fast.
const TOOL_FLAGS: [&str; 3] = ["-Xmx128m", "-XX:+UseSerialGC", C1_ALONE];

/// Warnings and errors only; without a file, and for both logging backends a KAFKA_HOME may bring.
const QUIET: [&str; 2] =
    ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true"];

/// Java and the jars.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    pub(super) java: PathBuf,
    pub(super) jars: KafkaJars,
}

/// The ports of a node.
#[derive(Debug)]
pub(super) struct NodePorts {
    pub(super) broker: Reserved,
    pub(super) controller: Reserved,
    pub(super) proxied: Option<ProxiedPorts>,
}

/// The listener of a node that consumers reach through a proxy.
#[derive(Debug)]
pub(super) struct ProxiedPorts {
    /// Where the node listens.
    pub(super) behind: Reserved,
    /// Where it tells clients that it is: the proxy.
    pub(super) told: u16,
}

/// The same as numbers.
#[derive(Clone, Copy, Debug)]
struct NodePlan {
    broker: u16,
    controller: u16,
    /// Where it listens behind a proxy, and where that is.
    proxied: Option<(u16, u16)>,
}

impl From<&NodePorts> for NodePlan {
    fn from(ports: &NodePorts) -> Self {
        let proxied = ports.proxied.as_ref().map(|ports| (ports.behind.port(), ports.told));
        Self { broker: ports.broker.port(), controller: ports.controller.port(), proxied }
    }
}

/// A running cluster.
#[derive(Debug)]
pub(super) struct Kafka {
    pub(super) nodes: Vec<Process>,
    pub(super) bootstrap: Vec<String>,
    pub(super) facts: PartFacts,
    /// What each node's garbage collector writes.
    pub(super) gc_logs: Vec<PathBuf>,
}

/// Formats and starts the nodes, and waits until each of them knows all of them.
pub(super) async fn start(
    programs: &Programs,
    scratch: &Scratch,
    ports: Vec<NodePorts>,
    jit: BrokerJit,
    session: Option<Duration>,
    deadline: Deadline,
) -> Result<Kafka, StackError> {
    let plan: Vec<NodePlan> = ports.iter().map(NodePlan::from).collect();
    let cluster_id = cluster_id(rand::random());
    let mut formats = Vec::new();
    for node in 1..=plan.len() {
        let files = NodeFiles::new(scratch.path(), node);
        let mut properties = properties(node, &plan, &files.data);
        properties.extend(session.into_iter().flat_map(sessions));
        files.write(&properties)?;
        let mut tool = java(programs, scratch, &TOOL_FLAGS);
        tool.args(["kafka.tools.StorageTool", "format", "--cluster-id", &cluster_id, "--config"]);
        tool.arg(&files.properties);
        formats.push(Process::spawn(Component::Kafka { node }, tool, &files.log, Signal::SIGKILL)?);
    }
    for format in formats {
        format.success(deadline).await?;
    }

    let (mut nodes, mut gc_logs) = (Vec::new(), Vec::new());
    for (node, ports) in (1..).zip(ports) {
        let files = NodeFiles::new(scratch.path(), node);
        let mut server = java(programs, scratch, &[&[HEAP], &SERVER_FLAGS[..], jit.flags()].concat());
        server.arg(format!("-Xlog:gc:file=\"{}\":timemillis:filecount=0", files.gc_log.display()));
        gc_logs.push(files.gc_log);
        server.arg("kafka.Kafka").arg(&files.properties);
        ports.broker.release();
        ports.controller.release();
        ports.proxied.map(|ports| ports.behind.release());
        // SIGKILL: its logs are about to be removed, and an orderly shutdown hands leadership over first, which
        // takes seconds, and longer still when the others are stopping too.
        nodes.push(Process::spawn(Component::Kafka { node }, server, &files.log, Signal::SIGKILL)?);
    }
    let bootstrap: Vec<String> = plan.iter().map(|node| format!("127.0.0.1:{}", node.broker)).collect();
    let processes: Vec<&Process> = nodes.iter().collect();
    let mut settings = reported_settings(plan.len());
    settings.insert("jvm".to_owned(), [&[HEAP], jit.flags()].concat().join(" "));
    until_ready(&processes, deadline, || checks::kafka_cluster(&bootstrap)).await?;
    let facts = PartFacts { name: "kafka", version: Some(programs.jars.version.clone()), settings };
    Ok(Kafka { nodes, bootstrap, facts, gc_logs })
}

/// A `java` with the jars as its class path, still without a class to run.
fn java(programs: &Programs, scratch: &Scratch, flags: &[&str]) -> Command {
    let mut command = scratch.command(&programs.java);
    command.args(flags).arg(NO_COUNTERS).args(QUIET).arg("-cp").arg(programs.jars.directory.join("*"));
    command
}

/// The files of a node.
#[derive(Debug)]
struct NodeFiles {
    data: PathBuf,
    properties: PathBuf,
    log: PathBuf,
    gc_log: PathBuf,
}

impl NodeFiles {
    fn new(scratch: &Path, node: usize) -> Self {
        Self {
            data: scratch.join(format!("kafka-{node}")),
            properties: scratch.join(format!("kafka-{node}.properties")),
            log: scratch.join(format!("kafka-{node}.log")),
            gc_log: scratch.join(format!("kafka-{node}.gc.log")),
        }
    }

    fn write(&self, properties: &BTreeMap<&str, String>) -> Result<(), StackError> {
        let text: String = properties.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        fs::write(&self.properties, text)
            .map_err(|cause| StackError::Scratch { path: self.properties.clone(), cause })
    }
}

/// `server.properties` of one node.
fn properties(node: usize, plan: &[NodePlan], data: &Path) -> BTreeMap<&'static str, String> {
    let NodePlan { broker, controller, proxied } = plan[node - 1];
    let voters: Vec<String> =
        (1..).zip(plan).map(|(id, node)| format!("{id}@127.0.0.1:{}", node.controller)).collect();
    let mut listeners = format!("PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}");
    let mut advertised = format!("PLAINTEXT://127.0.0.1:{broker}");
    if let Some((behind, told)) = proxied {
        listeners += &format!(",PROXIED://127.0.0.1:{behind}");
        advertised += &format!(",PROXIED://127.0.0.1:{told}");
    }
    let mut properties = chosen(plan.len());
    properties.extend([
        ("node.id", node.to_string()),
        ("process.roles", "broker,controller".to_owned()),
        ("listeners", listeners),
        ("advertised.listeners", advertised),
        ("controller.listener.names", "CONTROLLER".to_owned()),
        (
            "listener.security.protocol.map",
            "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT".to_owned(),
        ),
        ("controller.quorum.voters", voters.join(",")),
        // A backslash would escape what follows it.
        ("log.dirs", data.to_string_lossy().replace('\\', "\\\\")),
    ]);
    properties
}

/// After how long without a heartbeat a broker counts as dead, and how often it sends one: as much more often as by default.
fn sessions(session: Duration) -> [(&'static str, String); 2] {
    [
        ("broker.session.timeout.ms", session.as_millis().to_string()),
        ("broker.heartbeat.interval.ms", (session * 2 / 9).as_millis().to_string()),
    ]
}

/// What differs from Kafka's defaults, the same on each node. `min.insync.replicas` is left to the topic.
pub(super) fn chosen(nodes: usize) -> BTreeMap<&'static str, String> {
    let replicas = nodes.min(3);
    let min_isr = replicas.min(2);
    [
        // A mistyped topic is an error, not a new topic with one partition.
        ("auto.create.topics.enable", "false".to_owned()),
        // A group starts at once; the 3 s by default are for services that roll out one member after the other.
        ("group.initial.rebalance.delay.ms", "0".to_owned()),
        // Failure scenarios want a killed member noticed sooner than the 6 s that are the least by default.
        ("group.min.session.timeout.ms", "1000".to_owned()),
        // Internal topics as small as a few groups need; 50 partitions would cost seconds at the first join.
        ("offsets.topic.num.partitions", "3".to_owned()),
        ("offsets.topic.replication.factor", replicas.to_string()),
        ("transaction.state.log.num.partitions", "3".to_owned()),
        ("transaction.state.log.replication.factor", replicas.to_string()),
        ("transaction.state.log.min.isr", min_isr.to_string()),
        ("share.coordinator.state.topic.num.partitions", "3".to_owned()),
        ("share.coordinator.state.topic.replication.factor", replicas.to_string()),
        ("share.coordinator.state.topic.min.isr", min_isr.to_string()),
        // Nothing is deleted by age or size during a run; topics are removed whole.
        ("log.retention.ms", "-1".to_owned()),
        ("log.retention.bytes", "-1".to_owned()),
        // The cleaner's buffer is 128 MiB of heap by default, for topics far larger than these.
        ("log.cleaner.dedupe.buffer.size", "8388608".to_owned()),
        // For a few clients on a small machine.
        ("num.network.threads", "3".to_owned()),
        ("num.io.threads", "4".to_owned()),
    ]
    .into()
}

/// The settings that bear on the numbers, for a result.
pub(super) fn reported_settings(nodes: usize) -> BTreeMap<String, String> {
    let kept = |name: &str| {
        ["auto.create", "group.", "num.", "offsets.topic"].iter().any(|prefix| name.starts_with(prefix))
    };
    let mut settings: BTreeMap<String, String> =
        chosen(nodes).into_iter().filter(|(name, _)| kept(name)).map(|(k, v)| (k.to_owned(), v)).collect();
    settings.insert("jvm".to_owned(), HEAP.to_owned());
    // Kafka's default, said because it is a difference to the store beside it, which syncs every commit.
    settings.insert("fsync".to_owned(), "left to the system; durability is by replication".to_owned());
    settings
}

/// A cluster id as Kafka wants it: 16 bytes in URL-safe base 64, 22 characters.
pub(super) fn cluster_id(random: u128) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    // The first bit is cleared, so that the id can't begin with `-` and be taken for an option.
    let bits = random >> 1;
    // 128 bits: 21 characters of 6, and one of the 2 that are left, padded with zeros.
    (0..22)
        .map(|i| {
            let six = if i < 21 { bits >> (122 - 6 * i) } else { bits << 4 };
            char::from(ALPHABET[(six & 63) as usize])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(node: u16) -> NodePlan {
        let proxied = Some((23_000 + node, 24_000 + node));
        NodePlan { broker: 21_000 + node, controller: 22_000 + node, proxied }
    }

    #[test]
    fn a_cluster_id_is_base_64_of_16_bytes() {
        assert_eq!(cluster_id(0), "A".repeat(22));
        // 7f ff … ff by RFC 4648, section 5.
        assert_eq!(cluster_id(u128::MAX), format!("f{}w", "_".repeat(20)));
        for _ in 0..200 {
            let id = cluster_id(rand::random());
            assert_eq!(id.len(), 22);
            assert!(!id.starts_with('-'), "{id}");
        }
    }

    #[test]
    fn brokers_compile_early_unless_told_otherwise() {
        assert_eq!(BrokerJit::default(), BrokerJit::Early);
        assert_eq!(BrokerJit::C1.flags(), [C1_ALONE]);
        assert!(BrokerJit::Tiered.flags().is_empty());
    }

    #[test]
    fn three_nodes_name_each_other_and_replicate_their_internal_topics() {
        let plan = [1, 2, 3].map(|node| NodePlan { proxied: None, ..plan(node) });
        let second = properties(2, &plan, Path::new("/tmp/a b/kafka-2"));
        assert_eq!(second["node.id"], "2");
        assert_eq!(second["listeners"], "PLAINTEXT://127.0.0.1:21002,CONTROLLER://127.0.0.1:22002");
        assert_eq!(
            second["controller.quorum.voters"],
            "1@127.0.0.1:22001,2@127.0.0.1:22002,3@127.0.0.1:22003"
        );
        assert_eq!(second["offsets.topic.replication.factor"], "3");
        assert_eq!(second["transaction.state.log.min.isr"], "2");
        assert_eq!(second["log.dirs"], "/tmp/a b/kafka-2");
        assert!(!second.contains_key("min.insync.replicas"), "left to the topic");
    }

    #[test]
    fn consumers_are_told_of_the_proxy_where_there_is_one() {
        let only = properties(1, &[plan(1)], Path::new("/tmp/k"));
        assert_eq!(
            only["listeners"],
            "PLAINTEXT://127.0.0.1:21001,CONTROLLER://127.0.0.1:22001,PROXIED://127.0.0.1:23001"
        );
        assert_eq!(only["advertised.listeners"], "PLAINTEXT://127.0.0.1:21001,PROXIED://127.0.0.1:24001");
    }

    #[test]
    fn a_session_has_as_many_heartbeats_as_by_default() {
        let of = |seconds| sessions(Duration::from_secs(seconds)).map(|(_, ms)| ms);
        assert_eq!(of(9), ["9000", "2000"], "Kafka's own");
        assert_eq!(of(3), ["3000", "666"]);
    }

    #[test]
    fn one_node_needs_no_other() {
        let only = properties(1, &[plan(1)], Path::new("/tmp/k"));
        assert_eq!(only["controller.quorum.voters"], "1@127.0.0.1:22001");
        assert_eq!(only["offsets.topic.replication.factor"], "1");
        assert_eq!(only["transaction.state.log.min.isr"], "1");
    }
}

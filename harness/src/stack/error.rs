//! Why there is no stack, and what to do about it.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use super::{Component, StackKind};

/// Why a stack could not be started or reached. Each message is whole, its cause included, so there is no `source` beside it.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// No Java.
    #[error("no `java` in JAVA_HOME or on PATH")]
    NoJava,
    /// No Kafka.
    #[error("no jars of Apache Kafka in {}{}", directory.display(), if *from_kafka_home { " (KAFKA_HOME)" } else { "" })]
    NoKafka {
        /// Where they were looked for.
        directory: PathBuf,
        /// Whether KAFKA_HOME said so.
        from_kafka_home: bool,
    },
    /// No PostgreSQL.
    #[error(
        "no PostgreSQL server: `initdb` and `postgres` are neither on PATH nor in /usr/lib/postgresql/*/bin"
    )]
    NoPostgres,
    /// No Redis.
    #[error("no `redis-server` on PATH")]
    NoRedis,
    /// Run by root, and there is nobody else to run PostgreSQL as.
    #[error("PostgreSQL does not run as root, and there is no user `postgres` or `nobody` to run it as")]
    NoServerUser,
    /// More or fewer nodes than are offered.
    #[error("{nodes} Kafka nodes were asked for; there can be 1 or 3")]
    Nodes {
        /// As asked for.
        nodes: usize,
    },
    /// A port that was asked for can't be had.
    #[error("port {port} on 127.0.0.1 can't be used for {part}: {cause}")]
    Port {
        /// The port.
        port: u16,
        /// For whom.
        part: &'static str,
        /// The option that asked for it.
        flag: &'static str,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The scratch directory could not be made or used.
    #[error("can't use {}: {cause}", path.display())]
    Scratch {
        /// The directory or file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// A program could not be started at all.
    #[error("can't run {program} for {component}: {cause}")]
    Spawn {
        /// For whom.
        component: Component,
        /// The program.
        program: String,
        /// What the system said.
        cause: std::io::Error,
    },
    /// A program ended while it was needed.
    #[error("{component} ended during its start ({status}){}", indented(log_tail))]
    Exited {
        /// Which.
        component: Component,
        /// How.
        status: ExitStatus,
        /// The last lines of its log.
        log_tail: String,
    },
    /// A worker ended by itself, or badly.
    #[error("the worker ended ({status}){}", indented(log_tail))]
    WorkerEnded {
        /// How.
        status: ExitStatus,
        /// The last lines of its log.
        log_tail: String,
    },
    /// A worker did not end when it was told to.
    #[error("the worker did not end within {} s after SIGTERM, and was killed{}", within.as_secs(), indented(log_tail))]
    WorkerStays {
        /// How long was waited.
        within: Duration,
        /// The last lines of its log.
        log_tail: String,
    },
    /// A program did not become ready.
    #[error("{component} was not ready within {} s: {waiting_for}{}", limit.as_secs(), indented(log_tail))]
    NotReady {
        /// Which.
        component: Component,
        /// The limit of the whole start.
        limit: Duration,
        /// What the last question brought.
        waiting_for: String,
        /// The last lines of its log.
        log_tail: String,
    },
    /// A part was to be broken that is not there to be broken.
    #[error("{component} can't be broken on the {stack} stack")]
    Unbreakable {
        /// Which.
        component: Component,
        /// Of which stack.
        stack: StackKind,
    },
    /// What stands between the consumers and a part could not listen.
    #[error("the proxy in front of {component} can't listen: {cause}")]
    Proxy {
        /// In front of what.
        component: Component,
        /// What was answered.
        cause: std::io::Error,
    },
    /// Something was to be taken from a part, and could not be.
    #[error("what was to be taken from {component} can't be: {reason}")]
    Starving {
        /// Which.
        component: Component,
        /// What stood in the way.
        reason: String,
    },
    /// A part of an external stack does not answer.
    #[error("{} within {} s: {reason}", missed(part, address, *answered), limit.as_secs())]
    Unreachable {
        /// `broker`, `PostgreSQL` or `Redis`.
        part: &'static str,
        /// Where, without a password.
        address: Box<str>,
        /// How long was tried.
        limit: Duration,
        /// Whether somebody was there.
        answered: bool,
        /// The last answer.
        reason: String,
        /// The option that gave the address.
        flag: &'static str,
        /// What would help, where more is known than that it is away.
        hint: Option<Box<str>>,
    },
    /// A part of an external stack refuses what a run needs, and would again.
    #[error("{part} at {address} can't be used: {reason}")]
    Refused {
        /// `broker`, `PostgreSQL` or `Redis`.
        part: &'static str,
        /// Where, without a password.
        address: String,
        /// What it said.
        reason: String,
        /// What would help.
        hint: Option<String>,
    },
    /// An address that can't be one.
    #[error("{flag} {address} is not usable: {reason}")]
    Address {
        /// The option that gave it.
        flag: &'static str,
        /// As given, without a password.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The embedded stack could not be started.
    #[error("the embedded stack could not be started: {what}")]
    Embedded {
        /// What was wanted and what the system said.
        what: String,
    },
    /// This program was built without the stack of containers.
    #[error("this lanebench was built without the stack of containers (the cargo feature `containers`)")]
    NoContainers,
    /// No Docker daemon.
    #[error("no Docker daemon answered at {host}: {reason}")]
    NoDocker {
        /// As DOCKER_HOST or its default says.
        host: String,
        /// What came instead of an answer.
        reason: String,
    },
    /// A Docker daemon whose published ports can't be reached.
    #[error("the Docker daemon at {host} is on another machine, and publishes ports on that one's 127.0.0.1")]
    DockerElsewhere {
        /// As DOCKER_HOST says.
        host: String,
    },
    /// An image is neither here nor to be had.
    #[error("no image {image} is here, and it can't be pulled: {reason}")]
    NoImage {
        /// Its name.
        image: String,
        /// The environment variable that names it.
        variable: &'static str,
        /// What the registry or the daemon said.
        reason: String,
    },
    /// The Docker daemon refused.
    #[error("Docker could not {doing}: {reason}")]
    Docker {
        /// What was asked of it.
        doing: String,
        /// What it said.
        reason: String,
    },
    /// Whatever failed, there are logs that say more.
    #[error("{cause}\n\nwhole logs: {}", directory.display())]
    WithLogs {
        /// What failed.
        cause: Box<StackError>,
        /// Where the logs are, a file for each container.
        directory: PathBuf,
    },
    /// The start was cancelled.
    #[error("interrupted while the stack was starting")]
    Interrupted,
}

impl StackError {
    /// What to do next, in one line, where there is something to do.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoJava => install("default-jdk-headless"),
            Self::NoPostgres => install("postgresql"),
            Self::NoRedis => install("redis-server"),
            Self::NoKafka { from_kafka_home: true, .. } => {
                "point KAFKA_HOME at a Kafka distribution (the directory above `libs`), or unset it and run `ci/setup`"
                    .to_owned()
            }
            Self::NoKafka { from_kafka_home: false, .. } => {
                "run `ci/setup`, or point KAFKA_HOME at a Kafka distribution".to_owned()
            }
            Self::NoServerUser => install("postgresql"),
            Self::Port { flag, .. } => format!("choose another port with `{flag}`, or leave it out for a free one"),
            Self::Scratch { .. } => "point TMPDIR at a directory with room, which can be written to".to_owned(),
            Self::Spawn { component: Component::Postgres, .. }
            | Self::Exited { component: Component::Postgres, .. } => {
                "if PostgreSQL's user may not enter its directory, point TMPDIR at one that every user may enter"
                    .to_owned()
            }
            Self::WorkerEnded { .. } => "a worker runs until SIGTERM; docs/worker.md says what it is given".to_owned(),
            Self::WorkerStays { .. } => {
                "on SIGTERM a worker finishes the message in hand, commits, leaves its group and exits: docs/worker.md"
                    .to_owned()
            }
            Self::Spawn { component: Component::Worker, .. } => {
                "`--worker-cmd` takes one program with its arguments, as a shell would start it".to_owned()
            }
            Self::Spawn { .. } => "`lanebench stack check` says what is installed".to_owned(),
            Self::Exited { .. } => "its log above says why; `lanebench stack check` says what is installed".to_owned(),
            Self::Proxy { .. } => "is a program taking ports from 20000 to 32000 on 127.0.0.1? Run it again".to_owned(),
            Self::Starving { .. } => "see the component's log; is it answering at all?".to_owned(),
            Self::Unbreakable { .. } => "`--stack native` starts parts of its own; on three nodes with `--nodes 3`".to_owned(),
            Self::NotReady { .. } => "see its log above; is the machine busy, or short of memory?".to_owned(),
            Self::Unreachable { hint: Some(hint), .. } => hint.to_string(),
            Self::Refused { hint, .. } => return hint.clone(),
            Self::Unreachable { flag, .. } => {
                format!("is it running, and is `{flag}` right? `--stack native` starts one of its own")
            }
            Self::Embedded { .. } => "it needs a few ports of 127.0.0.1, threads, and room in TMPDIR".to_owned(),
            Self::NoContainers => {
                "build it with that feature: `cargo build --release --features lanebench/containers`".to_owned()
            }
            Self::NoDocker { reason, .. } if reason.to_lowercase().contains("permission denied") => {
                "the socket belongs to a group, `docker` as a rule: join it and log in again, or run this as root".to_owned()
            }
            Self::NoDocker { .. } => {
                "start one (on Debian `apt-get install docker.io`), or set DOCKER_HOST to the socket of the one that runs, \
                 such as unix:///run/docker.sock"
                    .to_owned()
            }
            Self::DockerElsewhere { .. } => {
                "run this on that machine, or use what runs there by `--stack external`".to_owned()
            }
            Self::NoImage { variable, .. } => {
                format!("name one that is here by `{variable}`; `ci/images/build` builds stand-ins where no registry can be reached")
            }
            Self::Docker { .. } if self.is_lost_port_race() => {
                "somebody else has that port, perhaps another container: name another, or none for a free one".to_owned()
            }
            Self::Docker { .. } => "`lanebench stack check --stack containers` says what is there".to_owned(),
            Self::WithLogs { cause, .. } => return cause.hint(),
            Self::Nodes { .. } | Self::Address { .. } | Self::Interrupted => return None,
        })
    }

    /// Whether somebody took a port between its choice and its use. The words are the C library's, which all
    /// three programs print in the C locale, and Java's, which are the same; and two of Docker's, which holds the
    /// ports of other containers by itself.
    pub(super) fn is_lost_port_race(&self) -> bool {
        match self {
            Self::Exited { log_tail, .. } => log_tail.contains("Address already in use"),
            Self::Docker { reason, .. } => {
                reason.contains("address already in use") || reason.contains("port is already allocated")
            }
            _ => false,
        }
    }
}

fn missed(part: &str, address: &str, answered: bool) -> String {
    if answered {
        format!("{part} at {address} could not be used")
    } else {
        format!("no {part} answered at {address}")
    }
}

fn install(package: &str) -> String {
    format!("run `ci/setup`, or `apt-get install {package}`")
}

fn indented(log_tail: &str) -> String {
    if log_tail.is_empty() {
        return "; its log is empty".to_owned();
    }
    let mut out = "; the end of its log:".to_owned();
    for line in log_tail.lines() {
        out.push_str("\n    ");
        out.push_str(line);
    }
    out
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn a_missing_program_comes_with_the_command_that_installs_it() {
        assert_eq!(
            StackError::NoJava.hint().unwrap(),
            "run `ci/setup`, or `apt-get install default-jdk-headless`"
        );
    }

    #[test]
    fn kafka_home_is_named_when_it_is_the_cause() {
        let error = StackError::NoKafka { directory: "/opt/none/libs".into(), from_kafka_home: true };
        assert_eq!(error.to_string(), "no jars of Apache Kafka in /opt/none/libs (KAFKA_HOME)");
        assert!(error.hint().unwrap().contains("unset it"));
    }

    #[test]
    fn an_early_end_shows_its_log_and_tells_a_lost_port() {
        let exited = |log_tail: &str| StackError::Exited {
            component: Component::Kafka { node: 2 },
            status: ExitStatus::from_raw(1 << 8),
            log_tail: log_tail.to_owned(),
        };
        let lost = exited("a\nSocket server failed to bind: Address already in use.");
        assert!(lost.is_lost_port_race());
        assert_eq!(
            lost.to_string(),
            "Kafka node 2 ended during its start (exit status: 1); the end of its log:\n    a\n    \
             Socket server failed to bind: Address already in use."
        );
        assert!(!exited("").is_lost_port_race());
        assert!(exited("").to_string().ends_with("its log is empty"));
    }

    #[test]
    fn a_port_that_docker_could_not_have_is_a_lost_race_too() {
        let docker = |reason: &str| StackError::Docker {
            doing: "start the container of Redis".to_owned(),
            reason: reason.to_owned(),
        };
        assert!(docker("Bind for 127.0.0.1:20001 failed: port is already allocated").is_lost_port_race());
        let proxy = docker(
            "Error starting userland proxy: listen tcp4 127.0.0.1:20001: bind: address already in use",
        );
        assert!(proxy.is_lost_port_race());
        assert!(proxy.hint().unwrap().contains("somebody else has that port"));
        assert!(!docker("no space left on device").is_lost_port_race());
    }

    #[test]
    fn logs_that_were_kept_are_named_and_the_hint_is_that_of_the_cause() {
        let cause = StackError::NoDocker {
            host: "unix:///run/docker.sock".to_owned(),
            reason: "Permission denied (os error 13)".to_owned(),
        };
        let hint = cause.hint().unwrap();
        assert!(hint.contains("group"), "{hint}");
        let error = StackError::WithLogs { cause: Box::new(cause), directory: "/tmp/logs".into() };
        assert!(error.to_string().ends_with("(os error 13)\n\nwhole logs: /tmp/logs"), "{error}");
        assert_eq!(error.hint().unwrap(), hint);
    }
}

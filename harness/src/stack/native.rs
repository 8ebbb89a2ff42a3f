//! The native stack: Apache Kafka, PostgreSQL and Redis as real processes on this machine, started side by side and gone
//! afterwards, whatever happens.
//!
//! Three layers see to that: children are stopped when their `Process` is dropped, on an early error, a
//! cancelled start or a panic as well; the scratch directory goes with its owner; and what a SIGKILL of the harness leaves behind
//! is found and removed by the next start (`scratch.rs`).

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio_util::sync::CancellationToken;

use super::kafka::{BrokerJit, Kafka, NodePorts, ProxiedPorts};
use super::ports::{self, Reserved, Wanted};
use super::postgres::Postgres;
use super::process::Deadline;
use super::programs::{self, PostgresPrograms};
use super::proxied::{Proxies, ProxyPorts};
use super::redis::Redis;
use super::scratch::{self, Scratch};
use super::{Endpoints, Facts, Pids, Progress, StackError, kafka, postgres, redis};

/// What to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NativeOptions {
    /// Kafka nodes: 1 or 3.
    pub nodes: usize,
    /// The first broker's port, the others following; a free one each by default.
    pub kafka_port: Option<u16>,
    /// PostgreSQL's port.
    pub postgres_port: Option<u16>,
    /// Redis' port.
    pub redis_port: Option<u16>,
    /// How the brokers' byte code is compiled.
    pub broker_jit: BrokerJit,
    /// After how long without a heartbeat a broker counts as dead; Kafka's 9 s by default.
    pub broker_session: Option<Duration>,
    /// Whether consumers reach the parts through proxies of ours.
    pub proxies: bool,
    /// Limit of the whole start.
    pub start_limit: Duration,
}

impl Default for NativeOptions {
    fn default() -> Self {
        Self {
            nodes: 1,
            kafka_port: None,
            postgres_port: None,
            redis_port: None,
            broker_jit: BrokerJit::default(),
            broker_session: None,
            proxies: false,
            start_limit: Duration::from_secs(60),
        }
    }
}

/// A running native stack. Dropping it stops and removes everything, blocking the thread for as long as that takes.
#[derive(Debug)]
pub struct NativeStack {
    endpoints: Endpoints,
    facts: Facts,
    // In this order: processes before the directory they run in.
    kafka: Kafka,
    postgres: Postgres,
    redis: Redis,
    proxies: Option<Proxies>,
    scratch: Scratch,
}

impl NativeStack {
    /// Sweeps what killed runs left, then starts everything and waits until each part answers.
    ///
    /// `progress` is called at each step. When `cancel` is cancelled, or on any error, whatever was started is
    /// stopped and removed before this returns.
    ///
    /// # Errors
    /// What is missing and whose port is taken is told before anything is started. A program that ends during the
    /// start fails it at once, with the end of its log; one that is not ready by [`NativeOptions::start_limit`] too.
    pub async fn start(
        options: NativeOptions,
        progress: &(dyn Fn(Progress) + Send + Sync),
        cancel: CancellationToken,
    ) -> Result<Self, StackError> {
        let programs = Programs::find()?;
        let temp = std::env::temp_dir();
        let work = async {
            scratch::sweep_and_tell(&temp, progress).await;
            // Boxed: a start is a large future, and who awaits it should not have to be one too.
            match Box::pin(Self::attempt(options, &programs, &temp, progress)).await {
                // The ports that were asked for were looked at before; one of ours was taken meanwhile.
                Err(error) if error.is_lost_port_race() => {
                    progress(Progress::Retrying);
                    Box::pin(Self::attempt(options, &programs, &temp, progress)).await
                }
                outcome => outcome,
            }
        };
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(StackError::Interrupted),
            outcome = work => outcome,
        }
    }

    async fn attempt(
        options: NativeOptions,
        programs: &Programs,
        temp: &Path,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Self, StackError> {
        let began = Instant::now();
        let deadline = Deadline::after(options.start_limit);
        let ports = Ports::take(options)?;
        let behind: Vec<u16> =
            ports.kafka.iter().filter_map(|node| Some(node.proxied.as_ref()?.behind.port())).collect();
        let scratch = Scratch::create(temp)?;
        progress(Progress::Starting { nodes: options.nodes });
        let ready = |part| {
            progress(Progress::Ready { part, after: began.elapsed() });
        };
        let kafka = async {
            let (jit, session) = (options.broker_jit, options.broker_session);
            let started =
                kafka::start(&programs.kafka, &scratch, ports.kafka, jit, session, deadline).await?;
            ready("Kafka");
            Ok(started)
        };
        let postgres = async {
            let started = postgres::start(&programs.postgres, &scratch, ports.postgres, deadline).await?;
            ready("PostgreSQL");
            Ok(started)
        };
        let redis = async {
            let started = redis::start(&programs.redis, &scratch, ports.redis, deadline).await?;
            ready("Redis");
            Ok(started)
        };
        let (kafka, postgres, redis) = tokio::try_join!(kafka, postgres, redis)?;
        let endpoints = Endpoints {
            bootstrap: kafka.bootstrap.clone(),
            database_url: postgres.url.clone(),
            redis_url: redis.url.clone(),
        };
        let mut facts = Facts {
            nodes: options.nodes,
            kafka: kafka.facts.clone(),
            store: postgres.facts.clone(),
            view: redis.facts.clone(),
        };
        if ports.proxies.is_some() {
            for part in [&mut facts.kafka, &mut facts.store, &mut facts.view] {
                part.settings.insert("consumers".to_owned(), "through a proxy of lanebench".to_owned());
            }
        }
        let proxies = ports.proxies.map(|ports| Proxies::start(ports, &behind, &endpoints)).transpose()?;
        Ok(Self { endpoints, proxies, facts, kafka, postgres, redis, scratch })
    }

    /// Where the parts answer.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// What stands between the consumers and the parts, where something does.
    pub(super) fn proxies(&self) -> Option<&Proxies> {
        self.proxies.as_ref()
    }

    /// Versions and settings.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Process ids.
    pub fn pids(&self) -> Pids {
        Pids {
            kafka: self.kafka.nodes.iter().map(super::process::Process::pid).collect(),
            postgres: Some(self.postgres.process.pid()),
            redis: Some(self.redis.process.pid()),
            proxies: Vec::new(),
        }
    }

    /// The directory below which all parts keep their data.
    pub fn data_directory(&self) -> &Path {
        self.scratch.path()
    }

    /// The brokers' logs of garbage collection.
    pub fn gc_logs(&self) -> Vec<PathBuf> {
        self.kafka.gc_logs.clone()
    }

    /// Sends a signal to one part, for failure tests: SIGKILL for a crash, SIGSTOP and SIGCONT for a freeze.
    /// False if there is no such part or it has ended; safe against its id having gone to another process.
    pub fn signal(&self, component: super::Component, signal: Signal) -> bool {
        self.processes().any(|process| process.component() == component && process.signal(signal))
    }

    /// The parts that have ended, with their status: between two trials, a reason to stop.
    pub fn ended(&self) -> Vec<(super::Component, std::process::ExitStatus)> {
        self.processes().filter_map(|process| Some((process.component(), process.exit_status()?))).collect()
    }

    /// Stops and removes everything, off the runtime's threads.
    pub async fn stop(self) {
        // It fails only if the runtime is shutting down, and then dropping has done it, or a panic says why not.
        if let Err(error) = tokio::task::spawn_blocking(move || drop(self)).await {
            tracing::error!(%error, "the native stack was not stopped properly");
        }
    }

    pub(super) fn processes(&self) -> impl Iterator<Item = &super::process::Process> {
        self.kafka.nodes.iter().chain([&self.postgres.process, &self.redis.process])
    }
}

impl Drop for NativeStack {
    fn drop(&mut self) {
        // All are asked before each is waited for, as the fields are dropped.
        self.processes().for_each(super::process::Process::ask_to_stop);
    }
}

/// Everything that has to be installed.
#[derive(Debug)]
struct Programs {
    kafka: kafka::Programs,
    postgres: PostgresPrograms,
    redis: PathBuf,
}

impl Programs {
    fn find() -> Result<Self, StackError> {
        Ok(Self {
            kafka: kafka::Programs { java: programs::java()?, jars: programs::kafka()? },
            postgres: programs::postgres()?,
            redis: programs::redis()?,
        })
    }
}

/// All ports, taken before anything is started.
#[derive(Debug)]
struct Ports {
    kafka: Vec<NodePorts>,
    postgres: Reserved,
    redis: Reserved,
    proxies: Option<ProxyPorts>,
}

impl Ports {
    fn take(options: NativeOptions) -> Result<Self, StackError> {
        let NativeOptions { nodes, kafka_port: kafka, postgres_port: postgres, redis_port: redis, .. } =
            options;
        let ports = ports::Ports::take(nodes, Wanted { kafka, postgres, redis })?;
        // After those, since the ports of controllers and proxies are never asked for.
        let any = || Reserved::any("Kafka's controller", "--kafka-port");
        let proxies = options.proxies.then(|| ProxyPorts::take(nodes)).transpose()?;
        let told = proxies.as_ref().map(ProxyPorts::kafka);
        let nodes = ports.brokers.into_iter().enumerate().map(|(n, broker)| {
            let proxied = told.as_ref().map(|told| Ok(ProxiedPorts { behind: any()?, told: told[n] }));
            Ok(NodePorts { broker, controller: any()?, proxied: proxied.transpose()? })
        });
        let kafka = nodes.collect::<Result<_, StackError>>()?;
        Ok(Self { kafka, postgres: ports.postgres, redis: ports.redis, proxies })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_consecutive_when_asked_for_and_all_different() {
        let first = (20_000..32_000)
            .step_by(7)
            .find(|&port| (port..port + 3).all(|p| std::net::TcpListener::bind(("127.0.0.1", p)).is_ok()))
            .expect("three free ports in a row");
        let ports =
            Ports::take(NativeOptions { nodes: 3, kafka_port: Some(first), ..Default::default() }).unwrap();
        let brokers: Vec<u16> = ports.kafka.iter().map(|node| node.broker.port()).collect();
        assert_eq!(brokers, [first, first + 1, first + 2]);
        let mut all = brokers;
        all.extend(ports.kafka.iter().map(|node| node.controller.port()));
        all.extend([ports.postgres.port(), ports.redis.port()]);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 8);
    }

    #[test]
    fn one_port_for_two_parts_is_refused() {
        let port = Reserved::any("Redis", "--redis-port").unwrap().release();
        let options =
            NativeOptions { postgres_port: Some(port), redis_port: Some(port), ..Default::default() };
        let error = Ports::take(options).unwrap_err();
        assert!(matches!(error, StackError::Port { flag: "--redis-port", .. }), "{error}");
    }

    #[test]
    fn a_start_may_run_on_any_thread() {
        fn check<T: Send>(_: T) {}
        check(NativeStack::start(NativeOptions::default(), &|_| {}, CancellationToken::new()));
    }

    #[test]
    fn two_nodes_are_refused() {
        let error = Ports::take(NativeOptions { nodes: 2, ..Default::default() }).unwrap_err();
        assert_eq!(error.to_string(), "2 Kafka nodes were asked for; there can be 1 or 3");
    }

    #[test]
    fn a_last_port_beyond_the_last_one_is_refused() {
        let options = NativeOptions { nodes: 3, kafka_port: Some(65_535), ..Default::default() };
        assert!(matches!(Ports::take(options), Err(StackError::Port { .. })));
    }
}

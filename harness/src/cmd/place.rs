//! The stack of a run: which one, and where its parts are or shall be. Flags that every measuring subcommand has.

use std::time::Duration;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::console::Console;
use super::out::{UsageError, tell};
use super::servers::ExternalFlags;
use super::values::duration;
use crate::contender::Contender;
use crate::progress::Progress as _;
use crate::stack::{
    BrokerJit, ContainerOptions, ContainerStack, EmbeddedStack, External, NativeOptions, NativeStack,
    Replicas, Stack, StackKind,
};

/// What a run needs of a stack that is started for it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Needs {
    /// Workers are processes of their own.
    pub(super) processes: bool,
    /// Something of ours stands between the consumers and the parts.
    pub(super) proxies: bool,
    /// How native brokers compile where no flag says.
    pub(super) broker_jit: BrokerJit,
}

/// Which stack, and where.
#[derive(Args)]
#[command(next_help_heading = "On what")]
pub(super) struct PlaceFlags {
    /// Where broker, store and view come from
    #[arg(long, value_enum, default_value_t = StackKind::Embedded)]
    pub(super) stack: StackKind,
    /// Kafka brokers to start: 1 or 3 (an external stack has its own)
    #[arg(long, default_value_t = 1, value_parser = nodes)]
    nodes: u8,
    /// Replication factor of each topic [default: the nodes; external: 1]
    #[arg(long, value_parser = clap::value_parser!(i16).range(1..))]
    replication: Option<i16>,
    /// min.insync.replicas of the topic [default: one below the replicas, at least 1]
    #[arg(long, value_parser = clap::value_parser!(i16).range(1..))]
    min_isr: Option<i16>,
    /// JIT mode of the native brokers' JVM [default: early; c1 with --quick, in a gate and for limits]
    #[arg(long, value_enum)]
    broker_jit: Option<BrokerJit>,
    /// After how long without a heartbeat a native broker counts as dead, such as 3s [default: 9s, Kafka's own]
    #[arg(long, value_parser = broker_session)]
    broker_session: Option<Duration>,
    #[command(flatten)]
    addresses: Addresses,
}

/// Where things are (external), or shall be (native, containers).
#[derive(Args)]
struct Addresses {
    /// Port of the first Kafka node, native or in a container [default: a free one]
    #[arg(long)]
    kafka_port: Option<u16>,
    /// Port of PostgreSQL, native or in a container [default: a free one]
    #[arg(long)]
    postgres_port: Option<u16>,
    /// Port of Redis, native or in a container [default: a free one]
    #[arg(long)]
    redis_port: Option<u16>,
    #[command(flatten)]
    external: ExternalFlags,
}

impl Addresses {
    /// Refuses what the stack would not heed. Addresses may also come by environment, for every run of a shell, so they
    /// are no mistake on another stack.
    fn fit(&self, stack: StackKind) -> Result<(), UsageError> {
        if self.external.has_prefix() && stack != StackKind::External {
            return Err(UsageError {
                what: format!(
                    "`--prefix` is for the external stack; the {stack} one goes with all its names"
                ),
                hint: "leave `--prefix` out, or add `--stack external`".into(),
            });
        }
        let ports = [
            ("--kafka-port", self.kafka_port),
            ("--postgres-port", self.postgres_port),
            ("--redis-port", self.redis_port),
        ];
        match ports.into_iter().find(|(_, port)| port.is_some()) {
            Some((flag, _)) if !matches!(stack, StackKind::Native | StackKind::Containers) => {
                Err(UsageError {
                    what: format!(
                        "`{flag}` is for the native stack and containers; the {stack} one starts no server there"
                    ),
                    hint: format!("leave `{flag}` out, or add `--stack native`"),
                })
            }
            _ => Ok(()),
        }
    }
}

impl PlaceFlags {
    /// Refuses what the stack would not heed.
    pub(super) fn fit(&self) -> Result<(), UsageError> {
        let of_brokers = [
            ("--broker-jit", self.broker_jit.is_some()),
            ("--broker-session", self.broker_session.is_some()),
        ];
        if let Some((flag, _)) = of_brokers.into_iter().find(|(_, is_given)| *is_given)
            && self.stack != StackKind::Native
        {
            return Err(UsageError {
                what: format!(
                    "`{flag}` is for the native stack; the {} one starts no JVM of ours",
                    self.stack
                ),
                hint: format!("leave `{flag}` out, or add `--stack native`"),
            });
        }
        self.addresses.fit(self.stack)
    }

    /// Brokers of a stack that is started here.
    pub(super) fn nodes(&self) -> u32 {
        self.nodes.into()
    }

    /// Replicas of each partition, and `min.insync.replicas`.
    pub(super) fn replicas(&self) -> Result<(i16, i16), UsageError> {
        self.replicas_of(self.replication)
    }

    /// The same for so many replicas.
    pub(super) fn replicas_of(&self, replication: Option<i16>) -> Result<(i16, i16), UsageError> {
        let nodes = i16::from(self.nodes);
        let external = self.stack == StackKind::External;
        let replication = replication.unwrap_or(if external { 1 } else { nodes });
        if !external && replication > nodes {
            return Err(UsageError {
                what: format!("{replication} replicas need {replication} nodes; the stack has {nodes}"),
                hint: "raise `--nodes` or lower `--replication`".into(),
            });
        }
        let min_isr = self.min_isr.unwrap_or((replication - 1).max(1));
        if min_isr > replication {
            return Err(UsageError {
                what: format!("{min_isr} replicas in sync can't be had from {replication}"),
                hint: "lower `--min-isr` or raise `--replication`".into(),
            });
        }
        Ok((replication, min_isr))
    }

    /// The external stack, if that is asked for, with as many replicas as any contender wants.
    pub(super) fn external(&self, contenders: &[Contender]) -> Result<Option<External>, UsageError> {
        if self.stack != StackKind::External {
            return Ok(None);
        }
        let most = contenders.iter().max_by_key(|contender| contender.replication);
        let (replication, min_isr) =
            self.replicas_of(most.map(|contender| contender.replication).or(self.replication))?;
        Ok(Some(self.addresses.external.external(Replicas { replication, min_isr })?))
    }

    /// Starts it, or looks whether it is there. `None` if it was interrupted meanwhile, which is told.
    pub(super) async fn start(
        &self,
        external: Option<External>,
        needs: Needs,
        console: &Console,
        cancel: &CancellationToken,
    ) -> anyhow::Result<Option<Stack>> {
        match self.started(external, needs, console, cancel).await {
            Err(error) if cancel.is_cancelled() => {
                tracing::debug!(%error, "interrupted while the stack started");
                tell("interrupted; everything is stopped");
                Ok(None)
            }
            started => started.map(Some),
        }
    }

    async fn started(
        &self,
        external: Option<External>,
        needs: Needs,
        console: &Console,
        cancel: &CancellationToken,
    ) -> anyhow::Result<Stack> {
        if let Some(external) = external {
            console.phase("looking for the external stack");
            return Ok(external.check(cancel).await?.into());
        }
        let tell = |step: crate::stack::Progress| console.phase(&step.to_string());
        if self.stack == StackKind::Embedded {
            console.phase("starting the embedded stack");
            let nodes = self.nodes.into();
            return Ok(if needs.processes {
                EmbeddedStack::start_for_processes(nodes, &tell).await?.into()
            } else {
                EmbeddedStack::start(nodes, &tell).await?.into()
            });
        }
        let Addresses { kafka_port, postgres_port, redis_port, .. } = self.addresses;
        let nodes = self.nodes.into();
        if self.stack == StackKind::Containers {
            let options = ContainerOptions {
                nodes,
                kafka_port,
                postgres_port,
                redis_port,
                ..ContainerOptions::default()
            };
            return Ok(ContainerStack::start(options, &tell, cancel.clone()).await?.into());
        }
        let options = NativeOptions {
            nodes,
            kafka_port,
            postgres_port,
            redis_port,
            broker_jit: self.broker_jit.unwrap_or(needs.broker_jit),
            proxies: needs.proxies,
            broker_session: self.broker_session,
            ..NativeOptions::default()
        };
        Ok(NativeStack::start(options, &tell, cancel.clone()).await?.into())
    }
}

fn broker_session(text: &str) -> Result<Duration, String> {
    let session = duration(text)?;
    let (shortest, longest) = (Duration::from_secs(1), Duration::from_secs(60));
    if (shortest..=longest).contains(&session) {
        Ok(session)
    } else {
        Err("a session lasts 1s to 60s".into())
    }
}

fn nodes(text: &str) -> Result<u8, String> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        _ => Err("a cluster has 1 node or 3".into()),
    }
}

//! `lanebench compare`: the main job.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;

use super::console::Console;
use super::exit::Exit;
use super::out::{Format, UsageError, print, tell};
use crate::record::file::create_output_dir;
use crate::report;
use crate::scenario::Progress as _;
use crate::scenario::compare::{self, Ended, Setup};
use crate::scenario::options::{Inject, Key, Lanes, Options, Throttle};
use crate::scenario::rates::Sizes;
use crate::stack::{
    EmbeddedStack, Endpoints, External, NativeOptions, NativeStack, Stack, StackError, StackKind, redact,
};
use crate::workload::{Arrivals, Keys};

/// Modelled call an event on the embedded stack, whose store costs next to nothing to write.
const SERVICE_TIME: Duration = Duration::from_millis(2);

const EXAMPLES: &str = "\
Examples:
  lanebench compare                             a demonstration; needs nothing
  lanebench compare --stack native --nodes 3    real Kafka, PostgreSQL, Redis
  lanebench compare --stack external            yours, by the three variables
                                                LANEBENCH_BOOTSTRAP, …_DATABASE_URL
                                                and …_REDIS_URL
  lanebench compare --configs 1p1c,3p1c,3p3c    the first is the baseline
  lanebench compare --keys hot:0.5              half of the events: one order
  lanebench compare --inject loss               a negative control: exit code 3
  lanebench compare --format json | jq .passed  data on stdout";

/// Flags of `compare`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct CompareArgs {
    /// Where broker, store and view come from
    #[arg(long, value_enum, default_value_t = StackKind::Embedded)]
    stack: StackKind,
    /// Broker nodes that the embedded or native stack starts: 1 or 3
    #[arg(long, default_value_t = 1, value_parser = nodes)]
    nodes: u8,
    /// Replicas of each partition [default: the nodes, at most 3]
    #[arg(long, value_parser = clap::value_parser!(i16).range(1..))]
    replication: Option<i16>,
    /// min.insync.replicas of the topic [default: one below the replicas, at least 1]
    #[arg(long, value_parser = clap::value_parser!(i16).range(1..))]
    min_isr: Option<i16>,
    /// What is compared, the baseline first; 3p1c is three partitions and one consumer
    #[arg(long, value_delimiter = ',', default_value = "1p1c,3p3c")]
    configs: Vec<Lanes>,
    /// How a consumer works through its events
    #[arg(long, value_enum, default_value_t = Mode::Record)]
    mode: Mode,
    /// Rounds; each has one trial of each configuration, in random order
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Seed of everything drawn: keys, gaps, the order of trials
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Rate of the steady phase in events/s [default: 0.6 × the slowest drain]
    #[arg(long, value_parser = rate)]
    rate: Option<f64>,
    /// Length of the steady phase at least, such as 5s; longer where 3,000 events need it
    #[arg(long, default_value = "3s", value_parser = duration)]
    duration: Duration,
    /// When events are due: constant or poisson
    #[arg(long, default_value_t = Arrivals::Poisson)]
    arrivals: Arrivals,
    /// How orders are drawn: uniform, zipf:S or hot:SHARE
    #[arg(long, default_value = "uniform")]
    keys: Keys,
    /// The message key; `none` is a negative control
    #[arg(long, value_enum, default_value_t = Key::OrderId)]
    key: Key,
    /// Orders of a phase [default: events ÷ events-per-order]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    orders: Option<u32>,
    /// Mean events an order
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    events_per_order: u32,
    /// Events of the drain's backlog [default: sized in the warm-up]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=2_000_000))]
    drain_events: Option<u64>,
    /// Modelled downstream call an event, such as 2ms [default: 2ms on the embedded stack, else none]
    #[arg(long, value_parser = duration)]
    service_time: Option<Duration>,
    /// Leave the surge out
    #[arg(long)]
    no_surge: bool,
    /// Break something on purpose, to see the checker find it
    #[arg(long, value_enum)]
    inject: Option<Inject>,
    /// Slow something down on purpose, to see the bottleneck's name change
    #[arg(long, value_enum)]
    throttle: Option<Throttle>,
    /// Directory for the report [default: reports/, named by the time in UTC and the command]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Leave topics, tables and keys on the stack; the tables then hold the last trial's rows
    #[arg(long)]
    keep: bool,
    /// What is printed on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// No progress on stderr
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    addresses: Addresses,
}

/// Where things are (external), or shall be (native).
#[derive(Args)]
struct Addresses {
    /// Port of the first Kafka node of the native stack [default: a free one]
    #[arg(long)]
    kafka_port: Option<u16>,
    /// Port of PostgreSQL of the native stack [default: a free one]
    #[arg(long)]
    postgres_port: Option<u16>,
    /// Port of Redis of the native stack [default: a free one]
    #[arg(long)]
    redis_port: Option<u16>,
    /// Brokers of the external stack, such as 10.0.0.1:9092,10.0.0.2:9092
    #[arg(long, env = "LANEBENCH_BOOTSTRAP", value_delimiter = ',')]
    bootstrap: Vec<String>,
    /// PostgreSQL of the external stack; prefer the environment, which keeps a password out of `ps`
    #[arg(long, env = "LANEBENCH_DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// Redis of the external stack
    #[arg(long, env = "LANEBENCH_REDIS_URL", hide_env_values = true)]
    redis_url: Option<String>,
}

impl Addresses {
    /// Refuses what the stack would not heed. Addresses may also come by environment, for every run of a shell, so they
    /// are no mistake on another stack.
    fn fit(&self, stack: StackKind) -> Result<(), UsageError> {
        let ports = [
            ("--kafka-port", self.kafka_port),
            ("--postgres-port", self.postgres_port),
            ("--redis-port", self.redis_port),
        ];
        match ports.into_iter().find(|(_, port)| port.is_some()) {
            Some((flag, _)) if stack != StackKind::Native => Err(UsageError {
                what: format!("`{flag}` is for the native stack; the {stack} one starts no server there"),
                hint: format!("leave `{flag}` out, or add `--stack native`"),
            }),
            _ => Ok(()),
        }
    }
}

/// How a consumer works through its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// One event at a time.
    Record,
}

fn nodes(text: &str) -> Result<u8, String> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        _ => Err("a cluster has 1 node or 3".into()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| format!("`{text}` is not a number of events/s"))?;
    if rate.is_finite() && rate > 0.0 && rate <= 1e6 {
        Ok(rate)
    } else {
        Err("a rate is above 0 and at most 1,000,000 events/s".into())
    }
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let parsed: jiff::SignedDuration =
        text.parse().map_err(|_| format!("`{text}` is not a duration; write it like 5s, 2ms or 1m"))?;
    Duration::try_from(parsed).map_err(|_| "a duration is not negative".into())
}

impl CompareArgs {
    fn options(&self) -> Result<Options, UsageError> {
        let nodes = i16::from(self.nodes);
        let external = self.stack == StackKind::External;
        let replication = self.replication.unwrap_or(if external { 1 } else { nodes });
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
        let mut seen = std::collections::BTreeSet::new();
        if let Some(twice) = self.configs.iter().find(|lanes| !seen.insert(**lanes)) {
            return Err(UsageError {
                what: format!("{twice} is named twice in `--configs`"),
                hint: "name each configuration once; more rounds give more trials".into(),
            });
        }
        if self.throttle == Some(Throttle::Store) && self.stack != StackKind::Native {
            return Err(UsageError {
                what: "`--throttle store` stops PostgreSQL's processes, and this stack has none of ours"
                    .into(),
                hint: "use it with `--stack native`".into(),
            });
        }
        self.addresses.fit(self.stack)?;
        let embedded = self.stack == StackKind::Embedded;
        let service_time = self.service_time.unwrap_or(if embedded { SERVICE_TIME } else { Duration::ZERO });
        Ok(Options {
            configs: self.configs.clone(),
            rounds: self.rounds,
            seed: self.seed,
            key: self.key,
            keys: self.keys,
            orders: self.orders,
            events_per_order: self.events_per_order,
            arrivals: self.arrivals,
            rate_per_s: self.rate,
            duration: self.duration.max(Duration::from_secs(1)),
            surge: !self.no_surge,
            service_time,
            sizes: if embedded { Sizes::DEMONSTRATION } else { Sizes::MEASUREMENT },
            control: embedded && !service_time.is_zero(),
            replication,
            min_isr,
            inject: self.inject,
            throttle: self.throttle,
            drain_events: self.drain_events,
            keep: self.keep,
        })
    }
}

/// Runs it; the exit code says whether every check of truth held.
///
/// # Errors
/// What keeps it from running, with a hint where there is one.
pub async fn run(args: CompareArgs, cancel: CancellationToken) -> anyhow::Result<Exit> {
    let options = args.options()?;
    let external = args.external()?;
    // Before minutes of work: can the report be written at all?
    let out = create_output_dir(args.out.clone(), "compare")?;
    let console = Console::new(args.quiet);
    let stack = match start(&args, external, &console, &cancel).await {
        Err(error) if cancel.is_cancelled() => {
            tracing::debug!(%error, "interrupted while the stack started");
            tell("interrupted; everything is stopped");
            return Ok(Exit::Interrupted);
        }
        started => started?,
    };
    let setup = Setup { options: &options, stack: &stack, command_line: command_line(), out: &out };
    let ended = compare::run(setup, &console, &cancel).await;
    console.phase("stopping");
    stack.stop().await;
    let Ended { result, interrupted } = ended?;
    let Some(result) = result else {
        drop(console);
        tell("interrupted before a trial was finished; everything is stopped");
        return Ok(Exit::Interrupted);
    };
    console.phase("writing the report");
    report::render(&result, out.path()).context("the report could not be written")?;
    drop(console);
    print(&args.format.run(&result, &out.file("index.html"))?)?;
    if interrupted {
        tell(&format!("interrupted; the finished trials are in {}", out.path().display()));
        return Ok(Exit::Interrupted);
    }
    Ok(if result.passed { Exit::Held } else { Exit::TruthFailed })
}

impl CompareArgs {
    /// The addresses of the external stack, if that is asked for.
    fn external(&self) -> Result<Option<Endpoints>, UsageError> {
        if self.stack != StackKind::External {
            return Ok(None);
        }
        let missing = |flag: &str, variable: &str| UsageError {
            what: format!("the external stack needs {flag}"),
            hint: format!("give it, or set {variable}; `lanebench stack up` prints all three variables"),
        };
        let at = &self.addresses;
        if at.bootstrap.is_empty() {
            return Err(missing("--bootstrap", "LANEBENCH_BOOTSTRAP"));
        }
        Ok(Some(Endpoints {
            bootstrap: at.bootstrap.clone(),
            database_url: at
                .database_url
                .clone()
                .ok_or_else(|| missing("--database-url", "LANEBENCH_DATABASE_URL"))?,
            redis_url: at.redis_url.clone().ok_or_else(|| missing("--redis-url", "LANEBENCH_REDIS_URL"))?,
        }))
    }
}

async fn start(
    args: &CompareArgs,
    external: Option<Endpoints>,
    console: &Console,
    cancel: &CancellationToken,
) -> anyhow::Result<Stack> {
    if let Some(endpoints) = external {
        console.phase("looking for the external stack");
        let checked = cancel.run_until_cancelled(External::new(endpoints).check()).await;
        return Ok(checked.ok_or(StackError::Interrupted)??.into());
    }
    let tell = |step: crate::stack::Progress| console.phase(&step.to_string());
    if args.stack == StackKind::Embedded {
        console.phase("starting the embedded stack");
        return Ok(EmbeddedStack::start(args.nodes.into(), &tell).await?.into());
    }
    let options = NativeOptions {
        nodes: args.nodes.into(),
        kafka_port: args.addresses.kafka_port,
        postgres_port: args.addresses.postgres_port,
        redis_port: args.addresses.redis_port,
        ..NativeOptions::default()
    };
    Ok(NativeStack::start(options, &tell, cancel.clone()).await?.into())
}

/// The command line that repeats this run. Secrets come by environment or are left out.
fn command_line() -> String {
    let mut words = vec!["lanebench".to_owned()];
    let mut secret = false;
    for word in std::env::args().skip(1) {
        let hidden = std::mem::replace(&mut secret, word == "--database-url" || word == "--redis-url");
        words.push(match word.split_once('=') {
            Some((flag @ ("--database-url" | "--redis-url"), url)) => format!("{flag}={}", redact(url)),
            _ if hidden => redact(&word),
            _ => word,
        });
    }
    words.join(" ")
}

//! `lanebench worker`: the consumers in a process of their own, as a service would run them.

use std::io::BufRead as _;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use payment_delivery::consumer::{Mode, ServiceTime};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::exit::Exit;
use super::interrupt;
use super::logs::LogFlags;
use super::out::{UsageError, tell};
use super::secret::Secret;
use super::servers::ServerFlags;
use super::values::{ReaderFlag, interval, service_time};
use crate::worker::handicap::Handicap;
use crate::worker::{self, ConsumerRuntime, Database, Settings};

const EXAMPLES: &str = "\
It stops at Ctrl-C or SIGTERM: what is in hand is finished and committed, the group
left, and the exit code is 0. A second Ctrl-C ends it at once (130). Topic and tables
must be there before it. Any number of such processes share the topic's partitions.

Examples:
  lanebench stack up                            prints the addresses, to be exported
  lanebench worker --topic pay --group deliver  reads them from the environment";

/// Read a topic as members of a consumer group, and write each event's row and status, until Ctrl-C or SIGTERM.
///
/// Then it finishes the messages in hand, commits, leaves the group, and exits with 0; a second Ctrl-C ends it at once.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct WorkerArgs {
    /// Brokers, such as 10.0.0.1:9092,10.0.0.2:9092
    #[arg(long, env = "LANEBENCH_BOOTSTRAP", value_delimiter = ',')]
    bootstrap: Vec<String>,
    /// The topic to read
    #[arg(long, env = "LANEBENCH_TOPIC")]
    topic: Option<String>,
    /// The consumer group to join
    #[arg(long, env = "LANEBENCH_GROUP")]
    group: Option<String>,
    /// Consumers of this process: consumer-0, consumer-1 and so on
    #[arg(long, env = "LANEBENCH_CONSUMERS", default_value = "1")]
    consumers: NonZeroU16,
    /// How each consumer works through its events: record (one at a time), batch (what is at hand, in one transaction) or keyed64 (64 orders at once)
    #[arg(long, env = "LANEBENCH_MODE", default_value_t)]
    mode: Mode,
    #[command(flatten)]
    servers: ServerFlags,
    #[command(flatten)]
    pub(super) logs: LogFlags,
    /// PostgreSQL schema of the tables [default: payment_delivery]
    #[arg(long, env = "LANEBENCH_SCHEMA")]
    schema: Option<String>,
    /// What the statuses' keys begin with
    #[arg(long, env = "LANEBENCH_KEY_PREFIX", default_value = "")]
    key_prefix: String,
    /// Modelled downstream call an event, such as 2ms, or 0-5ms: each event's own, drawn uniformly
    #[arg(long, env = "LANEBENCH_SERVICE_TIME", default_value = "0s", value_parser = service_time)]
    service_time: ServiceTime,
    /// At most one commit of each consumer in this time
    #[arg(long, env = "LANEBENCH_COMMIT_INTERVAL", default_value = "100ms", value_parser = interval)]
    commit_interval: Duration,
    /// Who reads the topic
    #[arg(long, env = "LANEBENCH_READER", value_enum, default_value_t = ReaderFlag::Rskafka)]
    reader: ReaderFlag,
    /// A new file for a record of each gate that an event passes
    #[arg(long, env = "LANEBENCH_RUN_FILE")]
    run_file: Option<PathBuf>,
    /// Join, but fetch nothing before a line comes on stdin; stop when stdin ends
    #[arg(long)]
    hold: bool,
    /// Make it worse on purpose; see the documentation of `worker::handicap`.
    #[arg(long, value_delimiter = ',', hide = true)]
    handicap: Vec<Handicap>,
    /// Append which events had a planted fault to this file, a line of JSON each
    #[arg(long, hide = true)]
    planted: Option<PathBuf>,
}

impl WorkerArgs {
    fn settings(self) -> Result<Settings, UsageError> {
        let (database, redis) = (self.servers.database()?, self.servers.redis()?);
        let Self { bootstrap, topic, group, .. } = self;
        let missing = [
            ("--bootstrap", "LANEBENCH_BOOTSTRAP", bootstrap.is_empty()),
            ("--topic", "LANEBENCH_TOPIC", topic.is_none()),
            ("--group", "LANEBENCH_GROUP", group.is_none()),
            ("--database-url", "LANEBENCH_DATABASE_URL", database.is_none()),
            ("--redis-url", "LANEBENCH_REDIS_URL", redis.is_none()),
        ];
        let missing: Vec<_> = missing.into_iter().filter(|(.., missing)| *missing).collect();
        if !missing.is_empty() {
            let flags: Vec<_> = missing.iter().map(|(flag, ..)| *flag).collect();
            let variables: Vec<_> = missing.iter().map(|(_, variable, _)| *variable).collect();
            return Err(UsageError {
                what: format!("a worker needs {}", flags.join(", ")),
                hint: format!(
                    "give them, or set {}; `lanebench stack up` prints the addresses of a local stack",
                    variables.join(", ")
                ),
            });
        }
        let database = database.as_ref().map_or("", Secret::expose);
        let database = Database::new(database, self.schema.as_deref());
        Ok(Settings {
            bootstrap,
            topic: topic.unwrap_or_default(),
            group: group.unwrap_or_default(),
            consumers: self.consumers,
            mode: self.mode,
            database: database.map_err(|error| UsageError {
                what: error.to_string(),
                hint: "give --database-url, or LANEBENCH_DATABASE_URL, one of the two".into(),
            })?,
            redis: redis.unwrap_or_else(|| "".into()),
            key_prefix: self.key_prefix,
            service_time: self.service_time,
            commit_interval: self.commit_interval,
            reader: self.reader.into(),
            run_file: self.run_file,
            handicaps: self.handicap,
            planted: self.planted,
        })
    }
}

/// Runs until `cancel`; the exit code is 0 if it worked until it was told to stop.
///
/// # Errors
/// [`worker::ProcessError`], whose `hint` says what to do, or bad usage.
pub async fn run(args: WorkerArgs, cancel: CancellationToken) -> anyhow::Result<Exit> {
    let hold = args.hold;
    let settings = args.settings()?;
    for handicap in &settings.handicaps {
        tell(&format!("handicapped on purpose: {handicap}"));
    }
    let Settings { consumers, topic, group, .. } = &settings;
    let noun = if consumers.get() == 1 { "consumer" } else { "consumers" };
    tell(&format!("{consumers} {noun} of group {group} on topic {topic}; Ctrl-C stops"));
    let (gate, opened) = watch::channel(!hold);
    if hold {
        on_stdin(gate.clone(), cancel.clone())?;
    }
    let runtime = ConsumerRuntime::start().context("the consumers' threads could not be started")?;
    let work = runtime.handle().spawn(worker::run(settings, opened, cancel.clone()));
    tokio::select! {
        ended = work => ended.context("the worker panicked")??,
        pressed = interrupt::again(&cancel) => {
            pressed?;
            tell("interrupted again: ended at once, nothing committed");
            return Ok(Exit::Interrupted);
        }
    }
    Ok(Exit::Held)
}

/// Opens the gate at the first line of stdin, and stops the worker at its end: whoever holds a worker and dies must not
/// leave it working.
fn on_stdin(gate: watch::Sender<bool>, cancel: CancellationToken) -> anyhow::Result<()> {
    // A thread that is never waited for: a read of stdin can't be given up, and the runtime would wait for its own.
    std::thread::Builder::new()
        .name("stdin".into())
        .spawn(move || {
            for line in std::io::stdin().lock().lines() {
                if line.is_err() {
                    break;
                }
                gate.send_replace(true);
            }
            cancel.cancel();
        })
        .context("no thread to read stdin")?;
    Ok(())
}

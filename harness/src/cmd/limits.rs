//! `lanebench limits`: what each component of a stack can do alone.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio_util::sync::CancellationToken;

use super::console::Console;
use super::exit::Exit;
use super::out::OutputFlags;
use super::place::{Needs, PlaceFlags};
use super::shown::{Shown, end};
use super::values::{command_line, duration};
use crate::job::environment::environment;
use crate::job::limits::{self, LimitsOptions, Setup};
use crate::record::file::{FileError, OutputDir, create_output_dir};
use crate::record::limits::LimitsRecord;
use crate::report::{self, ReportError};
use crate::stack::BrokerJit;

const EXAMPLES: &str = "\
Examples:
  lanebench limits                              a demonstration; needs nothing
  lanebench limits --stack native --nodes 3     real Kafka, PostgreSQL, Redis
  lanebench limits --rounds 1 --duration 200ms  a quick look, no intervals
  lanebench limits --format json | jq '.limits[].estimate.value'

One consumer in record mode meets store_1, several meet store_N; one in batch or
keyed mode meets store_bulk, which counts rows: a row may hold several events.";

/// Flags of `limits`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
#[command(next_help_heading = "What to measure")]
pub struct LimitsArgs {
    /// Rounds; each makes every measurement once, in random order; one before them is not counted
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Length of each measurement, such as 1s; a quarter of it is added before it, as warm-up
    #[arg(long, default_value = "1s", value_parser = length)]
    duration: Duration,
    /// Connections of store_N and view_N, and partitions of produce_N and fetch_N
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(2..=32))]
    connections: u32,
    /// Seed of events, and of the order of measurements
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    place: PlaceFlags,
    #[command(flatten)]
    output: OutputFlags,
}

/// The length of a measurement. A broker keeps all that is produced in one, so it is bounded.
fn length(text: &str) -> Result<Duration, String> {
    let length = duration(text)?;
    let (shortest, longest) = (Duration::from_millis(20), Duration::from_secs(10));
    if (shortest..=longest).contains(&length) {
        Ok(length)
    } else {
        Err("a measurement lasts 20ms to 10s".into())
    }
}

impl LimitsArgs {
    fn options(&self) -> anyhow::Result<LimitsOptions> {
        let (replication, min_isr) = self.place.replicas()?;
        self.place.fit()?;
        Ok(LimitsOptions {
            rounds: self.rounds,
            duration: self.duration,
            connections: self.connections,
            seed: self.seed,
            replication,
            min_isr,
        })
    }
}

/// Runs it.
///
/// # Errors
/// What keeps it from running, with a hint where there is one.
pub async fn run(args: LimitsArgs, cancel: CancellationToken) -> anyhow::Result<Exit> {
    let options = args.options()?;
    let external = args.place.external(&[])?;
    // Before a minute of work: can the record be written at all?
    let out = create_output_dir(args.output.out.clone(), "limits")?;
    let console = Console::new(args.output.quiet);
    // Before any load of ours.
    let environment = environment().context("the machine could not be looked at")?;
    // Settled within seconds, and with the throughput of warm brokers; no response time is measured.
    let needs = Needs { broker_jit: BrokerJit::C1, ..Needs::default() };
    let Some(stack) = args.place.start(external, needs, &console, &cancel).await? else {
        return Ok(Exit::Interrupted);
    };
    let setup =
        Setup { options: &options, stack: &stack, environment, command_line: command_line(), out: &out };
    let ended = limits::run(setup, &console, &cancel).await;
    end(ended, "round", stack, &out, &args.output, console).await
}

impl Shown for LimitsRecord {
    fn save(&self, out: &OutputDir) -> Result<(), FileError> {
        out.save_limits(self).map(drop)
    }

    fn render(&self, directory: &Path) -> Result<PathBuf, ReportError> {
        report::limits::render(self, directory)
    }

    fn text(&self, file: &Path) -> String {
        report::limits::text(self, Some(file))
    }

    fn markdown(&self) -> String {
        report::limits::markdown(self)
    }

    /// No limit is good or bad.
    fn exit(&self) -> Exit {
        Exit::Held
    }
}

//! `lanebench selftest`: whether the instrument can be believed on this machine.

use std::fmt::Write as _;

use anyhow::Context;
use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;

use super::console::Console;
use super::exit::Exit;
use super::out::{OUTPUT, UsageError, print, tell};
use super::place::{Needs, PlaceFlags};
use crate::job::selftest::{
    self, COVERAGE_MIN, CostPair, FaultVerdict, MEDIAN_WITHIN_MS, Planting, SLOPE_WITHIN, SelftestOptions,
    SelftestReport, ServiceTimes, TAIL_WITHIN_MS,
};
use crate::progress::Progress as _;
use crate::stack::{BrokerJit, StackKind};

const EXAMPLES: &str = "\
A worker with a bug is measured, and the report must name what the bug did: by kind,
order, revision, partition and offset. A worker without one must have no finding.
And response times that are known beforehand, event by event, must be measured so.

Examples:
  lanebench selftest                             both; needs nothing
  lanebench selftest --only clock
  lanebench selftest --only dose                 time added at one stage comes out there
  lanebench selftest --stack native --nodes 3    on real Kafka, PostgreSQL, Redis
  lanebench selftest --faults twice,skip --times 3

Exit codes: 0 all was found, and nothing else; 3 something was not.";

/// Test the harness itself: are planted faults named, and is the clock right?
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct SelftestArgs {
    /// Which faults [default: all]
    #[arg(long, value_delimiter = ',')]
    faults: Vec<Planting>,
    /// How often each is planted, measured from inside and from outside each time
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=100))]
    times: u32,
    /// Trials without a fault, which must have no finding
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    clean: u32,
    /// What is tested [default: truth and clock]
    #[arg(long, value_enum)]
    only: Option<Only>,
    /// Rounds of `--only dose`, of two minutes each
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Also pairs of drains with and without the database's count of writes, to see what it costs
    #[arg(long, value_name = "PAIRS", default_value_t = 0, hide = true)]
    cost: u32,
    /// By so much consumers take longer than they say, such as 5%: the clock's test must fail
    #[arg(long, value_parser = percent, default_value = "0%", hide = true)]
    service_slower: f64,
    /// Take response times from the send on: the clock's test must fail
    #[arg(long, hide = true)]
    clock_from_send: bool,
    /// Seed of everything drawn
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    place: PlaceFlags,
    /// What is printed on stdout
    #[arg(long, value_enum, default_value_t = SelftestFormat::Text, help_heading = OUTPUT)]
    format: SelftestFormat,
    /// No progress on stderr
    #[arg(long, short, help_heading = OUTPUT)]
    quiet: bool,
}

/// What is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Only {
    /// The checks of truth, by planted faults.
    Truth,
    /// The clock, by response times that are known beforehand.
    Clock,
    /// The stages, by time that is added at one of them; on the embedded stack
    Dose,
}

fn percent(text: &str) -> Result<f64, String> {
    let percent: Option<f64> = text.strip_suffix('%').and_then(|number| number.parse().ok());
    let percent = percent.filter(|percent| (0.0..=100.0).contains(percent));
    percent.map(|percent| percent / 100.0).ok_or_else(|| format!("`{text}` is not a part; write it like 5%"))
}

/// What is printed on stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SelftestFormat {
    /// A table to read.
    Text,
    /// Each trial.
    Json,
}

/// Runs it; the exit code says whether all was found.
///
/// # Errors
/// What keeps it from running, with a hint where there is one.
pub async fn run(args: SelftestArgs, cancel: CancellationToken) -> anyhow::Result<Exit> {
    args.place.fit()?;
    if args.only == Some(Only::Dose) && args.place.stack != StackKind::Embedded {
        return Err(UsageError {
            what: "`--only dose` holds back answers of the broker, which only the embedded one does".into(),
            hint: "leave `--stack` out".into(),
        }
        .into());
    }
    let truth = args.only.is_none_or(|only| only == Only::Truth);
    let options = SelftestOptions {
        program: std::env::current_exe().context("this program's own file can't be found")?,
        plantings: if args.faults.is_empty() { Planting::all() } else { args.faults.clone() },
        times: if truth { args.times } else { 0 },
        clean: if truth { args.clean } else { 0 },
        clock: args.only.is_none_or(|only| only == Only::Clock),
        dose_rounds: if args.only == Some(Only::Dose) { args.rounds } else { 0 },
        cost: args.cost,
        service_slower_by: args.service_slower,
        clock_from_send: args.clock_from_send,
        replicas: args.place.replicas()?,
        seed: args.seed,
    };
    let external = args.place.external(&[])?;
    let console = Console::new(args.quiet);
    let needs = Needs { processes: true, broker_jit: BrokerJit::C1, ..Needs::default() };
    let Some(stack) = args.place.start(external, needs, &console, &cancel).await? else {
        return Ok(Exit::Interrupted);
    };
    let tested = Box::pin(selftest::run(&options, &stack, &console, &cancel)).await;
    console.phase("stopping");
    stack.stop().await;
    drop(console);
    let report = match tested {
        Err(_) if cancel.is_cancelled() => {
            tell("interrupted; everything is stopped");
            return Ok(Exit::Interrupted);
        }
        tested => tested?,
    };
    match args.format {
        SelftestFormat::Text => print(&text(&report))?,
        SelftestFormat::Json => print(&serde_json::to_string_pretty(&report).context("the report as JSON")?)?,
    }
    Ok(if report.passed() { Exit::Held } else { Exit::TruthFailed })
}

fn text(report: &SelftestReport) -> String {
    let mut text = String::new();
    if !report.faults.is_empty() || !report.clean.is_empty() {
        truth(report, &mut text);
    }
    if !report.clock.is_empty() {
        clock(report, &mut text);
    }
    if !report.responses.is_empty() {
        doses(report, &mut text);
    }
    for CostPair { config, counted, uncounted } in &report.cost {
        let (with, without) = (counted.throughput_per_s, uncounted.throughput_per_s);
        let _ = writeln!(text, "{config}: {with:.0} events/s with writes counted, {without:.0} without");
    }
    text
}

fn clock(report: &SelftestReport, text: &mut String) {
    let _ = writeln!(
        text,
        "\nResponse times on the {} stack beside those known beforehand (Lindley's recursion), in ms. The median of measured − predicted\n\
         may differ from its value near zero load by {MEDIAN_WITHIN_MS}, the tail of a frozen sender by {TAIL_WITHIN_MS}.\n",
        report.stack
    );
    let _ = writeln!(
        text,
        "{:>5} {:>6} {:<12} {:>7} {:>9} {:>10} {:>9} {:>11} {:>9} {:>10}",
        "lanes",
        "busy",
        "service",
        "events",
        "measured",
        "predicted",
        "in theory",
        "difference",
        "p99",
        "predicted"
    );
    for case in &report.clock {
        let service = match (case.service, case.frozen) {
            (ServiceTimes::Fixed, false) => "fixed",
            (ServiceTimes::Exponential, _) => "exponential",
            (ServiceTimes::Fixed, true) => "fixed*",
        };
        let _ = writeln!(
            text,
            "{:>5} {:>6} {service:<12} {:>7} {:>9.2} {:>10.2} {:>9.2} {:>11.2} {:>9.1} {:>10.1}  {}",
            case.lanes,
            case.utilisation,
            case.events,
            case.mean_measured_ms,
            case.mean_predicted_ms,
            case.mean_in_theory_ms,
            case.median_difference_ms,
            case.p99_measured_ms,
            case.p99_predicted_ms,
            match (&case.wrong, case.tries) {
                (Some(wrong), tries) => format!("WRONG, {tries} of {tries}: {wrong}"),
                (None, 1) => "as predicted".into(),
                (None, tries) => format!("as predicted, 1 of {tries}"),
            }
        );
    }
    if let Some(case) = report.clock.iter().find(|case| case.frozen) {
        let _ = writeln!(
            text,
            "\n* the sender was frozen for a second: a clock started at the send would say a p99 of {:.1} ms.",
            case.p99_from_send_ms
        );
    }
}

fn doses(report: &SelftestReport, text: &mut String) {
    let _ = writeln!(
        text,
        "Time that was added at one place, and where it came out. The slope of measured over added is 1, but for {SLOPE_WITHIN}; at least {:.0} % of\n\
         the intervals hold what was added; commits that are held back show in the lag.\n",
        COVERAGE_MIN * 100.0
    );
    for response in &report.responses {
        let place = format!("{:?}", response.place).to_lowercase();
        let _ = match response.slope {
            Some(slope) => writeln!(
                text,
                "{place:>8}  slope {slope:.3}, most at {}, {} of {} intervals",
                format!("{:?}", response.attributed_to).to_lowercase(),
                response.covered,
                response.intervals
            ),
            None => writeln!(text, "{place:>8}  lag in records: {:.1?}", response.lag_records),
        };
    }
}

fn truth(report: &SelftestReport, text: &mut String) {
    let _ = writeln!(
        text,
        "Faults planted into a worker on the {} stack, and whether each was named.\n",
        report.stack
    );
    for trial in &report.faults {
        let verdict = match trial.verdict {
            FaultVerdict::Named => "named",
            FaultVerdict::Missed => "MISSED",
            FaultVerdict::NothingPlanted => "NOTHING PLANTED",
        };
        let _ = writeln!(
            text,
            "{:<13} from {:<8} {:>2} of {:>2} as `{}`  {verdict}",
            trial.fault, trial.measured_from, trial.named, trial.planted, trial.kind
        );
        for missed in &trial.missed {
            let _ = writeln!(text, "    not named: {missed}");
        }
    }
    let found = report.clean.iter().filter(|findings| !findings.is_empty()).count();
    let _ = writeln!(text, "\n{found} of {} trials without a fault had a finding.", report.clean.len());
    for finding in report.clean.iter().flatten() {
        let _ = writeln!(text, "    {finding}");
    }
}

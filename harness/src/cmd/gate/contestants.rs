//! The two sides of a gate, from flags to commands.

use std::path::Path;

use payment_delivery::consumer::Mode;
use payment_delivery::redact::redact_all;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use super::GateArgs;
use super::revision::Revision;
use crate::cmd::console::Console;
use crate::cmd::out::UsageError;
use crate::cmd::values::foreign_worker;
use crate::job::environment;
use crate::job::gate::GateSide;
use crate::record::gate::Side;
use crate::stack::worker::WorkerCommand;

/// Baseline and candidate. A baseline that is a git ref is built here, if it was not before.
///
/// # Errors
/// A command or program that can't be one, a ref that is none, a build that fails.
pub(super) async fn both(
    args: &GateArgs,
    console: &Console,
    cancel: &CancellationToken,
) -> anyhow::Result<[GateSide; 2]> {
    let mut baseline = baseline(args, console, cancel).await?;
    let mut candidate = candidate(args)?;
    // One instrument for both: a worker that tells of each gate beside one that doesn't would be measured otherwise.
    if !(baseline.worker.reports() && candidate.worker.reports()) {
        for side in [&mut baseline, &mut candidate] {
            side.worker = side.worker.from_outside();
        }
    }
    Ok([baseline, candidate])
}

async fn baseline(
    args: &GateArgs,
    console: &Console,
    cancel: &CancellationToken,
) -> anyhow::Result<GateSide> {
    if let Some(name) = &args.baseline {
        let revision = Revision::resolve(name).await?;
        let program = revision.binary(console, cancel).await?;
        has_worker(&program, &format!("baseline {name} ({})", revision.short()), args.config.mode).await?;
        return Ok(own(&program, name.clone(), Some(revision.commit), Vec::new()));
    }
    if let Some(program) = &args.baseline_bin {
        let label = program.display().to_string();
        let program = std::fs::canonicalize(program).map_err(|error| UsageError {
            what: format!("--baseline-bin {label} can't be used: {error}"),
            hint: "give the path of a lanebench binary".into(),
        })?;
        has_worker(&program, &format!("--baseline-bin {label}"), args.config.mode).await?;
        return Ok(own(&program, label, None, Vec::new()));
    }
    foreign("--baseline-cmd", args.baseline_cmd.as_deref().unwrap_or_default())
}

fn candidate(args: &GateArgs) -> anyhow::Result<GateSide> {
    if let Some(line) = &args.worker_cmd {
        if args.handicap.is_some() {
            return Err(UsageError {
                what: "`--handicap` is for our own worker".into(),
                hint: "leave it out".into(),
            }
            .into());
        }
        return foreign("--worker-cmd", line);
    }
    let built = environment::environment()?;
    let label = if built.dirty { "this build, of a changed tree" } else { "this build" };
    let arguments = args.handicap.iter().flat_map(|what| ["--handicap".to_owned(), what.clone()]).collect();
    let commit = (built.commit != "unknown").then_some(built.commit);
    Ok(own(&std::env::current_exe()?, label.into(), commit, arguments))
}

fn own(program: &Path, label: String, commit: Option<String>, arguments: Vec<String>) -> GateSide {
    let worker = WorkerCommand::Own { program: program.into(), arguments };
    GateSide { side: Side { label, commit, command: worker.to_string() }, worker }
}

fn foreign(flag: &str, line: &str) -> anyhow::Result<GateSide> {
    let worker = foreign_worker(flag, line)?;
    let shown = redact_all(line);
    Ok(GateSide { side: Side { label: shown.clone(), commit: None, command: shown }, worker })
}

/// Asks a binary whether it has a worker to measure in this mode.
async fn has_worker(program: &Path, what: &str, mode: Mode) -> Result<(), UsageError> {
    let asked = Command::new(program).args(["worker", "--help"]).output().await;
    let refused = |why: String| UsageError {
        what: format!("{what} has no `lanebench worker` to measure: {why}"),
        hint: "choose a baseline that has one, or give any worker's command line with `--baseline-cmd`"
            .into(),
    };
    let answer = asked.map_err(|error| refused(error.to_string()))?;
    if !answer.status.success() {
        let said = String::from_utf8_lossy(&answer.stderr);
        return Err(refused(said.lines().next().unwrap_or("it says nothing").to_owned()));
    }
    // An older one does not read the variable, and would work in record mode unasked.
    let knows_modes = String::from_utf8_lossy(&answer.stdout).contains("--mode");
    if mode != Mode::default() && !knows_modes {
        return Err(refused(format!("it has no {mode} mode")));
    }
    Ok(())
}

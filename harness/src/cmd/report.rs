//! `lanebench report`: a saved result rendered again, two beside each other, or what `cargo bench` measured gathered in a page.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use super::exit::Exit;
use super::out::{Format, UsageError, print};
use super::shown::Shown;
use crate::benched;
use crate::record::file::{
    FileError, GATE_FILE, LIMITS_FILE, RESULT_FILE, SCENARIO_FILE, create_output_dir, load, load_gate,
    load_limits, load_scenarios,
};
use crate::report::pair::Pair;
use crate::report::{self, ReportError};

const EXAMPLES: &str = "\
Examples:
  lanebench report reports/latest               everything again, beside it
  lanebench report old.json --out old           the same, in a new directory
  lanebench report old new                      what differs, then the numbers
  lanebench report old new --format markdown > pull-request.md
  lanebench report reports/latest/gate.json     a gate's words and picture
  lanebench report reports/latest/scenario.json what broke, and who waited
  lanebench report reports/latest/limits.json   what each component can do alone
  lanebench report --criterion                  what `cargo bench` measured

The exit code is 0 whatever the results say: no check is run again.";

/// Flags of `report`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct ReportArgs {
    /// The result.json of a comparison, the gate.json of a gate, the scenario.json of a run or the limits.json of limits, or the directory that holds it
    #[arg(value_name = "FILE", required_unless_present = "criterion")]
    first: Option<PathBuf>,
    /// Another one, to lay beside the first
    #[arg(value_name = "FILE")]
    second: Option<PathBuf>,
    /// What `cargo bench` measured, from where criterion keeps it [default: target/criterion]
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = "target/criterion", conflicts_with = "first")]
    criterion: Option<PathBuf>,
    /// Directory for the report, new or empty [default: beside the file; of two results or of benchmarks: under reports/]
    #[arg(long)]
    out: Option<PathBuf>,
    /// What is printed on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Runs it.
///
/// # Errors
/// A result that can't be loaded, a report that can't be written; with a hint.
pub fn run(args: &ReportArgs) -> anyhow::Result<Exit> {
    let text = match (&args.first, &args.second) {
        (None, _) => gathered(args)?,
        (Some(path), None) => again(&saved_in(path)?, args)?,
        (Some(first), Some(second)) => beside(&saved_in(first)?, &saved_in(second)?, args)?,
    };
    print(&text)?;
    Ok(Exit::Held)
}

/// The file that is meant where a directory is named.
fn saved_in(path: &Path) -> Result<PathBuf, UsageError> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let files = [RESULT_FILE, GATE_FILE, SCENARIO_FILE, LIMITS_FILE].map(|name| path.join(name));
    files.into_iter().find(|file| file.exists()).ok_or_else(|| UsageError {
        what: format!(
            "{} holds no {RESULT_FILE}, {GATE_FILE}, {SCENARIO_FILE} or {LIMITS_FILE}",
            path.display()
        ),
        hint: "name the directory of a report, such as reports/latest".into(),
    })
}

/// Renders one record again, whatever it is of.
fn again(file: &Path, args: &ReportArgs) -> anyhow::Result<String> {
    match load(file) {
        // It may be a gate's, that of scenarios or that of limits, under whatever name.
        Err(error @ (FileError::Invalid { .. } | FileError::UnknownVersion { .. })) => {
            if let Ok(record) = load_gate(file) {
                return rendered(file, &record, args);
            }
            if let Ok(record) = load_limits(file) {
                return rendered(file, &record, args);
            }
            load_scenarios(file).map_or(Err(error.into()), |record| rendered(file, &record, args))
        }
        loaded => rendered(file, &loaded?, args),
    }
}

/// Beside its file, or into a directory where the record lies then as well.
fn rendered(file: &Path, record: &impl Shown, args: &ReportArgs) -> anyhow::Result<String> {
    let render = |dir: &Path| record.render(dir).map_err(|error| unrendered(error, dir));
    let page = match &args.out {
        None => render(directory_of(file))?,
        Some(out) => {
            let out = create_output_dir(Some(out.clone()), "report")?;
            record.save(&out)?;
            render(out.path())?
        }
    };
    args.format.of(record, &page)
}

fn directory_of(file: &Path) -> &Path {
    let dir = file.parent().unwrap_or(Path::new(""));
    if dir.as_os_str().is_empty() { Path::new(".") } else { dir }
}

fn unrendered(error: ReportError, dir: &Path) -> anyhow::Error {
    match error {
        // With the hint that another directory can be named.
        ReportError::Write { source, .. } => FileError::Unwritable { path: dir.into(), source }.into(),
        error => anyhow::Error::from(error).context("the report could not be rendered"),
    }
}

/// Gathers what criterion keeps.
fn gathered(args: &ReportArgs) -> anyhow::Result<String> {
    let benched = benched::read(args.criterion.as_deref().unwrap_or(Path::new("")))?;
    let out = create_output_dir(args.out.clone(), "bench")?;
    let page = report::bench::render(&benched, out.path()).map_err(|error| unrendered(error, out.path()))?;
    Ok(match args.format {
        Format::Text => report::bench::text(&benched, Some(&page)),
        Format::Json => serde_json::to_string_pretty(&benched).context("the benchmarks as JSON")?,
        Format::Markdown => report::bench::summary(&benched),
    })
}

/// Lays two results beside each other.
fn beside(first: &Path, second: &Path, args: &ReportArgs) -> anyhow::Result<String> {
    let other = |file: &&Path| load_scenarios(file).is_ok() || load_limits(file).is_ok();
    if let Some(file) = [first, second].into_iter().find(other) {
        let what = if load_limits(file).is_ok() { "limits" } else { "scenarios" };
        return Err(UsageError {
            what: format!(
                "{} tells of {what}, and only comparisons can be laid beside each other",
                file.display()
            ),
            hint: "render it by itself: `lanebench report` and that file".into(),
        }
        .into());
    }
    let (a, b) = (load(first)?, load(second)?);
    let pair = Pair::of((&first.display().to_string(), &a), (&second.display().to_string(), &b));
    let out = create_output_dir(args.out.clone(), "report")?;
    let page = pair.render(out.path()).map_err(|error| unrendered(error, out.path()))?;
    Ok(match args.format {
        Format::Text => format!("{}\nreport: {}", pair.text(), page.display()),
        Format::Json => serde_json::to_string_pretty(&pair).context("the comparison as JSON")?,
        Format::Markdown => pair.markdown(),
    })
}

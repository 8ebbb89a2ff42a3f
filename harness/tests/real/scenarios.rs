//! `lanebench run` as a user runs it, on a stack of its own: parts break under load, and nothing is lost.

use lanebench::record::file::{SCENARIO_FILE, load_scenarios};
use lanebench::record::scenario::ScenarioRecord;
use lanebench::record::{FaultSpan, PhaseKind, Trial};
use libtest_mimic::Failed;
use tokio::process::Command;

use crate::Case;
use crate::bed::{Bed, check};
use crate::tools::shown;

pub(crate) const CASES: &[Case] = &[(
    "parts, a consumer and what lies between them break under load, one after another, and nothing is lost",
    parts_break,
)];

pub(crate) const NIGHTLY: &[Case] = &[
    ("a broker of three is killed under load and comes back, and nothing is lost", a_broker_dies),
    (
        "partitions are added under load: orders that move overtake, and not where all is worked off first",
        the_topic_grows,
    ),
];

const PARTS: &str = r#"
why = "What if the store, the view, a consumer and what lies between them break, one after another?"
expect = "All of it is waited for, and nothing is lost."
rate = 150
length = "28s"

[[fault]]
at = "2s"
target = "store"
action = "kill"
for = "1s"

[[fault]]
at = "6s"
target = "view"
action = "kill"
for = "1s"

[[fault]]
at = "10s"
target = "consumer 0"
action = "kill"
for = "8s"

[[fault]]
at = "20s"
target = "store"
action = "refuse"
for = "1s"

[[fault]]
at = "22s"
target = "leader 0"
action = "cut"

[[fault]]
at = "23s"
target = "store"
action = "cut"

[[fault]]
at = "24s"
target = "view"
action = "slow"
by = "30ms"
for = "1s"

[[fault]]
at = "26s"
target = "store"
action = "throttle"
for = "1s"
"#;

const BROKER: &str = r#"
why = "What if a broker dies?"
expect = "All partitions wait until it counts as dead."
rate = 150
length = "30s"

[[fault]]
at = "4s"
target = "leader 0"
action = "kill"
for = "14s"
"#;

/// Runs a scenario on native parts of its own; the record.
async fn ran(scenario: &str, flags: &[&str]) -> Result<ScenarioRecord, Failed> {
    let scratch = tempfile::tempdir()?;
    let (file, out) = (scratch.path().join("mine.toml"), scratch.path().join("report"));
    std::fs::write(&file, scenario)?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_lanebench"));
    command.args(["run", "--stack", "native", "--no-warm-up", "--quiet"]).args(flags);
    let ended = command.arg("--out").arg(&out).arg(&file).output().await?;
    check(ended.status.code() == Some(0), shown(&ended))?;
    let record = load_scenarios(&out.join(SCENARIO_FILE))?;
    let whole = |trial: &Trial| {
        let truth = &trial.verification;
        truth.passed && truth.acked > 0 && truth.acked == truth.applied && truth.acked == truth.produced
    };
    let trials =
        record.scenarios.iter().flat_map(|scenario| &scenario.configurations).flat_map(|c| &c.trials);
    check(record.complete && trials.clone().all(whole), format!("something is missing: {record:?}"))?;
    Ok(record)
}

/// The longest silence of each partition, in ms, shortest first.
fn silences(trial: &Trial) -> Vec<f64> {
    let partitions = trial.phase(PhaseKind::Scenario).into_iter().flat_map(|phase| &phase.partitions);
    let mut silences: Vec<f64> = partitions.filter_map(|part| Some(part.silence?.lasted_ms)).collect();
    silences.sort_by(f64::total_cmp);
    silences
}

fn parts_break(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let record = ran(PARTS, &["--configs", "3p3c"]).await?;
        let trial = &record.scenarios[0].configurations[0].trials[0];
        let silences = silences(trial);
        let felt = silences.iter().all(|ms| *ms > 900.0) && silences[2] > 4_000.0;
        check(felt, format!("store and view silence all, the consumer one for its session: {silences:?}"))?;
        let phase = trial.phase(PhaseKind::Scenario).ok_or("no phase")?;
        let spans: Vec<_> = phase.faults.iter().filter_map(|fault| fault.span).collect();
        check(spans.len() == 8, format!("{:?}", phase.faults))?;
        let in_order = |span: &FaultSpan| span.back_ms >= span.mended_ms && span.mended_ms >= span.began_ms;
        check(spans.iter().all(in_order), "times")?;
        check(phase.faults[6].what == "Redis, by 30ms", format!("{:?}", phase.faults))
    })
}

fn a_broker_dies(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let record = ran(BROKER, &["--nodes", "3"]).await?;
        for configuration in &record.scenarios[0].configurations {
            let silences = silences(&configuration.trials[0]);
            // Kafka's default: a broker counts as dead after 9 s.
            let all = silences.iter().all(|ms| (3_000.0..14_000.0).contains(ms));
            check(all, format!("{}: every partition waits for it: {silences:?}", configuration.name))?;
        }
        Ok(())
    })
}

fn the_topic_grows(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        for (name, overtake) in [("partitions-added", true), ("partitions-added-drained", false)] {
            let path = format!("{}/scenarios/{name}.toml", env!("CARGO_MANIFEST_DIR"));
            // Lag has to grow; without a warm-up what is sustained is taken for less than it is.
            let scenario = std::fs::read_to_string(path)?.replace("200%", "300%");
            let record = ran(&scenario, &["--configs", "1p3c"]).await?;
            let truth = &record.scenarios[0].configurations[0].trials[0].verification;
            check(truth.orders_moved > 0 && truth.parked == 0, format!("{truth:?}"))?;
            let overtaken = truth.order_checks.get("consumer").map_or(0, |count| count.violations);
            check(
                (overtaken > 0) == overtake && (truth.parked_meanwhile > 0) == overtake,
                format!("{name}: {truth:?}"),
            )?;
        }
        Ok(())
    })
}

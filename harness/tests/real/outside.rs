//! Workers as processes on the real components: ours measured inside and outside at once, and one in Java that nobody inside
//! tells of.

use std::path::Path;
use std::process::Stdio;

use lanebench::measure::lag::TICK_DEFAULT as TICK;
use lanebench::record::file::{self, RESULT_FILE};
use lanebench::record::{
    Distribution, Phase, PhaseKind, RunResult, SeenBy, Trial, WorkerPhase, WorkerProcess,
};
use lanebench::stats::Durations;
use libtest_mimic::Failed;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::Case;
use crate::bed::{Bed, check, evidence};
use crate::tools::{self, shown};

pub(crate) const CASES: &[Case] = &[
    ("our worker measured from inside and from outside agrees within two ticks", inside_and_outside),
    ("a worker that tells nothing is timed by whoever tells first", told_by),
];
pub(crate) const NIGHTLY: &[Case] = &[("a worker in Java is measured from outside", java)];

const TICKS: f64 = 2.0;
/// What is seen from outside may differ so far from what a worker's own clock says.
const OUTSIDE_WITHIN_MS: f64 = 5.0;

/// One round of 1p1c and 3p3c on the shared stack.
async fn compare(bed: &Bed, flags: &str, worker: &[&str]) -> Result<RunResult, Failed> {
    let scratch = tempfile::tempdir()?;
    let out = scratch.path().join("report");
    let ended = tools::compare(bed, "external", &out, flags).args(worker).output().await?;
    check(ended.status.code() == Some(0), shown(&ended))?;
    Ok(file::load(&out.join(RESULT_FILE))?)
}

fn trials(result: &RunResult) -> impl Iterator<Item = (&str, &Trial, &WorkerProcess)> {
    let each = |c| {
        let c: &lanebench::record::Configuration = c;
        c.trials.iter().filter_map(|t| Some((c.name.as_str(), t, t.worker.as_ref()?)))
    };
    result.configurations.iter().flat_map(each)
}

/// A phase that the trial must have had, and the worker's part of it.
fn phase(trial: &Trial, kind: PhaseKind) -> Result<(&Phase, &WorkerPhase), Failed> {
    let phase = trial.phase(kind).ok_or_else(|| format!("there was no {} phase", kind.as_str()))?;
    Ok((phase, phase.worker.as_ref().ok_or("the worker's part is missing")?))
}

fn inside_and_outside(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let flags = "--rounds 1 --drain-events 3000 --rate 250 --duration 8s";
        let result = compare(bed, flags, &["--worker", "process"]).await?;
        let mut kept = Vec::new();
        for (config, trial, worker) in trials(&result) {
            check(worker.measured_from == "inside", &worker.measured_from)?;
            let (drain, drained) = phase(trial, PhaseKind::Drain)?;
            let (steady, held) = phase(trial, PhaseKind::Steady)?;
            let tick_ms = held.outside.tick_ms;
            check(tick_ms == TICK.as_millis() as u64, tick_ms)?;
            let none = "no response time of an open loop";
            let inner = steady.response_time_ns.as_ref().ok_or(none)?;
            let outer = held.outside.response_time_ns.as_ref().ok_or(none)?;
            check(
                inner.count == outer.count && inner.count > 1_000,
                format!("{} and {}", inner.count, outer.count),
            )?;
            let written = held.outside.written_time_ns.as_ref().ok_or("no row was seen written")?;
            // Each event is a write of its own: the one write of each is counted.
            check(written.count == inner.count, format!("{} and {}", written.count, inner.count))?;
            let drain_ms = drained.outside.lasted_ms.ok_or("the drain was never committed")?;
            let ms = |ns: u64| ns as f64 / 1e6;
            let later_ms = [
                ("drain", drain_ms - drain.lasted_ms),
                ("p50", ms(outer.p50) - ms(inner.p50)),
                ("p99", ms(outer.p99) - ms(inner.p99)),
            ];
            kept.push(json!({"config": config, "tick_ms": tick_ms, "later_ms": later_ms.iter()
                .map(|(what, ms)| ((*what).to_owned(), json!(ms))).collect::<serde_json::Map<_, _>>(),
                "inside": {"drain_s": drain.lasted_ms / 1e3, "p50_ms": ms(inner.p50), "p99_ms": ms(inner.p99)},
                "outside": {"drain_s": drain_ms / 1e3, "p50_ms": ms(outer.p50), "p99_ms": ms(outer.p99)},
                "written": {"p50_ms": ms(written.p50), "p99_ms": ms(written.p99)},
                "events": inner.count}));
            // The drain's end is one instant: at worst it waits a whole commit interval and a whole tick, and then for two answers of
            // a busy broker. Nothing is committed before it is visible, but for a clock that is read twice.
            for (what, later, answers_ms) in [("drain", later_ms[0].1, 100.0), ("p50", later_ms[1].1, 0.0)] {
                let most = TICKS * tick_ms as f64 + answers_ms;
                check(
                    (-1.0..=most).contains(&later),
                    format!("{config}: {what} is {later:.1} ms later outside"),
                )?;
            }
        }
        check(kept.len() == 2, format!("{} trials", kept.len()))?;
        evidence("inside-outside", &Value::from(kept))
    })
}

/// Redis tells of what is written, unless the user may not listen: then the rows do. (Offsets alone are what the embedded stack has.)
fn told_by(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let (user, password) = ("lanebench-mute", "mute");
        let secret = format!(">{password}");
        tools::redis_cli(bed, &["ACL", "SETUSER", user, "on", &secret, "~*", "&*", "+@all", "-psubscribe"])
            .await?;
        let listening = bed.endpoints().redis_url.clone();
        let mute = listening.replace("redis://", &format!("redis://{user}:{password}@"));
        for (redis_url, expected) in [(&listening, SeenBy::View), (&mute, SeenBy::Rows)] {
            let scratch = tempfile::tempdir()?;
            let out = scratch.path().join("report");
            let flags = "--configs 1p1c --rounds 1 --drain-events 500 --rate 100 --duration 4s";
            let worker = format!("{} worker", env!("CARGO_BIN_EXE_lanebench"));
            let mut compared = tools::compare(bed, "external", &out, flags);
            let ended = compared
                .args(["--worker-cmd", &worker])
                .env("LANEBENCH_REDIS_URL", redis_url)
                .output()
                .await?;
            check(ended.status.code() == Some(0), shown(&ended))?;
            let result = file::load(&out.join(RESULT_FILE))?;
            let (_, trial, worker) = trials(&result).next().ok_or("no trial")?;
            check(worker.seen_by == Some(expected), format!("{worker:?}"))?;
            check(worker.late_by_ns.is_some() == (expected == SeenBy::View), format!("{worker:?}"))?;
            let (steady, held) = phase(trial, PhaseKind::Steady)?;
            let response = steady.response_time_ns.as_ref().ok_or("no response time of an open loop")?;
            let committed = held.outside.response_time_ns.as_ref().ok_or("no offset was seen committed")?;
            check(
                response.count == committed.count && response.count > 300,
                format!("{} events", response.count),
            )?;
            check(response.p50 < committed.p50, format!("{} and {} ns", response.p50, committed.p50))?;
        }
        tools::redis_cli(bed, &["ACL", "DELUSER", user]).await.map(drop)
    })
}

/// The command that runs the Java worker, built if it is not.
async fn java_worker() -> Result<String, Failed> {
    let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ci/worker/build");
    let built = Command::new(build).stdin(Stdio::null()).output().await?;
    check(built.status.success(), shown(&built))?;
    Ok(String::from_utf8(built.stdout)?.trim().to_owned())
}

/// The same as ours: response times of the steady phase by the worker's own clock, in ns. It counts from the millisecond in which the message was
/// made, so half of one is added.
fn own_times(directory: &Path) -> Result<Durations, Failed> {
    let mut own = Durations::new();
    for file in std::fs::read_dir(directory)? {
        for line in std::fs::read_to_string(file?.path())?.lines() {
            let mut words = line.split(' ');
            let (order, took_us) = (words.next().unwrap_or_default(), words.nth(1).unwrap_or_default());
            if order.starts_with("s-") {
                own.record(took_us.parse::<i64>()? * 1_000 - 500_000);
            }
        }
    }
    Ok(own)
}

fn java(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let command = java_worker().await?;
        let mut kept = Vec::new();
        for config in ["1p1c", "3p3c"] {
            kept.push(java_at(bed, &command, config).await?);
        }
        evidence("java-worker", &Value::from(kept))
    })
}

async fn java_at(bed: &Bed, command: &str, config: &str) -> Result<Value, Failed> {
    let own_times_at = tempfile::tempdir()?;
    let flags = format!(
        "--configs {config} --rounds 1 --drain-events 3000 --rate 150 --duration 20s --worker-warm-up 2000"
    );
    let scratch = tempfile::tempdir()?;
    let out = scratch.path().join("report");
    let mut compared = tools::compare(bed, "external", &out, &flags);
    compared.args(["--worker-cmd", command]).env("WORKER_OWN_TIMES", own_times_at.path());
    let ended = compared.output().await?;
    check(ended.status.code() == Some(0), shown(&ended))?;
    let result = file::load(&out.join(RESULT_FILE))?;
    let (_, trial, worker) = trials(&result).next().ok_or("no trial")?;
    let truth = &trial.verification;
    check(worker.measured_from == "outside" && worker.seen_by == Some(SeenBy::View), format!("{worker:?}"))?;
    check(truth.passed && truth.lost == 0, format!("{truth:?}"))?;
    // What warms up, the drain, and the steady phase; all in their rows, in order, and in the view.
    check(truth.applied == truth.acked && truth.acked > 4_000, format!("{truth:?}"))?;
    check(truth.views_checked > 0 && truth.order_checks["row"].pairs > 0, format!("{truth:?}"))?;
    check(!truth.order_checks.contains_key("consumer"), "nobody tells what its consumers take in hand")?;
    let ((drain, worked), (steady, held)) =
        (phase(trial, PhaseKind::Drain)?, phase(trial, PhaseKind::Steady)?);
    let response = steady.response_time_ns.as_ref().ok_or("no response time of an open loop")?;
    check(response.count > 2_000 && drain.throughput_per_s > 0.0, "nothing was measured")?;
    check(steady.stages_ns.store.count == 0, "a stage that can't be seen has a figure")?;
    check(matches!(&*drain.bottleneck.name, "unknown" | "host"), &drain.bottleneck.name)?;
    let peak = worker.peak_memory_bytes.ok_or("its memory was not measured")?;
    check(peak > 50_000_000, format!("{peak} bytes are no JVM"))?;
    let own = own_times(own_times_at.path())?.to_distribution();
    check(
        own.count == response.count,
        format!("{} by its own clock, {} from outside", own.count, response.count),
    )?;
    let ms = |ns: u64| ns as f64 / 1e6;
    let later_ms = [ms(response.p50) - ms(own.p50), ms(response.p99) - ms(own.p99)];
    let text = format!("{config}: p50 and p99 are {later_ms:.1?} ms later from outside");
    check(later_ms.iter().all(|later| later.abs() <= OUTSIDE_WITHIN_MS), text)?;
    let written = held.outside.written_time_ns.as_ref().ok_or("no row was seen written")?;
    let committed = held.outside.response_time_ns.as_ref().ok_or("no offset was seen committed")?;
    let late_by = worker.late_by_ns.as_ref().ok_or("nobody knows how late the view is seen")?;
    check(result.warnings.iter().any(|w| w.code == "measured-outside"), format!("{:?}", result.warnings))?;
    let percentiles = |of: &Distribution| json!({"p50_ms": ms(of.p50), "p99_ms": ms(of.p99)});
    Ok(json!({"config": config, "throughput_per_s": drain.throughput_per_s, "drain_s": drain.lasted_ms / 1e3,
        "own": percentiles(&own), "written": percentiles(written), "committed": percentiles(committed),
        "late_by": percentiles(late_by), "p50_ms": ms(response.p50), "p99_ms": ms(response.p99),
        "responses": response.count, "acked": truth.acked, "lost": truth.lost, "pairs": truth.order_pairs_checked,
        "violations": truth.order_violations, "cpu_us_per_event": worked.cpu_ns_per_event / 1e3,
        "peak_mb": peak as f64 / 1e6}))
}

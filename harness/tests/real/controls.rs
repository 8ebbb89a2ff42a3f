//! Negative controls: what is broken on the running system must be found, and named.

use std::collections::BTreeMap;
use std::process::Stdio;

use lanebench::record::{Finding, RunResult, Verification};
use libtest_mimic::Failed;
use serde_json::json;

use crate::Case;
use crate::bed::{Bed, check, evidence};
use crate::compare::run;
use crate::tools::{lanebench, redis_cli, shown};

pub(crate) const CASES: &[Case] = &[
    ("a reordered record is found", reorder),
    ("a status that Redis evicted is missed, and Redis named", evicted),
    ("faults that are planted into a worker are named", planted),
];

pub(crate) const NIGHTLY: &[Case] = &[
    ("without a key the order of events breaks, and it is said", without_a_key),
    ("a deleted row is found", loss),
    ("a view set back is found", stale_view),
    ("a duplicate is counted and does no harm", duplicate),
    ("every fault that can be planted into a worker is named", all_planted),
];

const ROOM_BYTES: u64 = 500_000;

fn truth(result: &RunResult) -> &Verification {
    &result.configurations[0].trials[0].verification
}

/// Keeps what was found and fails unless a finding of `kind` names order, revision, partition and offset.
fn named<'a>(name: &str, result: &'a RunResult, kind: &str) -> Result<&'a Finding, Failed> {
    let truth = truth(result);
    check(!result.passed && !truth.passed, "the checks should have failed")?;
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    truth.findings.iter().for_each(|f| *kinds.entry(&f.kind).or_default() += 1);
    let found = truth.findings.iter().find(|f| f.kind == kind);
    let found = found.ok_or_else(|| format!("no finding `{kind}` among {kinds:?}"))?;
    let place = found.partition.is_some() && found.offset.is_some();
    check(!found.order_id.is_empty() && found.revision > 0 && place, format!("not fully named: {found:?}"))?;
    evidence(
        name,
        &json!({"exit": 3, "kinds": kinds, "findings_total": truth.findings_total, "lost": truth.lost,
            "order_violations": truth.order_violations, "order_pairs_checked": truth.order_pairs_checked,
            "view_mismatches": truth.view_mismatches, "example": found}),
    )?;
    Ok(found)
}

fn without_a_key(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let result = run(bed, &["--configs", "3p3c", "--key", "none"], 3).await?;
        named("control-key-none", &result, "split-order")?;
        let consumer = truth(&result).order_checks.get("consumer").copied().unwrap_or_default();
        check(consumer.violations > 0, format!("consumers should have seen disorder: {consumer:?}"))?;
        check(truth(&result).lost == 0, "parking should have kept every event")
    })
}

fn reorder(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let result = run(bed, &["--configs", "1p1c", "--inject", "reorder"], 3).await?;
        named("control-reorder", &result, "order")?;
        check(truth(&result).lost == 0, "the parked event should have been applied")
    })
}

fn loss(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let result = run(bed, &["--configs", "1p1c", "--inject", "loss"], 3).await?;
        named("control-loss", &result, "lost")?;
        check(truth(&result).lost > 1, "all revisions of the deleted row are lost")
    })
}

fn stale_view(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let result = run(bed, &["--configs", "1p1c", "--inject", "stale-view"], 3).await?;
        named("control-stale-view", &result, "view")?;
        check(truth(&result).view_mismatches == 1, "one view was set back")
    })
}

/// Room for some of the trial's statuses, and not for all.
fn evicted(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let used = redis_cli(bed, &["INFO", "memory"]).await?;
        let used = used.lines().find_map(|line| line.strip_prefix("used_memory:")).ok_or("no used_memory")?;
        let limit = (used.trim().parse::<u64>()? + ROOM_BYTES).to_string();
        redis_cli(bed, &["CONFIG", "SET", "maxmemory", &limit, "maxmemory-policy", "allkeys-random"]).await?;
        let many = ["--configs", "1p1c", "--events-per-order", "1"];
        let ended = run(bed, &many, 3).await;
        redis_cli(bed, &["CONFIG", "SET", "maxmemory", "0", "maxmemory-policy", "noeviction"]).await?;
        let result = ended?;
        let found = named("control-evicted", &result, "view")?;
        check(found.message.contains("evicted"), &found.message)?;
        let warned = result.warnings.iter().any(|warning| warning.code == "view-evicts");
        check(warned, format!("{:?}", result.warnings))
    })
}

/// One of each part: the store's guard, its contents, the offsets, the view.
fn planted(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        faults_are_named(bed, &["--faults", "guard,content,commit-ahead,view-back", "--clean", "2"]).await
    })
}

fn all_planted(bed: &Bed) -> Result<(), Failed> {
    bed.run(async { faults_are_named(bed, &["--clean", "4"]).await })
}

async fn faults_are_named(bed: &Bed, flags: &[&str]) -> Result<(), Failed> {
    let mut command = lanebench(bed);
    command.args(["selftest", "--only", "truth", "--stack", "external", "--quiet"]).args(flags);
    let ended = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().await?;
    check(ended.status.code() == Some(0), shown(&ended))
}

fn duplicate(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let result = run(bed, &["--configs", "1p1c", "--inject", "duplicate"], 0).await?;
        let truth = truth(&result);
        check(result.passed && truth.resent == 1 && truth.lost == 0, format!("{truth:?}"))?;
        evidence(
            "control-duplicate",
            &json!({"exit": 0, "resent": truth.resent, "lost": truth.lost, "findings": truth.findings_total}),
        )
    })
}

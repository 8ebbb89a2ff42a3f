//! `lanebench compare` as a user runs it, and what other programs see of it.

use std::time::Duration;

use lanebench::record::RunResult;
use lanebench::record::file::{self, RESULT_FILE};
use libtest_mimic::Failed;
use payment_delivery::kafka::admin::Admin;
use serde_json::json;

use crate::Case;
use crate::bed::{Bed, check, evidence, until};
use crate::tools::{self, describe_group, psql, redis_cli, shown};

pub(crate) const CASES: &[Case] = &[
    ("kafka's own tool, psql and redis-cli agree with a comparison", others_agree),
    ("events that come in by the API: it, view and row agree, and nothing is left", through_the_api),
];

pub(crate) const NIGHTLY: &[Case] = &[
    ("idle consumers are warned of and the run goes on", idle_consumers),
    ("nothing of a run is left on the stack", nothing_left),
];

/// A comparison that stays on the stack afterwards, watched while it runs.
fn others_agree(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let scratch = tempfile::tempdir()?;
        let out = scratch.path().join("report");
        let flags =
            "--configs 3p3c --rounds 1 --keep --duration 20s --rate 300 --drain-events 2000 --replication 3";
        let child = tools::compare(bed, "external", &out, flags).spawn()?;
        let watched = watch(bed).await;
        let ended = child.wait_with_output().await?;
        check(ended.status.code() == Some(0), shown(&ended))?;
        let watched = watched?;

        let result = file::load(&out.join(RESULT_FILE))?;
        let schema = format!("lanebench_{}", result_id(&watched.group)?);
        let counted =
            psql(bed, &format!("SELECT count(*), sum(applied) FROM \"{schema}\".deliveries")).await?;
        let truth = &result.configurations[0].trials[0].verification;
        let told = format!("{}|{}", truth.views_checked, truth.applied);
        check(counted == told, format!("psql counts {counted}, the result says {told}"))?;
        let pattern = format!("{schema}:r1.3p3c:*");
        let script = "local n = 0; local c = '0'; repeat local r = redis.call('SCAN', c, 'MATCH', ARGV[1], \
                      'COUNT', 1000); c = r[1]; n = n + #r[2] until c == '0'; return n";
        let keys = redis_cli(bed, &["EVAL", script, "0", &pattern]).await?;
        check(
            keys == truth.views_checked.to_string(),
            format!("redis-cli counts {keys}, not {}", truth.views_checked),
        )?;
        evidence(
            "others-agree",
            &json!({
                "consumer_group_command": {"members": watched.members, "partitions": watched.partitions,
                    "rows_with_offset_and_lag": watched.rows},
                "psql_rows_and_applied": counted, "redis_cli_keys": keys.parse::<u64>()?,
                "result_orders": truth.views_checked, "result_applied": truth.applied,
            }),
        )
    })
}

struct Watched {
    group: String,
    members: usize,
    partitions: usize,
    rows: usize,
}

/// What `ConsumerGroupCommand` shows of the measured trial's group once it has committed something.
async fn watch(bed: &Bed) -> Result<Watched, Failed> {
    let admin = Admin::connect(&bed.endpoints().bootstrap, Duration::from_secs(10)).await?;
    let mut group = String::new();
    until(Duration::from_secs(60), "no group of a measured trial appeared", async || {
        let groups = admin.list_groups().await?;
        group = groups.into_iter().find(|name| name.contains(".r1.3p3c.")).unwrap_or_default();
        Ok(!group.is_empty())
    })
    .await?;
    let mut found = None;
    until(Duration::from_secs(30), "the tool never showed three members at work", async || {
        let rows = describe_group(&bed.endpoints().bootstrap, &group).await?;
        // GROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG CONSUMER-ID HOST CLIENT-ID
        let number =
            |row: &[String], column: usize| row.get(column).is_some_and(|word| word.parse::<u64>().is_ok());
        let working: Vec<&Vec<String>> =
            rows.iter().filter(|row| row[0] == group && (2..=5).all(|column| number(row, column))).collect();
        let distinct = |column: usize| {
            working.iter().map(|row| row[column].as_str()).collect::<std::collections::BTreeSet<_>>().len()
        };
        let (members, partitions) = if working.is_empty() { (0, 0) } else { (distinct(6), distinct(2)) };
        let complete = members == 3 && partitions == 3;
        found = complete.then(|| Watched { group: group.clone(), members, partitions, rows: working.len() });
        Ok(complete)
    })
    .await?;
    found.ok_or_else(|| "nothing was watched".into())
}

/// The part of a group's name that tells its run from others.
fn result_id(group: &str) -> Result<&str, Failed> {
    let run = group.split('.').next().unwrap_or_default();
    run.strip_prefix("lanebench_").ok_or_else(|| format!("{group} is not a run's group").into())
}

fn idle_consumers(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let result = run(bed, &["--configs", "1p2c"], 0).await?;
        check(result.passed, "it should pass")?;
        let warned = result.warnings.iter().find(|w| w.code == "idle-consumers");
        check(
            warned.is_some_and(|w| w.message.contains("1 consumer of 1p2c")),
            format!("{:?}", result.warnings),
        )
    })
}

/// A short comparison of one round; its result, after its exit code was checked.
pub(crate) async fn run(bed: &Bed, flags: &[&str], exit: i32) -> Result<RunResult, Failed> {
    let scratch = tempfile::tempdir()?;
    let out = scratch.path().join("report");
    let short = "--rounds 1 --drain-events 2000 --duration 1s --rate 300 --replication 3";
    let ended = tools::compare(bed, "external", &out, short).args(flags).output().await?;
    if ended.status.code() != Some(exit) {
        let findings = file::load(&out.join(RESULT_FILE)).map(|result| {
            let trials = result.configurations.into_iter().flat_map(|c| c.trials);
            trials.flat_map(|trial| trial.verification.findings).collect::<Vec<_>>()
        });
        return Err(format!("exit {exit} was expected: {}; found: {findings:#?}", shown(&ended)).into());
    }
    for picture in ["throughput.png", "latency.png", "lag.png", "order.png"] {
        let bytes = std::fs::read(out.join(picture))?;
        check(bytes.starts_with(b"\x89PNG"), format!("{picture} is no PNG"))?;
    }
    check(out.join("index.html").exists(), "index.html is missing")?;
    Ok(file::load(&out.join(RESULT_FILE))?)
}

fn nothing_left(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let result = run(bed, &["--configs", "1p1c"], 0).await?;
        check(result.complete, "it should be complete")?;
        removed(bed, &result).await
    })
}

/// With the consumers in a process of their own, so that the API is all that is left of the pipeline in the harness's.
fn through_the_api(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let result = run(bed, &["--configs", "3p3c", "--through", "api", "--worker", "process"], 0).await?;
        let truth = &result.configurations[0].trials[0].verification;
        let api = truth.api.ok_or("the API was not asked")?;
        check(truth.acked == truth.produced && truth.acked > 2_000, format!("{truth:?}"))?;
        check(api.deliveries == truth.views_checked && api.histories > 0, format!("{api:?} of {truth:?}"))?;
        check(truth.passed && api.mismatches == 0, format!("{truth:?}"))?;
        removed(bed, &result).await
    })
}

/// Fails unless everything that the run made on the stack is gone.
pub(crate) async fn removed(bed: &Bed, result: &RunResult) -> Result<(), Failed> {
    // What another test kept on purpose begins alike, so ask for what carries this run's second.
    nothing_of(bed, &format!("lanebench_{}", result.started_at.replace(['-', ':', 'Z'], "").to_lowercase()))
        .await
}

/// Fails unless nothing on the stack has a name that begins so.
pub(crate) async fn nothing_of(bed: &Bed, run: &str) -> Result<(), Failed> {
    let admin = Admin::connect(&bed.endpoints().bootstrap, Duration::from_secs(10)).await?;
    let groups = admin.list_groups().await?;
    check(!groups.iter().any(|group| group.starts_with(run)), format!("groups are left: {groups:?}"))?;
    let topics = admin.list_topics().await?;
    check(!topics.iter().any(|topic| topic.starts_with(run)), format!("topics are left: {topics:?}"))?;
    let query = format!("SELECT count(*) FROM pg_namespace WHERE nspname LIKE '{run}%'");
    check(psql(bed, &query).await? == "0", "the schema is left")?;
    let keys = redis_cli(bed, &["--scan", "--pattern", &format!("{run}*")]).await?;
    check(keys.is_empty(), format!("keys are left: {keys}"))
}

//! The rights that docs/external.md lists: each one is needed, and together they are enough.

use std::path::Path;

use libtest_mimic::Failed;

use super::broker::StrictBroker;
use super::{At, SECRET, SECRET_ENCODED, SHORT, login, redis, sql};
use crate::Case;
use crate::bed::{Bed, check};
use crate::tools::{psql, redis_cli, shown};

pub(super) const CASES: &[Case] = &[("external: the documented rights suffice for a check", briefly)];
pub(super) const NIGHTLY: &[Case] = &[(
    "external: Kafka's rules are told by the line that grants them, and the documented rights suffice",
    each_rule,
)];

/// The lines of the documentation that begin so.
fn documented(begins: &str) -> Result<Vec<String>, Failed> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/external.md");
    let text = std::fs::read_to_string(file)?;
    let lines: Vec<String> =
        text.lines().filter(|line| line.starts_with(begins)).map(str::to_owned).collect();
    check(!lines.is_empty(), format!("docs/external.md has no line that begins with {begins}"))?;
    Ok(lines)
}

fn briefly(bed: &Bed) -> Result<(), Failed> {
    with_least(bed, async |broker, at| {
        let part = format!("broker at {} can't be used", broker.bootstrap);
        at.refused(&[&part, "DESCRIBE on topic `lanebench_", "TOPIC_AUTHORIZATION_FAILED"]).await?;
        for rule in documented("kafka-acls.sh")? {
            broker.rule(&rule).await?;
        }
        at.refused_with(&["--prefix", "other"], &["TOPIC_AUTHORIZATION_FAILED", "--topic other_`"]).await?;
        at.accepted(&["--replication", "1"]).await.map(drop)
    })
}

fn each_rule(bed: &Bed) -> Result<(), Failed> {
    with_least(bed, async |broker, at| on(broker, at, bed).await)
}

/// With a broker that allows nothing yet, and a role and a user that have what is documented.
fn with_least(
    bed: &Bed,
    test: impl AsyncFnOnce(&StrictBroker, &At) -> Result<(), Failed>,
) -> Result<(), Failed> {
    bed.run(async {
        let at = At::shared(bed);
        // Nobody has anything there by default.
        sql(bed, &["CREATE DATABASE pay", "REVOKE ALL ON DATABASE pay FROM PUBLIC"]).await?;
        for line in documented("CREATE ROLE")?.into_iter().chain(documented("GRANT")?) {
            psql(bed, &line.replace("PASSWORD'", &format!("{SECRET}'"))).await?;
        }
        for line in documented("ACL SETUSER")? {
            redis(bed, &line.replace("PASSWORD", SECRET)).await?;
        }
        let database = login(&at.database_url, "bench", SECRET_ENCODED).replace("/postgres", "/pay");
        let at = at.database(&database).redis(&login(&at.redis_url, "bench", SECRET_ENCODED));

        let broker = StrictBroker::start().await?;
        let outcome = test(&broker, &at.bootstrap(&broker.bootstrap)).await;
        broker.stop().await?;
        sql(bed, &["DROP DATABASE pay", "DROP ROLE bench"]).await?;
        redis(bed, "ACL DELUSER bench").await?;
        outcome
    })
}

async fn on(broker: &StrictBroker, at: &At, bed: &Bed) -> Result<(), Failed> {
    let part = format!("broker at {} can't be used", broker.bootstrap);
    let hint = "--resource-pattern-type prefixed --topic lanebench_`";
    at.refused(&[&part, "DESCRIBE on topic `lanebench_", "TOPIC_AUTHORIZATION_FAILED", hint]).await?;
    let rule = |operations: &str, what: &str| {
        let operations: Vec<String> = operations.split(' ').map(|o| format!("--operation {o}")).collect();
        let (given, pattern) = (operations.join(" "), "--resource-pattern-type prefixed");
        format!(
            "kafka-acls.sh --bootstrap-server HOST:PORT --add --allow-principal User:bench {given} {pattern} {what}"
        )
    };
    broker.rule(&rule("Read Write", "--topic lanebench_")).await?;
    at.refused(&[&part, "DELETE on its topics", hint]).await?;
    broker.rule(&rule("Delete", "--topic lanebench_")).await?;
    at.refused(&[&part, "CREATE on topic `lanebench_", "or on the cluster", hint]).await?;
    let [topics, groups] = &documented("kafka-acls.sh")?[..] else {
        return Err("there are two rules".into());
    };
    broker.rule(topics).await?;
    at.refused(&[
        &part,
        "DESCRIBE on group `lanebench_",
        "GROUP_AUTHORIZATION_FAILED",
        "--group lanebench_`",
    ])
    .await?;
    broker.rule(&rule("Read", "--group lanebench_")).await?;
    at.refused(&[&part, "DELETE on its groups"]).await?;
    broker.rule(groups).await?;
    at.refused_with(&["--replication", "3"], &["INVALID_REPLICATION_FACTOR", "the cluster has 1 broker"])
        .await?;
    at.refused_with(&["--prefix", "other"], &["TOPIC_AUTHORIZATION_FAILED", "--topic other_`"]).await?;

    let output = at.accepted(&["--replication", "1"]).await?;
    let told = shown(&output);
    for part in ["1 broker, by ", "topics and groups lanebench_*", "a schema lanebench_*", "keys lanebench_*"]
    {
        check(told.contains(part), format!("`{part}` is not in {told}"))?;
    }
    let scratch = tempfile::tempdir()?;
    for worker in ["in-process", "process"] {
        let mut compare = at.lanebench(&["compare", "--quiet", "--drain-events", "800", "--worker", worker]);
        compare.args(SHORT);
        let output = compare.arg("--out").arg(scratch.path().join(worker)).output().await?;
        check(output.status.code() == Some(0), shown(&output))?;
        check(!shown(&output).contains("is left on the stack"), shown(&output))?;
    }
    let query = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'lanebench%'";
    let url = bed.endpoints().database_url.replace("/postgres", "/pay");
    let left = crate::tools::psql_at(&url, query).await?;
    check(left == "0", format!("{left} schemas are left"))?;
    let keys = redis_cli(bed, &["--scan", "--pattern", "lanebench_*"]).await?;
    check(
        keys.lines().all(|key| !key.contains(":r1.1p1c:") || key.is_empty()),
        format!("keys are left: {keys}"),
    )
}

//! What is somebody else's is left as it is, should it have a run's very name; what is a run's is removed.

use std::process::{Output, Stdio};
use std::time::Duration;

use libtest_mimic::Failed;
use payment_delivery::kafka::admin::Admin;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::{At, SHORT};
use crate::Case;
use crate::bed::{Bed, check};
use crate::tools::{psql, shown};

pub(super) const CASES: &[Case] = &[
    ("external: a schema of a run's name is refused and left as it is", schema),
    (
        "external: a topic of a run's name is refused and left as it is, and what the run had made is removed",
        topic,
    ),
];

pub(super) const NIGHTLY: &[Case] =
    &[("external: names begin with the prefix that is asked for, and go", prefix)];

/// For so many seconds from now on a run's name is taken: it is named by the second in which it begins.
const SECONDS: i64 = 25;

/// `lanebench compare` that waits for a line before it becomes itself, so that its process id is known beforehand.
struct Waiting(tokio::process::Child);

impl Waiting {
    fn new(at: &At, scratch: &tempfile::TempDir) -> Result<Self, Failed> {
        let mut command = Command::new("sh");
        command.args(["-c", "read -r go; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_lanebench")]);
        command.args(["compare", "--stack", "external", "--quiet", "--drain-events", "500"]);
        command.args(SHORT).args(["--prefix", "clash"]);
        command.arg("--out").arg(scratch.path().join("report"));
        command
            .env("LANEBENCH_BOOTSTRAP", &at.bootstrap)
            .env("LANEBENCH_DATABASE_URL", &at.database_url)
            .env("LANEBENCH_REDIS_URL", &at.redis_url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        Ok(Self(command.spawn()?))
    }

    /// The names that the run may have.
    fn names(&self) -> Result<Vec<String>, Failed> {
        let pid = self.0.id().ok_or("it has ended")?;
        let now = jiff::Timestamp::now().as_second();
        (now..now + SECONDS)
            .map(|second| {
                let second = jiff::Timestamp::from_second(second)?.strftime("%Y%m%dt%H%M%S").to_string();
                Ok(format!("clash_{second}_{pid}"))
            })
            .collect()
    }

    async fn go(mut self) -> Result<Output, Failed> {
        let mut stdin = self.0.stdin.take().ok_or("no stdin")?;
        stdin.write_all(b"go\n").await?;
        drop(stdin);
        Ok(self.0.wait_with_output().await?)
    }
}

fn schema(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let scratch = tempfile::tempdir()?;
        let waiting = Waiting::new(&At::shared(bed), &scratch)?;
        let names = waiting.names()?;
        for name in &names {
            psql(
                bed,
                &format!("CREATE SCHEMA {name}; CREATE TABLE {name}.deliveries AS SELECT 42 AS theirs"),
            )
            .await?;
        }
        let output = waiting.go().await?;
        let told = shown(&output);
        check(output.status.code() == Some(1), &told)?;
        check(told.contains("there is a schema clash_") && told.contains("\nhint: "), &told)?;
        for name in &names {
            let kept = psql(bed, &format!("SELECT theirs FROM {name}.deliveries")).await?;
            check(kept == "42", format!("{name}: {kept}"))?;
            psql(bed, &format!("DROP SCHEMA {name} CASCADE")).await?;
        }
        Ok(())
    })
}

/// The dead-letter topic is the one that is there: the topic itself is made before it is met.
fn topic(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let at = At::shared(bed);
        let scratch = tempfile::tempdir()?;
        let admin = Admin::connect(&bed.endpoints().bootstrap, Duration::from_secs(30)).await?;
        let waiting = Waiting::new(&at, &scratch)?;
        let names = waiting.names()?;
        let theirs: Vec<String> =
            names.iter().map(|name| format!("{name}.w1.1p1c.payment-completed.DLT")).collect();
        for topic in &theirs {
            admin.create_topic(topic, 2, 1, &[("retention.ms", "123456789")]).await?;
        }
        let output = waiting.go().await?;
        let told = shown(&output);
        check(output.status.code() == Some(1), &told)?;
        check(told.contains("there is a topic clash_") && told.contains("\nhint: "), &told)?;
        let topics = admin.list_topics().await?;
        let clash: Vec<_> = topics.into_iter().filter(|topic| topic.starts_with("clash_")).collect();
        let mut expected = theirs.clone();
        expected.sort_unstable();
        check(clash == expected, format!("{clash:?} instead of {expected:?}"))?;
        for topic in &theirs {
            check(admin.describe_topic(topic).await?.len() == 2, "it has other partitions")?;
        }
        check(schemas(bed, "clash").await? == "0", "the run's schema is left")?;
        let theirs: Vec<&str> = theirs.iter().map(String::as_str).collect();
        Ok(admin.delete_topics(&theirs).await?)
    })
}

async fn schemas(bed: &Bed, prefix: &str) -> Result<String, Failed> {
    psql(bed, &format!("SELECT count(*) FROM pg_namespace WHERE nspname LIKE '{prefix}\\_%'")).await
}

fn prefix(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let scratch = tempfile::tempdir()?;
        let admin = Admin::connect(&bed.endpoints().bootstrap, Duration::from_secs(30)).await?;
        let run = async |flags: &[&str], out: &str| -> Result<(), Failed> {
            let mut compare = At::shared(bed).lanebench(&["compare", "--quiet", "--drain-events", "500"]);
            compare.args(SHORT).args(flags);
            let output = compare.arg("--out").arg(scratch.path().join(out)).output().await?;
            check(output.status.code() == Some(0), shown(&output))
        };
        let topics = async || -> Result<Vec<String>, Failed> {
            Ok(admin.list_topics().await?.into_iter().filter(|topic| topic.starts_with("team_a_")).collect())
        };
        run(&["--prefix", "team_a"], "gone").await?;
        check(schemas(bed, "team_a").await? == "0", "the schema is left")?;
        let left = topics().await?;
        check(left.is_empty(), format!("topics are left: {left:?}"))?;

        run(&["--prefix", "team_a", "--keep"], "kept").await?;
        check(schemas(bed, "team_a").await? == "1", "the schema should be kept")?;
        let kept = topics().await?;
        check(kept.iter().any(|topic| topic.contains(".r1.1p1c.")), format!("{kept:?}"))?;
        let kept: Vec<&str> = kept.iter().map(String::as_str).collect();
        admin.delete_topics(&kept).await?;
        let name = psql(bed, "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'team\\_a\\_%'").await?;
        psql(bed, &format!("DROP SCHEMA {name} CASCADE")).await?;
        Ok(())
    })
}

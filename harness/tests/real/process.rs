//! Consumers in a process of their own, on the real components.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use lanebench::measure::run_file::{Follower, What};
use libtest_mimic::Failed;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use payment_delivery::consumer::Mode;
use payment_delivery::kafka::Origin;
use payment_delivery::store::DeliveryStore;
use payment_delivery::view::StatusView;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::Case;
use crate::bed::{Bed, Field, check, evidence, in_mode, until};
use crate::trouble::Frozen;

pub(crate) const CASES: &[Case] = &[
    ("a worker process that is killed loses nothing, and the next one stops gracefully", |bed| {
        killed_and_followed_by_another(bed, Mode::Record)
    }),
    ("a worker process that is killed in batch mode loses nothing either", |bed| {
        killed_and_followed_by_another(bed, Mode::Batch)
    }),
    ("a worker whose store hangs says so within a second, and not all the time", says_that_it_hangs),
];

/// Once half of the events were taken in hand, the process is killed.
fn killed_and_followed_by_another(bed: &Bed, mode: Mode) -> Result<(), Failed> {
    // More than a batch or two.
    let orders = if mode == Mode::Batch { 4_000 } else { 400 };
    bed.run(async {
        let field = bed.field(3).await?;
        let acked = field.produce(orders, 1..=10).await?;
        let files = tempfile::tempdir()?;
        let [first_file, second_file] = ["first", "second"].map(|name| files.path().join(name));

        let worker = |file: &Path| command(&field, file).env("LANEBENCH_MODE", mode.to_string()).spawn();
        let (mut first, mut followed) = (worker(&first_file)?, Follower::new(&first_file));
        let mut taken = Vec::new();
        until(Duration::from_secs(60), "the first process did not work", async || {
            taken.extend(fetched(&mut followed)?);
            Ok(taken.len() > acked.len() / 2)
        })
        .await?;
        first.start_kill()?;
        let killed = ended(&mut first).await?;
        check(killed.code().is_none(), format!("a signal should have ended it, not {killed}"))?;
        taken.extend(fetched(&mut followed)?);
        check(taken.len() < acked.len(), "it should have been killed in the middle")?;

        let (mut second, mut followed) = (worker(&second_file)?, Follower::new(&second_file));
        field.worked_off(Duration::from_secs(60)).await?;
        let pid = second.id().ok_or("the second process has ended")?;
        kill(Pid::from_raw(pid as i32), Signal::SIGTERM)?;
        let stopped = ended(&mut second).await?;
        check(stopped.success(), format!("it should have stopped gracefully: {stopped}"))?;
        let again = fetched(&mut followed)?;

        let unique: BTreeSet<Origin> = taken.iter().chain(&again).copied().collect();
        check(unique.len() == acked.len(), format!("{} of {} were in hand", unique.len(), acked.len()))?;
        let redelivered = taken.len() + again.len() - unique.len();
        let rows = field.store().await?.deliveries().await?;
        let whole = rows.len() == orders as usize && rows.iter().all(|r| r.revision == 10 && r.applied == 10);
        check(whole, "every order should be at revision 10, applied 10 times")?;
        let ids: Vec<_> = rows.iter().map(|row| row.order_id.clone()).collect();
        let shown = field.view().await?.get(&ids).await?;
        let agrees = rows.iter().zip(&shown).all(|(row, shown)| *shown == Some(row.status_entry()));
        check(agrees, "the view should show every row")?;
        let figures =
            json!({"events": acked.len(), "before_the_kill": taken.len(), "redelivered": redelivered});
        evidence(&in_mode("worker-process-killed", mode), &figures)
    })
}

/// Nothing is set but the addresses: what it says, it says by default.
fn says_that_it_hangs(bed: &Bed) -> Result<(), Failed> {
    const HANGS_FOR: Duration = Duration::from_secs(8);
    bed.run(async {
        let field = bed.field(1).await?;
        let files = tempfile::tempdir()?;
        let mut worker = command(&field, &files.path().join("run"))
            .env_remove("LANEBENCH_LOG")
            .stderr(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(worker.stderr.take().ok_or("no stderr")?).lines();
        field.produce(1, 1..=1).await?;
        field.worked_off(Duration::from_secs(30)).await?;

        let postmaster = bed.stack.pids().postgres.ok_or("no PostgreSQL")?;
        let frozen = Frozen::new(lanebench::measure::resources::descendants(postmaster));
        let acked = field.produce(20, 1..=1).await?;
        let begun = Instant::now();
        let mut told = Vec::new();
        let read = async {
            while let Some(line) = lines.next_line().await? {
                told.push((begun.elapsed(), line));
            }
            Ok::<_, Failed>(())
        };
        // The time is over before its output is.
        let _ = tokio::time::timeout(HANGS_FOR, read).await;
        drop(frozen);
        let about: Vec<_> = told.iter().filter(|(_, line)| line.contains("component=\"store\"")).collect();
        let shown = format!("{told:?}");
        let first = about.first().ok_or(format!("it said nothing of its store: {shown}"))?;
        check(first.0 < Duration::from_secs(1), format!("it said so late: {shown}"))?;
        check(first.1.contains("WARN"), format!("as a warning: {shown}"))?;
        check(about.len() <= 2, format!("the same thing again and again: {shown}"))?;

        field.worked_off(Duration::from_secs(60)).await?;
        let rows = field.store().await?.deliveries().await?;
        let whole = rows.len() == acked.len() && rows.iter().all(|row| row.applied == 1);
        check(whole, format!("each order should be there, once: {rows:?}"))?;
        kill(Pid::from_raw(worker.id().ok_or("it has ended")? as i32), Signal::SIGTERM)?;
        check(ended(&mut worker).await?.success(), "it should have stopped gracefully")?;
        let figures = json!({"said_after_ms": first.0.as_millis() as u64, "lines_in_s": HANGS_FOR.as_secs(),
            "lines": about.len(), "events": acked.len()});
        evidence("store-hangs", &figures)
    })
}

pub(crate) fn command(field: &Field, run_file: &Path) -> Command {
    let name = field.topic.split('.').next().unwrap_or_default();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lanebench"));
    command
        .arg("worker")
        .env("LANEBENCH_CONSUMERS", "3")
        .env("LANEBENCH_BOOTSTRAP", field.endpoints.bootstrap.join(","))
        .env("LANEBENCH_DATABASE_URL", &field.endpoints.database_url)
        .env("LANEBENCH_REDIS_URL", &field.endpoints.redis_url)
        .env("LANEBENCH_TOPIC", &field.topic)
        .env("LANEBENCH_GROUP", &field.group)
        .env("LANEBENCH_SCHEMA", name)
        .env("LANEBENCH_KEY_PREFIX", format!("{name}:"))
        .env("LANEBENCH_RUN_FILE", run_file)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

pub(crate) async fn ended(child: &mut Child) -> Result<ExitStatus, Failed> {
    Ok(tokio::time::timeout(Duration::from_secs(20), child.wait()).await.map_err(|_| "it goes on")??)
}

/// The messages taken in hand since the file was last looked at.
fn fetched(follower: &mut Follower) -> Result<Vec<Origin>, Failed> {
    let of = |what| if let What::Fetched(place) = what { Some(place.origin) } else { None };
    Ok(follower.poll()?.into_iter().filter_map(|record| of(record.what)).collect())
}

//! A worker that is frozen past its session and wakes up: by then its partitions are another's.

use std::time::{Duration, Instant};

use lanebench::measure::run_file::{Follower, Record, What};
use libtest_mimic::Failed;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use payment_delivery::event::Revision;
use payment_delivery::kafka::group::GroupConfig;
use payment_delivery::store::DeliveryStore;
use payment_delivery::store::postgres::PostgresOptions;
use payment_delivery::view::StatusView;
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::Case;
use crate::bed::{Bed, Field, check, evidence, until};
use crate::process::{command, ended};
use crate::trouble::Frozen;

pub(crate) const CASES: &[Case] =
    &[("a worker that sleeps past its session does no harm when it wakes", wakes)];

const ORDERS: u32 = 20;
/// Between two events of an order.
const EVERY: Duration = Duration::from_millis(100);
/// Long enough for the sleeper to have finished what it has not committed.
const COMMIT_INTERVAL: &str = "1s";
const SAMPLED_EVERY: Duration = Duration::from_millis(20);
const WITHIN: Duration = Duration::from_secs(30);

fn wakes(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let field = bed.field(1).await?;
        let (enough, sent, over) =
            (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
        let sending = async {
            let revisions = send_until(&field, &enough).await;
            sent.cancel();
            revisions
        };
        let story = async {
            let told = story(&field, &enough, &sent).await;
            enough.cancel();
            over.cancel();
            told
        };
        let (revisions, commits, told) = tokio::join!(sending, commits_only_grow(&field, &over), story);
        let (mut figures, revisions, commits) = (told?, revisions?, commits?);

        let rows = field.store().await?.deliveries().await?;
        let whole = rows.iter().all(|row| (row.revision, row.applied) == (revisions, revisions));
        check(whole && rows.len() == ORDERS as usize, format!("not {revisions} of each: {rows:?}"))?;
        let ids: Vec<_> = rows.iter().map(|row| row.order_id.clone()).collect();
        let shown = field.view().await?.get(&ids).await?;
        let agrees = rows.iter().zip(&shown).all(|(row, shown)| *shown == Some(row.status_entry()));
        check(agrees, "the view should show every row")?;
        figures["events"] = json!(ORDERS * revisions);
        figures["commits_seen"] = json!(commits);
        evidence("zombie", &figures)
    })
}

async fn story(field: &Field, enough: &CancellationToken, sent: &CancellationToken) -> Result<Value, Failed> {
    let files = tempfile::tempdir()?;
    let [sleeper_file, heir_file] = ["sleeper", "heir"].map(|name| files.path().join(name));
    let stderr = NamedTempFile::new()?;
    let mut sleeper = command(field, &sleeper_file)
        .env("LANEBENCH_CONSUMERS", "1")
        .env("LANEBENCH_COMMIT_INTERVAL", COMMIT_INTERVAL)
        .stderr(stderr.reopen()?)
        .spawn()?;
    let mut seen = Follower::new(&sleeper_file);
    let mut stored_by_sleeper = 0;
    until(WITHIN, "the first worker did not work", async || {
        stored_by_sleeper += stored(&seen.poll()?).len();
        Ok(stored_by_sleeper > 5 * ORDERS as usize)
    })
    .await?;
    let pid = sleeper.id().ok_or("it has ended")?;
    let frozen = Frozen::new(vec![pid]);
    let begun = Instant::now();
    stored_by_sleeper += stored(&seen.poll()?).len();
    let committed = field.admin.group_offsets(&field.group, &field.topic).await?;
    let uncommitted = stored_by_sleeper as i64 - committed.get(&0).copied().unwrap_or(0);
    check(uncommitted > 0, "it should have something left to commit")?;

    let mut heir = command(field, &heir_file).env("LANEBENCH_CONSUMERS", "1").spawn()?;
    let (mut follow, mut taken) = (Follower::new(&heir_file), Vec::new());
    until(WITHIN, "nobody took over", async || {
        taken.extend(follow.poll()?);
        Ok(!stored(&taken).is_empty())
    })
    .await?;
    let silent = begun.elapsed();
    let session = GroupConfig::new("g", "c").session_timeout;
    check(silent <= session + Duration::from_secs(1), format!("taken over after {silent:?}"))?;
    sleep(Duration::from_secs(1)).await;

    drop(frozen);
    let woken = Instant::now();
    until(WITHIN, "the sleeper does not notice", async || {
        Ok(std::fs::read_to_string(stderr.path())?.contains("membership lost"))
    })
    .await?;
    let noticed = woken.elapsed();
    until(WITHIN, "the sleeper does not join again", async || {
        Ok(field.admin.group_members(&field.group).await?.members.len() == 2)
    })
    .await?;
    sleep(Duration::from_secs(2)).await;
    enough.cancel();
    sent.cancelled().await;
    field.worked_off(WITHIN).await?;
    for worker in [&mut sleeper, &mut heir] {
        kill(Pid::from_raw(worker.id().ok_or("it has ended")? as i32), Signal::SIGTERM)?;
        let status = ended(worker).await?;
        check(status.success(), format!("it should stop gracefully: {status}"))?;
    }
    taken.extend(follow.poll()?);
    // While the other slept the partition was the heir's; since then it is either's. What the sleeper had stored before, its file may tell only
    // once it is awake.
    let mut times = stored(&taken);
    let taken_over = times.iter().copied().min().unwrap_or_default();
    let mut late = stored(&seen.poll()?);
    late.retain(|at| *at > taken_over);
    times.extend(&late);
    times.sort_unstable();
    let longest_ns = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
    let held_up = Duration::from_nanos(longest_ns.unsigned_abs());
    let lock_timeout = PostgresOptions::default().lock_timeout;
    check(
        held_up <= lock_timeout,
        format!("nothing was stored for {held_up:?} though somebody had the partition"),
    )?;
    Ok(json!({"session_s": session.as_secs(), "silent_ms": silent.as_millis() as u64,
        "uncommitted_when_frozen": uncommitted, "noticed_after_ms": noticed.as_millis() as u64,
        "stored_by_the_zombie_after_it_woke": late.len(), "lock_timeout_ms": lock_timeout.as_millis() as u64,
        "longest_pause_after_take_over_ms": held_up.as_millis() as u64, "lost": 0}))
}

/// An event of each order, again and again; returns how many each got.
async fn send_until(field: &Field, enough: &CancellationToken) -> Result<Revision, Failed> {
    for revision in 1.. {
        field.produce(ORDERS, revision..=revision).await?;
        if enough.run_until_cancelled(sleep(EVERY)).await.is_none() {
            return Ok(revision);
        }
    }
    Err("there is no end of revisions".into())
}

/// Looks at the committed offset all the while: a commit of one whose time is over would set it back. Returns how many values there were.
async fn commits_only_grow(field: &Field, over: &CancellationToken) -> Result<usize, Failed> {
    let (mut last, mut values) = (0, 0);
    while over.run_until_cancelled(sleep(SAMPLED_EVERY)).await.is_some() {
        let committed = field.admin.group_offsets(&field.group, &field.topic).await?;
        let Some(now) = committed.get(&0).copied() else { continue };
        check(now >= last, format!("the committed offset went back from {last} to {now}"))?;
        values += usize::from(now > last);
        last = now;
    }
    Ok(values)
}

/// When each event was stored, in ns of Unix time.
fn stored(records: &[Record]) -> Vec<i64> {
    let at = |record: &Record| matches!(record.what, What::Stored(_)).then_some(record.at_unix_ns);
    records.iter().filter_map(at).collect()
}

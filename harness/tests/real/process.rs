//! Consumers in a process of their own, on the real components.

use std::collections::BTreeSet;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use lanebench::measure::run_file::{Follower, What};
use libtest_mimic::Failed;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use payment_delivery::kafka::Origin;
use payment_delivery::store::DeliveryStore;
use payment_delivery::view::StatusView;
use serde_json::json;
use tokio::process::{Child, Command};

use crate::Case;
use crate::bed::{Bed, Field, check, evidence, until};

pub(crate) const CASES: &[Case] = &[(
    "a worker process that is killed loses nothing, and the next one stops gracefully",
    killed_and_followed_by_another,
)];

/// Once half of the events were taken in hand, the process is killed.
const ORDERS: u32 = 400;

fn killed_and_followed_by_another(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let field = bed.field(3).await?;
        let acked = field.produce(ORDERS, 1..=10).await?;
        let files = tempfile::tempdir()?;
        let [first_file, second_file] = ["first", "second"].map(|name| files.path().join(name));

        let (mut first, mut followed) = (worker(&field, &first_file)?, Follower::new(&first_file));
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

        let (mut second, mut followed) = (worker(&field, &second_file)?, Follower::new(&second_file));
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
        let whole = rows.len() == ORDERS as usize && rows.iter().all(|r| r.revision == 10 && r.applied == 10);
        check(whole, "every order should be at revision 10, applied 10 times")?;
        let ids: Vec<_> = rows.iter().map(|row| row.order_id.clone()).collect();
        let shown = field.view().await?.get(&ids).await?;
        let agrees = rows.iter().zip(&shown).all(|(row, shown)| *shown == Some(row.status_entry()));
        check(agrees, "the view should show every row")?;
        let figures =
            json!({"events": acked.len(), "before_the_kill": taken.len(), "redelivered": redelivered});
        evidence("worker-process-killed", &figures)
    })
}

fn worker(field: &Field, run_file: &std::path::Path) -> Result<Child, Failed> {
    let name = field.topic.split('.').next().unwrap_or_default();
    let child = Command::new(env!("CARGO_BIN_EXE_lanebench"))
        .args(["worker", "--consumers", "3"])
        .env("LANEBENCH_BOOTSTRAP", field.endpoints.bootstrap.join(","))
        .env("LANEBENCH_DATABASE_URL", &field.endpoints.database_url)
        .env("LANEBENCH_REDIS_URL", &field.endpoints.redis_url)
        .env("LANEBENCH_TOPIC", &field.topic)
        .env("LANEBENCH_GROUP", &field.group)
        .env("LANEBENCH_SCHEMA", name)
        .env("LANEBENCH_KEY_PREFIX", format!("{name}:"))
        .env("LANEBENCH_RUN_FILE", run_file)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    Ok(child)
}

async fn ended(child: &mut Child) -> Result<ExitStatus, Failed> {
    Ok(tokio::time::timeout(Duration::from_secs(20), child.wait()).await.map_err(|_| "it goes on")??)
}

/// The messages taken in hand since the file was last looked at.
fn fetched(follower: &mut Follower) -> Result<Vec<Origin>, Failed> {
    let of = |what| if let What::Fetched(place) = what { Some(place.origin) } else { None };
    Ok(follower.poll()?.into_iter().filter_map(|record| of(record.what)).collect())
}

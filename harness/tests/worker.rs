//! `lanebench worker` as a process: it works, it stops, it dies, and what it reports is what happened.

use std::collections::BTreeSet;
use std::time::Duration;

use lanebench::measure::run_file::What;
use nix::sys::signal::Signal;
use payment_delivery::consumer::Mode;
use payment_delivery::store::DeliveryStore as _;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, sleep};

#[path = "worker/bed.rs"]
mod bed;
#[path = "common/mod.rs"]
#[allow(dead_code, reason = "it is for targets that need running brokers, of which this is none")]
mod common;
#[path = "common/evidence.rs"]
mod evidence;
#[path = "worker/records.rs"]
mod records;
#[path = "worker/refused.rs"]
mod refused;

use bed::{Bed, PARTITIONS, count, owned};

const ORDERS: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_share_group_and_file_until_they_are_told_to_stop() {
    share(Mode::Record).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_share_them_in_batch_mode() {
    share(Mode::Batch).await;
}

async fn share(mode: Mode) {
    let bed = Bed::new().await;
    let name = mode.to_string();
    let arguments = ["--consumers", "2", "--mode", name.as_str()];
    let mut workers = [bed.start("one", &arguments), bed.start("two", &arguments)];
    for worker in &mut workers {
        worker.until("an equal share of the partitions", |records| owned(records).len() == 2).await;
    }
    bed.produce(ORDERS, 1..=10).await;
    let deadline = Instant::now() + bed::PATIENCE;
    while workers.iter().map(|worker| worker.visible().len()).sum::<usize>() < ORDERS * 10 {
        assert!(Instant::now() < deadline, "not all became visible");
        sleep(Duration::from_millis(20)).await;
        workers.iter_mut().for_each(bed::Worker::follow);
    }
    for worker in &mut workers {
        worker.signal(Signal::SIGTERM);
        assert_eq!(worker.ended().await, Some(0));
        let pid = worker.follower.header().unwrap().pid;
        assert!(pid != std::process::id() && pid > 0);
        assert!(owned(&worker.records).is_empty(), "what was owned was given up");
        assert!(worker.records.is_sorted_by_key(|record| record.at_unix_ns));
        // Each message passed the three gates in their order.
        for place in worker.fetched() {
            let gates: Vec<_> = worker.records.iter().filter(|r| of(r.what) == Some(place)).collect();
            assert!(
                matches!(
                    gates.iter().map(|gate| gate.what).collect::<Vec<_>>()[..],
                    [What::Fetched(_), What::Stored(_), What::Visible { in_view, .. }]
                        if in_view == place.revision || (mode != Mode::Record && in_view > place.revision)
                ),
                "{gates:?}"
            );
        }
        let spent = |what| matches!(what, What::Spent { total_ns, .. } if total_ns > 0);
        assert!(worker.records.iter().any(|record| spent(record.what)));
    }
    let all: Vec<_> = workers.iter().flat_map(|worker| worker.fetched()).collect();
    let origins: BTreeSet<_> = all.iter().map(|place| place.origin).collect();
    assert_eq!((all.len(), origins.len()), (ORDERS * 10, ORDERS * 10), "nothing came twice");
    bed.holds(ORDERS, 10).await;
    bed.stop().await;
}

/// Whatever number of partitions the dead-letter topic has, and whichever consumer has the partition.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poison_on_any_partition_is_set_aside_and_what_is_behind_it_goes_on() {
    for letters in [1, PARTITIONS - 1, PARTITIONS + 2] {
        let bed = Bed::with_letters(letters).await;
        let mut worker = bed.start("one", &["--consumers", "4"]);
        worker.until("all partitions", |records| owned(records).len() == PARTITIONS as usize).await;
        let poison = bed.poison().await;
        bed.produce(ORDERS, 1..=2).await;
        worker.until("the good events behind it", |records| count(records) == ORDERS * 2).await;
        worker.signal(Signal::SIGTERM);
        assert_eq!(worker.ended().await, Some(0));
        assert_eq!(bed.letters().await, poison, "a dead-letter topic of {letters} partitions");
        bed.holds(ORDERS, 2).await;
        bed.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_worker_loses_nothing_and_what_comes_again_is_counted() {
    killed_and_started_again(Mode::Record).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_worker_loses_nothing_in_batch_mode() {
    killed_and_started_again(Mode::Batch).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_worker_loses_nothing_in_keyed_mode() {
    killed_and_started_again(Mode::KEYED).await;
}

async fn killed_and_started_again(mode: Mode) {
    let mode = mode.to_string();
    let bed = Bed::new().await;
    bed.produce(ORDERS, 1..=50).await;
    // One commit in an hour, so that a kill leaves work that was done and not committed.
    let mut killed = bed.start("killed", &["--commit-interval", "1h", "--mode", &mode]);
    killed.until("some work", |records| count(records) > 200).await;
    killed.child.start_kill().unwrap();
    assert_eq!(killed.ended().await, None, "a signal ended it");

    let mut again = bed.start("again", &["--consumers", "2", "--mode", &mode]);
    let all = ORDERS * 50;
    again.until("all that is left", |records| count(records) >= all).await;
    again.signal(Signal::SIGINT);
    assert_eq!(again.ended().await, Some(0));
    let origins =
        |worker: &bed::Worker| -> BTreeSet<_> { worker.fetched().iter().map(|place| place.origin).collect() };
    let (before, after) = (origins(&killed), origins(&again));
    assert_eq!(after.len(), all, "nothing was committed, so everything came again");
    assert!(before.is_subset(&after));
    assert!(before.len() > 200, "and what was in hand before the kill is known: {}", before.len());
    bed.holds(ORDERS, 50).await;
    bed.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_worker_waits_for_a_line_and_ends_with_its_holder() {
    let bed = Bed::new().await;
    bed.produce(ORDERS, 1..=2).await;
    let mut worker = bed.start("held", &["--hold"]);
    let mut stdin = worker.child.stdin.take().unwrap();
    worker.until("all partitions", |records| owned(records).len() == PARTITIONS as usize).await;
    sleep(Duration::from_millis(300)).await; // longer than a fetch takes
    worker.follow();
    assert_eq!(worker.fetched(), [], "it has joined and fetches nothing");

    stdin.write_all(b"go\n").await.unwrap();
    worker.until("all events", |records| count(records) == ORDERS * 2).await;
    drop(stdin);
    assert_eq!(worker.ended().await, Some(0), "its holder is gone");

    let mut never = bed.start("never", &["--hold"]);
    never.until("all partitions", |records| owned(records).len() == PARTITIONS as usize).await;
    drop(never.child.stdin.take());
    assert_eq!(never.ended().await, Some(0), "its holder is gone before it said a word");
    assert_eq!(never.fetched(), []);
    bed.holds(ORDERS, 2).await;
    bed.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_interrupt_ends_it_at_once() {
    let bed = Bed::new().await;
    bed.produce(1, 1..=3).await;
    let mut worker = bed.start("slow", &["--service-time", "1h"]);
    worker.until("an event in hand", |records| records.iter().any(|r| of(r.what).is_some())).await;
    worker.signal(Signal::SIGINT);
    // The first lets it finish what is in hand, for which it has seconds.
    assert!(
        tokio::time::timeout(Duration::from_millis(500), worker.child.wait()).await.is_err(),
        "it did not wait"
    );
    worker.signal(Signal::SIGINT);
    assert_eq!(worker.ended().await, Some(130));
    assert!(worker.told().await.contains("interrupted again"));
    bed.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handicapped_worker_says_so_and_does_harm() {
    let bed = Bed::new().await;
    bed.produce(ORDERS, 1..=1).await;
    let mut lossy = bed.start("lossy", &["--handicap", "drop:10,cpu:20%,store:20%"]);
    lossy.until("all events", |records| count(records) == ORDERS).await;
    lossy.signal(Signal::SIGTERM);
    assert_eq!(lossy.ended().await, Some(0), "it believes that all is well");
    let told = lossy.told().await;
    for handicap in ["drop:10", "cpu:20%", "store:20%"] {
        assert!(told.contains(&format!("handicapped on purpose: {handicap}")), "{told}");
    }
    assert_eq!(bed.store.deliveries().await.unwrap().len(), ORDERS - ORDERS / 10, "every tenth is lost");

    bed.produce(ORDERS, 2..=2).await;
    let mut dying = bed.start("dying", &["--handicap", "die:7"]);
    assert_eq!(dying.ended().await, None, "a signal ended it");
    assert!(count(&dying.records) >= 7, "{} events were visible", count(&dying.records));
    bed.stop().await;
}

/// The place of a gate's record.
fn of(what: What) -> Option<lanebench::measure::run_file::Place> {
    match what {
        What::Fetched(place) | What::Stored(place) | What::Visible { place, .. } => Some(place),
        _ => None,
    }
}

/// The only broker that leads the dead-letter topic is away: what is at fault is waited with, said, and set aside once it is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_topic_that_is_away_is_said_and_waited_for() {
    let bed = Bed::on_three_nodes().await;
    let mut worker = bed.start("one", &["--consumers", "1"]);
    worker.until("all partitions", |records| !owned(records).is_empty()).await;
    let node = bed.stop_leader_of_letters().await;
    let poison = bed.poison().await;
    bed.produce(ORDERS, 1..=1).await;
    sleep(Duration::from_secs(3)).await;
    worker.follow();
    assert_eq!(count(&worker.records), 0, "nothing overtakes what is at fault");
    bed.start_node(node).await;
    worker.until("the good events behind it", |records| count(records) == ORDERS).await;
    worker.signal(Signal::SIGTERM);
    assert_eq!(worker.ended().await, Some(0));
    assert_eq!(bed.letters().await, poison);
    let told = worker.told().await;
    let said = |line: &str| {
        line.contains("WARN") && line.contains("component=\"broker\"") && line.contains("dead-letter")
    };
    assert!(told.lines().any(said), "{told}");
    bed.holds(ORDERS, 1).await;
    bed.stop().await;
}

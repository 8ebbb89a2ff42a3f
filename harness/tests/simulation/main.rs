//! A seeded simulation: the pipeline on the embedded broker while consumers, brokers, store and view fail by schedules that are drawn from
//! seeds. Whatever they are, nothing is lost, nothing is applied twice, nothing is committed that is not stored, and the view ends
//! where the rows are.
//!
//! A schedule is the same for its seed; threads and sockets are not. So a seed that fails is run again twenty times, and its rate is told.
//!
//!     LANEBENCH_SEED=17 cargo test --locked -p lanebench --test simulation -- --ignored --exact --nocapture one_schedule

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio::task::JoinSet;

#[path = "../common/evidence.rs"]
mod evidence;
mod parts;
mod schedule;
mod truth;
mod world;

use evidence::evidence;
use parts::Bug;
use schedule::Schedule;
use world::{EVENTS, Ended, run};

/// Side by side: they wait for most of their time.
const AT_ONCE: usize = 4;
const AGAIN: usize = 20;

/// Runs the schedules of these seeds; how each went, by seed.
async fn runs(seeds: impl Iterator<Item = u64>, bug: Option<Bug>) -> Vec<(Schedule, Ended)> {
    let (mut running, mut ended) = (JoinSet::new(), Vec::new());
    for seed in seeds {
        if running.len() == AT_ONCE {
            ended.extend(running.join_next().await.map(|one| one.expect("no panic")));
        }
        running.spawn(async move {
            let schedule = Schedule::draw(seed);
            let ended = Box::pin(run(&schedule, bug)).await;
            (schedule, ended)
        });
    }
    while let Some(one) = running.join_next().await {
        ended.push(one.expect("no panic"));
    }
    ended.sort_by_key(|(schedule, _)| schedule.seed);
    ended
}

/// Runs them without a bug, and fails with the first that broke something, and how often it does.
async fn hold(name: &str, seeds: impl Iterator<Item = u64>) {
    const _: () = assert!(EVENTS >= 2_000);
    let (mut schedules, mut faulty, mut gentle, mut redelivered) = (0, 0, 0, 0);
    let mut by_mode = BTreeMap::<String, u32>::new();
    let (mut fewest_faults, mut fewest_rebalances) = (usize::MAX, u32::MAX);
    for (schedule, ended) in runs(seeds, None).await {
        let Schedule { seed, mode, faults, steps, is_gentle } = &schedule;
        if !ended.broken.is_empty() {
            let again = runs(std::iter::repeat_n(*seed, AGAIN), None).await;
            let times = again.iter().filter(|(_, ended)| !ended.broken.is_empty()).count();
            panic!(
                "seed {seed} in {mode} mode breaks {:#?}\nand did so again in {times} of {AGAIN} runs; to repeat it:\n\
                 LANEBENCH_SEED={seed} cargo test --locked -p lanebench --test simulation -- --ignored --exact \
                 --nocapture one_schedule\n{steps:#?}",
                ended.broken
            );
        }
        fewest_faults = fewest_faults.min(*faults);
        fewest_rebalances = fewest_rebalances.min(ended.rebalances);
        (schedules, faulty, redelivered) = (schedules + 1, faulty + faults, redelivered + ended.redelivered);
        gentle += usize::from(*is_gentle);
        *by_mode.entry(mode.to_string()).or_default() += 1;
        assert!(*faults >= 3 && ended.rebalances >= 1, "seed {seed} shows nothing: {steps:?}");
    }
    let figures = json!({"schedules": schedules, "events_each": EVENTS, "faults": faulty, "fewest_faults": fewest_faults,
        "fewest_rebalances": fewest_rebalances, "redelivered": redelivered, "gentle": gentle, "by_mode": by_mode,
        "broken": 0});
    evidence(name, &figures).expect("a file of figures");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_schedules_break_nothing() {
    hold("simulation", 1..=20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "ci/nightly: five minutes"]
async fn two_hundred_schedules_break_nothing() {
    hold("simulation-nightly", 1..=200).await;
}

/// The one that LANEBENCH_SEED names, twenty times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "by hand"]
async fn one_schedule() {
    let seed = std::env::var("LANEBENCH_SEED").expect("LANEBENCH_SEED").parse().expect("a number");
    println!("{:#?}", Schedule::draw(seed));
    let ended = runs(std::iter::repeat_n(seed, AGAIN), None).await;
    let broken: Vec<_> = ended.iter().filter(|(_, ended)| !ended.broken.is_empty()).collect();
    for (_, ended) in &broken {
        println!("{:#?}", ended.broken);
    }
    assert!(broken.is_empty(), "{} of {AGAIN} runs broke something", broken.len());
}

/// Each bug, seeds that find it, and the kind of finding that names it.
const PLANTED: [(Bug, &[u64], &str); 4] = [
    (Bug::ViewWithoutCompare, &[3, 98, 140], "the view is stale"),
    (Bug::CommitBeforeStore, &[1], "committed ahead of the store"),
    (Bug::PastAHole, &[1, 3, 4], "committed ahead of the store"),
    (Bug::NoDrain, &[7, 8, 9, 12], "redelivered without need"),
];

/// The rarest is found by its seeds in two of five runs or so.
const TRIES: u32 = 10;

/// How many of the runs found the bug.
fn found(ended: &[(Schedule, Ended)], kind: &str) -> usize {
    ended.iter().filter(|(_, ended)| ended.broken.contains_key(kind)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planted_bugs_are_found_by_their_seeds() {
    for (bug, seeds, kind) in PLANTED {
        let mut tries = 0;
        loop {
            let ended = runs(seeds.iter().copied(), Some(bug)).await;
            if found(&ended, kind) > 0 {
                break;
            }
            tries += 1;
            let broken: Vec<_> = ended.iter().map(|(_, ended)| &ended.broken).collect();
            assert!(tries < TRIES, "seeds {seeds:?} do not find {bug:?} in {tries} tries: {broken:?}");
        }
    }
}

/// How often each of these seeds finds its bug, of twenty times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "by hand: a few minutes"]
async fn how_often_their_seeds_find_them() {
    for (bug, seeds, kind) in PLANTED {
        for seed in seeds {
            let ended = runs(std::iter::repeat_n(*seed, AGAIN), Some(bug)).await;
            println!("{bug:?}: seed {seed} in {} of {AGAIN} runs", found(&ended, kind));
        }
    }
}

/// Which of two hundred seeds find which bug: by it the seeds above were chosen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "by hand: a quarter of an hour"]
async fn which_seeds_find_which_bug() {
    let mut figures = Vec::new();
    for (bug, _, kind) in PLANTED {
        let ended = runs(1..=200, Some(bug)).await;
        let by = ended.iter().filter(|(_, ended)| ended.broken.contains_key(kind));
        println!("{bug:?}: {:?}", by.map(|(schedule, _)| schedule.seed).collect::<Vec<_>>());
        let (found, of) = (found(&ended, kind), ended.len());
        assert!(found > 0, "{bug:?} is never found");
        figures.push(json!({"bug": format!("{bug:?}"), "kind": kind, "found": found, "of": of}));
    }
    evidence("simulation-planted", &Value::from(figures)).expect("a file of figures");
}

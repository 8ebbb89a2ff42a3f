//! However it ends, nothing is left at the daemon: no container, no network, no volume.

use std::time::{Duration, Instant};

use lanebench::stack::{ContainerOptions, ContainerStack};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use tokio_util::sync::CancellationToken;

use crate::Case;
use crate::bed::{Belongings, PATIENCE, Runs, check, lanebench, shown};

pub(crate) const CASES: &[Case] = &[
    ("a stack that is dropped by a panic, in a task or beside a runtime is gone", dropped),
    ("ctrl-c at any moment of the start leaves nothing", interrupted_start),
    ("ctrl-c ends a stack that is up", interrupted_up),
    ("ctrl-c in the middle of a run leaves nothing", interrupted_run),
    ("what a killed process left is swept by the next start", killed),
    ("what a process killed during its start left is swept too", killed_early),
    ("a start leaves alone what a living process has", living),
];

const UP: &str = "stack up --stack containers";
const RUN: &str = "compare --quiet --stack containers --configs 1p1c --rounds 50 --drain-events 300 --duration 1s --rate 100 --no-surge --no-warm-up";

fn start() -> Result<ContainerStack, Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let options = ContainerOptions::default();
    Ok(runtime.block_on(ContainerStack::start(options, &|_| {}, CancellationToken::new()))?)
}

fn dropped() -> Result<(), Failed> {
    let own = std::process::id();
    let volumes = || Belongings::of(own).map(|belongings| belongings.volumes);

    let beside = start()?;
    let had = volumes()?;
    drop(beside);
    Belongings::gone(own, &had)?;

    let in_a_task = start()?;
    let had = volumes()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async move { drop(in_a_task) });
    Belongings::gone(own, &had)?;

    let in_a_panic = start()?;
    let had = volumes()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let panicked = runtime.block_on(async {
        tokio::spawn(async move {
            let _held = in_a_panic;
            panic!("on purpose");
        })
        .await
    });
    check(panicked.is_err(), "it did not panic")?;
    Belongings::gone(own, &had)
}

/// Before anything is there, with the first container under way, with some, and with all of them.
fn interrupted_start() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    for containers in 0..=5 {
        let runs = Runs::spawn(lanebench(directory.path(), &format!("{UP} --nodes 3")))?;
        let pid = runs.pid();
        let had = Belongings::until(pid, containers)?;
        runs.signal(Signal::SIGINT)?;
        let begun = Instant::now();
        let ended = runs.ends()?;
        // All five containers may be there, and the stack just up. Before its handler is there, the signal simply ends it.
        let expected = if String::from_utf8_lossy(&ended.stdout).is_empty() { 130 } else { 0 };
        if containers > 0 || ended.status.code().is_some() {
            check(ended.status.code() == Some(expected), shown(&ended))?;
        }
        check(begun.elapsed() < Duration::from_secs(30), format!("it took {:?}", begun.elapsed()))?;
        Belongings::gone(pid, &had.volumes)?;
        let left: Vec<_> = std::fs::read_dir(directory.path())?.collect::<Result<_, _>>()?;
        check(left.is_empty(), format!("left in the temporary directory: {left:?}"))?;
    }
    Ok(())
}

fn interrupted_up() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let mut runs = Runs::spawn(lanebench(directory.path(), UP))?;
    let address = runs.says("LANEBENCH_REDIS_URL=")?;
    check(address.contains("redis://:"), "Redis has no password")?;
    let pid = runs.pid();
    let had = Belongings::of(pid)?;
    check(had.containers.len() == 3 && had.networks.len() == 1, format!("{had:?}"))?;
    runs.signal(Signal::SIGINT)?;
    let ended = runs.ends()?;
    check(ended.status.code() == Some(0), shown(&ended))?;
    Belongings::gone(pid, &had.volumes)
}

fn interrupted_run() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let out = directory.path().join("report");
    let runs = Runs::spawn(lanebench(directory.path(), &format!("{RUN} --out report")))?;
    let pid = runs.pid();
    let until = Instant::now() + PATIENCE;
    while !out.join("result.json").exists() {
        check(Instant::now() < until, "no trial was finished")?;
        check(Belongings::of(pid).is_ok(), "the daemon answers")?;
    }
    let had = Belongings::of(pid)?;
    runs.signal(Signal::SIGINT)?;
    let ended = runs.ends()?;
    check(ended.status.code() == Some(130), shown(&ended))?;
    Belongings::gone(pid, &had.volumes)
}

fn killed() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let mut runs = Runs::spawn(lanebench(directory.path(), UP))?;
    runs.says("LANEBENCH_REDIS_URL=")?;
    let pid = runs.pid();
    runs.signal(Signal::SIGKILL)?;
    runs.ends()?;
    let left = Belongings::of(pid)?;
    check(left.containers.len() == 3 && left.networks.len() == 1, format!("{left:?}"))?;
    swept(&["3 containers, 1 networks"], pid, &left)
}

fn killed_early() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let runs = Runs::spawn(lanebench(directory.path(), UP))?;
    let pid = runs.pid();
    Belongings::until(pid, 1)?;
    runs.signal(Signal::SIGKILL)?;
    runs.ends()?;
    // The daemon may still be making a container that was asked for.
    std::thread::park_timeout(Duration::from_secs(2));
    swept(&["removed what a killed run left behind"], pid, &Belongings::of(pid)?)
}

/// The next start says what it removed, and has.
fn swept(says: &[&str], pid: u32, left: &Belongings) -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let mut runs = Runs::spawn(lanebench(directory.path(), UP))?;
    let next = runs.pid();
    runs.says("LANEBENCH_REDIS_URL=")?;
    Belongings::gone(pid, &left.volumes)?;
    let had = Belongings::of(next)?;
    runs.signal(Signal::SIGTERM)?;
    let ended = runs.ends()?;
    let told = String::from_utf8_lossy(&ended.stderr);
    for part in says {
        check(told.contains(part), format!("`{part}` is not in {}", shown(&ended)))?;
    }
    Belongings::gone(next, &had.volumes)
}

fn living() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let mut runs = Runs::spawn(lanebench(directory.path(), UP))?;
    runs.says("LANEBENCH_REDIS_URL=")?;
    let before = Belongings::of(runs.pid())?;
    drop(start()?);
    check(Belongings::of(runs.pid())? == before, "another start removed what is in use")
}

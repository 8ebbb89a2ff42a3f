//! `lanebench compare` on the embedded stack, as a newcomer runs it: nothing installed, nothing left, nothing hidden.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use lanebench::record::file::{self, RESULT_FILE};
use lanebench::record::{Configuration, Phase, PhaseKind, RunResult, Trial};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A run in a directory of its own, on a PATH on which nothing is.
struct Newcomer {
    directory: tempfile::TempDir,
}

/// Small enough for a debug build: what is shown here is not speed.
const SMALL: &[&str] =
    &["--drain-events", "600", "--duration", "1s", "--rate", "200", "--no-surge", "--no-warm-up"];

impl Newcomer {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for name in ["tmp", "bin"] {
            std::fs::create_dir(directory.path().join(name)).unwrap();
        }
        Self { directory }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, flags: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lanebench"));
        command.arg("compare").args(flags).current_dir(self.directory.path());
        command.env_clear().env("PATH", self.path("bin")).env("TMPDIR", self.path("tmp"));
        command
    }

    /// Runs it to its end; checks its exit code, and that nothing is left in the temporary directory.
    #[track_caller]
    fn run(&self, flags: &[&str], exit: i32) -> Output {
        let output = self
            .command(SMALL)
            .args(["--rounds", "1"])
            .args(flags)
            .args(["--out", "report"])
            .output()
            .unwrap();
        self.ended(&output, exit);
        output
    }

    #[track_caller]
    fn ended(&self, output: &Output, exit: i32) {
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(exit), "{:?}: {told}", output.status.signal());
        let left: Vec<_> = std::fs::read_dir(self.path("tmp")).unwrap().map(|e| e.unwrap().path()).collect();
        assert!(left.is_empty(), "left behind: {left:?}");
    }

    fn result(&self) -> RunResult {
        file::load(&self.path("report").join(RESULT_FILE)).unwrap()
    }
}

#[track_caller]
fn compare(flags: &[&str], exit: i32) -> RunResult {
    let newcomer = Newcomer::new();
    newcomer.run(flags, exit);
    newcomer.result()
}

/// A phase that the trial must have had.
#[track_caller]
fn phase(trial: &Trial, kind: PhaseKind) -> &Phase {
    trial.phase(kind).unwrap_or_else(|| panic!("there was no {} phase", kind.as_str()))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn consumers_in_a_process_of_their_own_need_nothing_either() {
    let result = compare(&["--worker", "process", "--service-time", "0ms"], 0);
    for trial in result.configurations.iter().flat_map(|c| &c.trials) {
        let worker = trial.worker.as_ref().unwrap();
        assert_eq!(worker.measured_from, "inside");
        assert!(worker.peak_memory_bytes > Some(1_000_000), "{worker:?}");
        let (drain, steady) = (phase(trial, PhaseKind::Drain), phase(trial, PhaseKind::Steady));
        let outside = |phase: &Phase| phase.worker.as_ref().unwrap().outside.clone();
        let (visible, committed) = (drain.lasted_ms, outside(drain).lasted_ms.unwrap());
        assert!(committed >= visible, "committed after {committed} ms, visible after {visible} ms");
        let response = steady.response_time_ns.as_ref().unwrap();
        assert!(response.count > 0 && outside(steady).response_time_ns.unwrap().count == response.count);
        assert!(steady.stages_ns.store.count == response.count, "every milestone was told of");
        assert!(trial.verification.order_checks["consumer"].pairs > 0);
        for phase in &trial.phases {
            assert!(phase.worker.as_ref().unwrap().cpu_ns_per_event > 0.0, "{}", phase.name);
            assert!(phase.resources.iter().any(|r| r.name == "worker"), "{}", phase.name);
        }
    }
}

#[test]
fn modes_are_told_apart_by_name_and_checked_alike() {
    let flags = ["--configs", "1p1c,1p1c-batch", "--service-time", "0ms"];
    for worker in ["in-process", "process"] {
        let result = compare(&[&flags[..], &["--worker", worker]].concat(), 0);
        let ceilings = result.ceilings.as_ref().unwrap();
        let shares = ceilings.shares.iter().filter(|share| share.component == "store");
        let per_call = shares.map(|share| ceilings.limit_of(share).unwrap().per_call.is_some());
        assert_eq!(per_call.collect::<Vec<_>>(), [false, true], "many rows a call are batch mode's ceiling");
        let [record, batch] = &result.configurations[..] else { panic!("two configurations") };
        assert_eq!((record.name.as_str(), record.mode.as_str()), ("1p1c", "record"));
        assert_eq!((batch.name.as_str(), batch.mode.as_str()), ("1p1c-batch", "batch"));
        let truth = |configuration: &Configuration| configuration.trials[0].verification.clone();
        let (record, batch) = (truth(record), truth(batch));
        assert!(record.applied > 600 && record.writes_counted >= record.applied, "{record:?}");
        assert!(batch.applied > 600, "{batch:?}");
        assert!(batch.writes_counted < batch.applied, "a write brings several events of an order: {batch:?}");
        let pairs: Vec<_> = result.comparisons.iter().map(|c| (&*c.baseline, &*c.candidate)).collect();
        assert!(!pairs.is_empty() && pairs.iter().all(|pair| *pair == ("1p1c", "1p1c-batch")), "{pairs:?}");
    }
}

#[test]
fn through_the_api_every_answer_is_checked() {
    let newcomer = Newcomer::new();
    let output = newcomer.run(&["--through", "api", "--service-time", "0ms"], 0);
    assert!(text(&output.stdout).contains("answers of the API"), "{}", text(&output.stdout));
    let result = newcomer.result();
    assert_eq!(result.workload.through, "api");
    for trial in result.configurations.iter().flat_map(|c| &c.trials) {
        let (truth, api) = (&trial.verification, trial.verification.api.unwrap());
        assert!(truth.passed && truth.acked > 600 && truth.acked == truth.produced, "{truth:?}");
        assert_eq!((api.deliveries, api.mismatches), (truth.views_checked, 0));
        assert!(api.histories > 10, "{api:?}");
        for phase in &trial.phases {
            assert!(phase.resources.iter().any(|r| r.name == "api"), "{:?}", phase.resources);
        }
    }
}

#[test]
fn a_row_lost_behind_the_api_is_found_by_asking_it() {
    let result =
        compare(&["--through", "api", "--service-time", "0ms", "--configs", "1p1c", "--inject", "loss"], 3);
    let truth = &result.configurations[0].trials[0].verification;
    assert!(truth.findings.iter().any(|finding| finding.kind == "lost"), "{:?}", truth.findings);
}

#[test]
fn it_needs_nothing_and_says_what_it_is() {
    let newcomer = Newcomer::new();
    let output = newcomer.run(&[], 0);
    let (told, progress) = (text(&output.stdout), text(&output.stderr));
    assert!(told.starts_with("DEMONSTRATION"), "{told}");
    assert!(told.contains("2 ms"), "what is modelled is named: {told}");
    assert!(!told.contains('\x1b') && !progress.contains('\x1b'), "no escape codes in a pipe");
    assert!(progress.contains("round 1/1, 3p3c: drain") && progress.contains("control"), "{progress}");
    for file in
        ["index.html", "summary.md", "series.csv", "throughput.png", "latency.png", "lag.png", "order.png"]
    {
        assert!(newcomer.path("report").join(file).exists(), "{file} is missing");
    }
    let result = newcomer.result();
    assert!(result.passed && result.complete);
    assert_eq!(result.stack.name, "embedded");
    assert_eq!(result.stack.demonstration.len(), 2, "{:?}", result.stack.demonstration);
    assert!((result.workload.service_time_ms - 2.0).abs() < 1e-9);
    assert!(told.contains("as a share of its ceilings"), "{told}");
    let ceilings = result.ceilings.as_ref().unwrap();
    assert!(ceilings.named("generator").is_some() && ceilings.named("produce_single").is_some());
    for configuration in &result.configurations {
        let own = || ceilings.shares.iter().filter(|share| share.configuration == configuration.name);
        let components: Vec<&str> = own().map(|share| share.component.as_str()).collect();
        assert_eq!(components, ["store", "view", "produce", "fetch", "calls"]);
        assert_eq!(own().filter(|share| share.is_nearest).count(), 1);
        assert!(own().all(|share| share.share.n == 1 && share.share.value > 0.0), "{:?}", ceilings.shares);
    }
    let control = result.control.unwrap();
    assert!(control.service_time_ms.abs() < 1e-9);
    for (row, configuration) in control.configurations.iter().zip(&result.configurations) {
        assert_eq!(row.name, configuration.name);
        let (free, modelled) = (row.drain_per_s.as_ref().unwrap(), &configuration.trials[0]);
        assert!(row.verifications.iter().all(|v| v.passed && v.order_pairs_checked > 0));
        let (drained, lanes) = (phase(modelled, PhaseKind::Drain).throughput_per_s, configuration.consumers);
        assert!(drained <= f64::from(lanes) / 0.002, "a call takes 2 ms: {drained} of {lanes}");
        assert!(free.value > 0.0, "{free:?}");
        let truth = &modelled.verification;
        assert!(truth.passed && truth.lost == 0 && truth.order_pairs_checked > 0, "{truth:?}");
    }
}

/// A call that takes so long that what the machine is busy with does not matter beside it.
#[test]
fn the_control_is_free_of_what_is_modelled() {
    let newcomer = Newcomer::new();
    let mut command =
        newcomer.command(&["--configs", "3p3c", "--service-time", "20ms", "--drain-events", "150"]);
    command.args(["--rate", "100", "--duration", "1s", "--no-surge", "--no-warm-up", "--rounds", "1"]);
    command.args(["--out", "report"]);
    newcomer.ended(&command.output().unwrap(), 0);
    let result = newcomer.result();
    for (row, configuration) in result.control.unwrap().configurations.iter().zip(&result.configurations) {
        let drained = phase(&configuration.trials[0], PhaseKind::Drain).throughput_per_s;
        let free = row.drain_per_s.as_ref().unwrap().value;
        assert!(free > drained, "{}: {free} without it, {drained} with it", row.name);
    }
}

#[test]
fn formats_are_data_and_quiet_is_quiet() {
    let newcomer = Newcomer::new();
    let output = newcomer.run(&["--format", "json", "--quiet", "--configs", "1p1c"], 0);
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
    let result: RunResult = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result.configurations.len(), 1);
    let newcomer = Newcomer::new();
    let output = newcomer.run(&["--format", "markdown", "--quiet", "--configs", "1p1c"], 0);
    assert!(text(&output.stdout).contains("DEMONSTRATION"), "{}", text(&output.stdout));
}

#[test]
fn three_nodes_hold_three_replicas() {
    let result = compare(&["--nodes", "3", "--configs", "3p3c"], 0);
    assert_eq!(
        (result.stack.kafka.nodes, result.stack.kafka.replication, result.stack.kafka.min_isr),
        (3, 3, 2)
    );
}

#[test]
fn without_a_modelled_call_there_is_no_control() {
    let result = compare(&["--service-time", "0s", "--configs", "1p1c"], 0);
    assert!(result.control.is_none());
    assert_eq!(result.stack.demonstration.len(), 2);
}

/// Here a worker that does not tell is seen by its committed offsets alone, a commit interval late.
#[test]
fn an_objective_below_what_can_be_seen_is_refused_by_name() {
    let worker = format!("{} worker", env!("CARGO_BIN_EXE_lanebench"));
    let newcomer = Newcomer::new();
    let mut command = newcomer.command(SMALL);
    command.args(["--rounds", "1", "--out", "report", "--configs", "1p1c", "--worker-cmd", &worker]);
    // A command line is the shell's to read.
    command
        .args(["--worker-warm-up", "0", "--objective", "5ms"])
        .env("PATH", std::env::var_os("PATH").unwrap());
    let output = command.output().unwrap();
    newcomer.ended(&output, 1);
    let told = String::from_utf8_lossy(&output.stderr);
    for said in
        ["an objective of 5ms is below what can be seen of 1p1c", "committed offsets", "hint: ask for more"]
    {
        assert!(told.contains(said), "{said}: {told}");
    }
    // In this process consumers tell themselves.
    let result = compare(&["--configs", "1p1c", "--objective", "5ms"], 0);
    assert_eq!(result.workload.objective_ns, Some(5_000_000));
}

/// The findings' kinds of a run whose checks must fail.
#[track_caller]
fn kinds(flags: &[&str]) -> Vec<String> {
    let result = compare(flags, 3);
    assert!(!result.passed);
    let truth = &result.configurations[0].trials[0].verification;
    truth.findings.iter().map(|f| f.kind.clone()).collect()
}

#[test]
fn what_is_broken_on_purpose_is_found_here_too() {
    assert!(kinds(&["--configs", "1p1c", "--inject", "loss"]).contains(&"lost".to_owned()));
    assert!(kinds(&["--configs", "1p1c", "--inject", "reorder"]).contains(&"order".to_owned()));
    assert!(kinds(&["--configs", "1p1c", "--inject", "stale-view"]).contains(&"view".to_owned()));
    assert!(kinds(&["--configs", "3p3c", "--key", "none"]).contains(&"split-order".to_owned()));
    let result = compare(&["--configs", "1p2c", "--inject", "duplicate"], 0);
    assert_eq!(result.configurations[0].trials[0].verification.resent, 1);
    let idle = result.warnings.iter().find(|warning| warning.code == "idle-consumers").unwrap();
    assert!(idle.message.contains("1 consumer of 1p2c"), "{}", idle.message);
    let result = compare(&["--configs", "1p1c", "--inject", "poison"], 0);
    let truth = &result.configurations[0].trials[0].verification;
    assert_eq!((truth.dead_lettered, truth.lost), (1, 0), "{truth:?}");
    assert!(truth.writes_counted > 0 && truth.contents_checked == truth.writes_counted, "{truth:?}");
}

#[test]
fn a_reader_of_progress_who_leaves_ends_nothing() {
    let newcomer = Newcomer::new();
    let mut command = newcomer.command(SMALL);
    command.args(["--rounds", "1", "--configs", "1p1c", "--out", "report"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    let output = child.wait_with_output().unwrap();
    newcomer.ended(&output, 0);
    assert!(newcomer.result().complete);
}

/// Waits until the child has saved a trial.
fn a_trial_is_saved(report: &Path, child: &mut Child) {
    let begun = Instant::now();
    while file::load(&report.join(RESULT_FILE)).is_ok_and(|r| r.configurations[0].trials.is_empty())
        || !report.join(RESULT_FILE).exists()
    {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        assert!(begun.elapsed() < Duration::from_secs(60), "no trial was saved");
        std::thread::yield_now();
    }
}

#[test]
fn ctrl_c_keeps_the_finished_trials_and_leaves_nothing() {
    let newcomer = Newcomer::new();
    let mut command = newcomer.command(SMALL);
    command.args(["--rounds", "50", "--configs", "1p1c", "--out", "report"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    a_trial_is_saved(&newcomer.path("report"), &mut child);
    let begun = Instant::now();
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(10), "it wound down in {:?}", begun.elapsed());
    newcomer.ended(&output, 130);
    let result = newcomer.result();
    assert!(!result.complete && result.passed);
    assert!(newcomer.path("report").join("index.html").exists(), "the finished trials are shown");
}

//! `lanebench limits` on the embedded stack: every component has its limits, and nothing is left.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use lanebench::record::file::{LIMITS_FILE, load_limits};
use lanebench::record::limits::LimitsRecord;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A directory of its own, with one for temporary files.
struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("tmp")).unwrap();
        Self(directory)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, flags: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lanebench"));
        command.args(flags).current_dir(self.0.path()).env("TMPDIR", self.path("tmp"));
        command
    }

    fn limits(&self, flags: &[&str]) -> Command {
        let mut command = self.command(&["limits", "--out", "report"]);
        command.args(flags);
        command
    }

    /// Short measurements: what is shown here is not speed.
    fn short(&self, flags: &[&str]) -> Command {
        let mut command = self.limits(&["--duration", "40ms", "--connections", "2"]);
        command.args(flags);
        command
    }

    /// Checks the exit code, and that nothing is left in the temporary directory.
    #[track_caller]
    fn ended(&self, output: &Output, exit: i32) {
        assert_eq!(output.status.code(), Some(exit), "{}", text(&output.stderr));
        let left: Vec<_> = std::fs::read_dir(self.path("tmp")).unwrap().map(|e| e.unwrap().path()).collect();
        assert!(left.is_empty(), "left behind: {left:?}");
    }

    fn record(&self) -> LimitsRecord {
        load_limits(&self.path("report").join(LIMITS_FILE)).unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn each_component_has_its_limits_and_nothing_is_left() {
    let bench = Bench::new();
    let output = bench.short(&["--rounds", "1"]).output().unwrap();
    bench.ended(&output, 0);
    let record = bench.record();
    assert!(record.complete && record.command == "limits");
    let names: Vec<&str> = record.limits.iter().map(|limit| limit.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "fsync",
            "store_1",
            "store_N",
            "store_bulk",
            "store_bulk",
            "store_bulk",
            "store_bulk",
            "view_1",
            "view_N",
            "view_pipelined",
            "produce_1",
            "fetch_1",
            "produce_N",
            "fetch_N",
            "produce_single",
            "generator"
        ]
    );
    let (fsync, measured) = record.limits.split_first().unwrap();
    assert!(fsync.estimate.is_none() && fsync.not_measured.is_some(), "{fsync:?}");
    for limit in measured {
        let estimate = limit.estimate.as_ref().unwrap_or_else(|| panic!("{} was not measured", limit.name));
        assert!(estimate.n == 1 && estimate.value > 0.0 && limit.unit == "per_s", "{limit:?}");
    }
    let best = measured.iter().filter(|limit| limit.name == "store_bulk" && limit.is_ceiling);
    assert_eq!(best.count(), 1, "one of the sizes is the best");
    let (printed, progress) = (text(&output.stdout), text(&output.stderr));
    assert!(printed.starts_with("DEMONSTRATION"), "{printed}");
    assert!(progress.contains("round 1/1: store, 2 connections"), "{progress}");
    let copied = |line: &&str| line.starts_with("repeat: ") || line.starts_with("report: ");
    for wide in printed.lines().filter(|line| !copied(line)) {
        assert!(wide.chars().count() <= 80, "wider than a terminal: {wide}");
    }
    assert!(bench.path("report").join("summary.md").exists());
    let again = bench.command(&["report", "report"]).output().unwrap();
    assert_eq!((again.status.code(), text(&again.stdout)), (Some(0), printed), "{}", text(&again.stderr));
}

#[test]
fn formats_are_data_and_quiet_is_quiet() {
    let bench = Bench::new();
    let output = bench.short(&["--rounds", "1", "--quiet", "--format", "json"]).output().unwrap();
    bench.ended(&output, 0);
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
    let record: LimitsRecord = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((record.limits.len(), record.rounds), (16, 1));
    let markdown = bench.command(&["report", "report", "--format", "markdown"]).output().unwrap();
    assert!(text(&markdown.stdout).contains("| store\\_bulk | 1,000 a call"), "{}", text(&markdown.stdout));
}

#[test]
fn what_can_not_be_measured_is_refused_before_anything_starts() {
    let bench = Bench::new();
    let refused = |flags: &[&str], says: &str| {
        let output = bench.limits(flags).output().unwrap();
        bench.ended(&output, 2);
        assert!(text(&output.stderr).contains(says), "{}", text(&output.stderr));
        assert!(!bench.path("report").exists());
    };
    refused(&["--connections", "1"], "2..=32");
    refused(&["--duration", "1h"], "a measurement lasts 20ms to 10s");
    refused(&["--replication", "3"], "3 replicas need 3 nodes");
}

#[test]
fn ctrl_c_keeps_the_finished_rounds_and_leaves_nothing() {
    let bench = Bench::new();
    let mut command = bench.short(&["--rounds", "100"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    while !bench.path("report").join(LIMITS_FILE).exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        assert!(begun.elapsed() < Duration::from_secs(120), "no round was saved");
        std::thread::yield_now();
    }
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    bench.ended(&output, 130);
    let record = bench.record();
    assert!(!record.complete && record.limits.iter().any(|limit| limit.estimate.is_some()));
    let printed = text(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(printed.contains("The run was interrupted: 100 were asked for."), "{printed}");
}

//! `lanebench gate` with real worker processes on the embedded stack: each exit code by a worker that earns it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use lanebench::record::file::GATE_FILE;
use lanebench::record::gate::{GateRecord, GateVerdict, PoolRecord};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const BINARY: &str = env!("CARGO_BIN_EXE_lanebench");

/// A gate in a directory of its own, small enough for a debug build: what is shown here is not speed.
struct Gate {
    directory: tempfile::TempDir,
    command: Command,
}

impl Gate {
    /// Judged by throughput alone.
    fn new(tolerance: &str, flags: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("tmp")).unwrap();
        let rules = format!("[[metric]]\nname = \"throughput\"\ntolerance = \"{tolerance}\"\n");
        std::fs::write(directory.path().join("gate.toml"), rules).unwrap();
        let mut command = Command::new(BINARY);
        command.args(["gate", "--out", "out", "--quiet"]).args(flags);
        if !flags.contains(&"--drain-events") {
            command.args(["--drain-events", "800"]);
        }
        command.current_dir(directory.path()).env("TMPDIR", directory.path().join("tmp"));
        Self { directory, command }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs it to its end; what was left behind would be found.
    #[track_caller]
    fn ends(mut self, exit: i32, verdict: GateVerdict) -> (Self, GateRecord, Output) {
        let output = self.command.output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(exit), "{told}{}", String::from_utf8_lossy(&output.stdout));
        let left: Vec<_> = std::fs::read_dir(self.path("tmp")).unwrap().map(|e| e.unwrap().path()).collect();
        assert!(left.is_empty(), "left behind: {left:?}");
        let text = std::fs::read_to_string(self.path("out").join(GATE_FILE)).unwrap();
        let record: GateRecord = serde_json::from_str(&text).unwrap();
        assert_eq!((record.verdict, i32::from(record.exit_code)), (verdict, exit));
        (self, record, output)
    }
}

#[test]
fn a_worker_that_is_right_is_held() {
    // A debug build on a machine that runs other tests: a fifth of the speed would be noticed, a half may be noise.
    let gate = Gate::new("80%", &["--baseline-bin", BINARY]);
    let (gate, record, output) = gate.ends(0, GateVerdict::Held);
    assert!(record.complete && record.rounds.len() >= 6, "{} rounds", record.rounds.len());
    assert!(record.turn_ms.is_some());
    for pair in record.rounds.chunks(2) {
        assert_ne!(pair[0].candidate_first, pair[1].candidate_first, "each has the first turn as often");
    }
    for trial in record.rounds.iter().flat_map(|round| [&round.baseline, &round.candidate]) {
        let truth = &trial.verification;
        assert!(truth.passed && truth.order_checks["consumer"].pairs > 0, "{truth:?}");
        assert!(trial.values.cpu_ns_per_event.unwrap() > 0.0);
        assert!(trial.values.peak_memory_bytes.unwrap() > 1e6);
    }
    assert!(String::from_utf8_lossy(&output.stdout).contains("throughput"));
    let told = std::fs::read_to_string(gate.path("out/gate.md")).unwrap();
    assert_eq!(record.configuration, "1p1c");
    assert!(told.contains("Configuration of both: 1p1c."), "{told}");
    assert!(told.contains("throughput") && gate.path("out/gate.png").exists());

    let mut again = Command::new(BINARY);
    again.args(["report", "out/gate.json", "--out", "again"]).current_dir(gate.path("."));
    assert!(again.output().unwrap().status.success());
    assert_eq!(
        std::fs::read_to_string(gate.path("again/gate.md")).unwrap(),
        told,
        "rendered again, it is the same"
    );
}

#[test]
fn a_worker_that_loses_events_fails_truth() {
    let gate = Gate::new("80%", &["--baseline-bin", BINARY, "--handicap", "drop:100"]);
    let (_, record, _) = gate.ends(3, GateVerdict::TruthFailed);
    assert_eq!(record.rounds.len(), 1, "no more rounds after that");
    let candidate = &record.rounds[0].candidate.verification;
    assert!(candidate.lost > 0, "{candidate:?}");
    assert!(record.rounds[0].baseline.verification.passed);
}

#[test]
fn a_worker_that_is_slow_has_regressed() {
    let gate = Gate::new("20%", &["--baseline-bin", BINARY, "--handicap", "cpu:400%"]);
    let (_, record, _) = gate.ends(4, GateVerdict::Regressed);
    let metric = record.looks.last().unwrap().metrics[0].measured.unwrap();
    assert!(metric.high < 1.0 && metric.ratio < 0.8, "{metric:?}");
}

#[test]
fn a_gate_that_is_cut_short_has_decided_nothing() {
    let gate = Gate::new("80%", &["--baseline-bin", BINARY, "--time-limit", "1s"]);
    let (_, record, output) = gate.ends(5, GateVerdict::Undecided);
    assert!(!record.complete && record.rounds.len() == 1, "{} rounds", record.rounds.len());
    assert!(record.warnings.iter().any(|w| w.code == "cut-short"));
    assert!(String::from_utf8_lossy(&output.stdout).contains("cut-short"));
}

#[test]
fn a_baseline_that_dies_makes_it_void() {
    // It lives through the one warm-up drain, of 1,500 events, and not through the round's.
    let dying = format!("{BINARY} worker --handicap die:2500");
    let flags = ["--baseline-cmd", &dying, "--drain-events", "4000", "--worker-warm-up", "0"];
    let gate = Gate::new("80%", &flags);
    let (_, record, _) = gate.ends(5, GateVerdict::Void);
    assert!(record.rounds[0].candidate.verification.passed);
    let findings = &record.rounds[0].baseline.verification.findings;
    assert!(findings[0].message.contains("the worker ended"), "{findings:?}");
}

#[test]
fn a_worker_that_never_joins_is_an_error_with_its_log() {
    let idle = "sh -c 'echo not today; exec sleep 600'";
    let mut gate = Gate::new("80%", &["--baseline-cmd", idle]);
    let output = gate.command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    for part in ["baseline: 1 partitions were not shared", "not today", "hint: a worker joins"] {
        assert!(told.contains(part), "{part:?} is not in: {told}");
    }
}

#[test]
fn a_worker_that_works_elsewhere_is_refused() {
    // As the client of a container would: what it starts is no child of its own.
    let script = format!(
        "pid=$(setsid {BINARY} worker </dev/null >/dev/null 2>&1 & echo $!)\n\
         sleep 600 & waited=$!\n\
         trap 'kill $pid $waited; while kill -0 $pid; do sleep 0.05; done; exit 0' TERM\n\
         wait\n"
    );
    let mut gate = Gate::new("80%", &["--baseline-cmd", "sh elsewhere.sh"]);
    std::fs::write(gate.path("elsewhere.sh"), script).unwrap();
    let output = gate.command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    for part in
        ["baseline: ", "process does not do the work itself: it used only", "hint: give the program itself"]
    {
        assert!(told.contains(part), "{part:?} is not in: {told}");
    }
}

#[test]
fn ctrl_c_ends_it_with_what_was_finished_and_nothing_is_left() {
    let flags = ["--baseline-bin", BINARY, "--pool", "500", "--config", "1p1c-keyed64"];
    let Gate { directory, mut command } = Gate::new("80%", &flags);
    let pool = directory.path().join("out/pool.json");
    let mut child = command.spawn().unwrap();
    let (_never, wait) = mpsc::channel::<()>();
    let begun = Instant::now();
    while !pool.exists() {
        assert!(begun.elapsed() < Duration::from_secs(120), "no round was finished");
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        let _timed_out = wait.recv_timeout(Duration::from_millis(20));
    }
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let left: Vec<_> = std::fs::read_dir(directory.path().join("tmp")).unwrap().collect();
    assert!(left.is_empty(), "left behind: {left:?}");
    let kept: PoolRecord = serde_json::from_str(&std::fs::read_to_string(pool).unwrap()).unwrap();
    assert!(!kept.rounds.is_empty());
    assert_eq!(kept.configuration, "1p1c-keyed64");
}

/// A repository with these files, committed.
fn repository(at: &Path, files: &[(&str, &str)]) {
    let git = |arguments: &[&str]| {
        let done = Command::new("git").arg("-C").arg(at).args(arguments).output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    };
    git(&["init", "--quiet"]);
    for (name, text) in files {
        std::fs::create_dir_all(at.join(name).parent().unwrap()).unwrap();
        std::fs::write(at.join(name), text).unwrap();
    }
    git(&["add", "--all"]);
    git(&["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "--quiet", "-m", "broken"]);
}

#[test]
fn a_baseline_that_does_not_build_is_an_error_with_what_the_compiler_says() {
    let gate = Gate::new("80%", &["--baseline", "HEAD"]);
    let manifest = "[package]\nname = \"lanebench\"\nversion = \"0.0.0\"\nedition = \"2024\"\n";
    let lock = "version = 4\n\n[[package]]\nname = \"lanebench\"\nversion = \"0.0.0\"\n";
    let source = "fn main() { not_there() }\n";
    repository(&gate.path("."), &[("Cargo.toml", manifest), ("Cargo.lock", lock), ("src/main.rs", source)]);
    let Gate { directory, mut command } = gate;
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    for part in ["baseline HEAD", "does not build", "cannot find function `not_there`", "hint: "] {
        assert!(told.contains(part), "{part:?} is not in: {told}");
    }
    assert!(told.lines().count() < 20, "short: {told}");
    let kept = directory.path().join("target/lanebench-gate");
    let trees = std::fs::read_dir(kept)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".tree"));
    assert_eq!(trees.count(), 0, "its worktree is gone");
    assert!(!directory.path().join("out").exists(), "and nothing was written");
}

#[test]
fn bad_input_is_refused_before_anything_starts() {
    let check = |flags: &[&str], exit: i32, says: &[&str]| {
        let mut gate = Gate::new("80%", flags);
        let output = gate.command.output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(exit), "{flags:?}: {told}");
        for part in says {
            assert!(told.contains(part), "{flags:?}: {part:?} is not in: {told}");
        }
        assert!(!gate.path("out").exists(), "{flags:?}");
    };
    check(&[], 2, &["--baseline"]);
    check(&["--baseline", "x", "--baseline-bin", "y"], 2, &["cannot be used with"]);
    check(&["--baseline-bin", "no-such-file"], 2, &["no-such-file", "hint: "]);
    check(&["--baseline-bin", "/bin/false"], 2, &["has no `lanebench worker`", "hint: "]);
    check(&["--baseline-cmd", " "], 2, &["`--baseline-cmd` is empty", "hint: "]);
    check(&["--baseline-cmd", "no-such-worker"], 1, &["baseline", "no-such-worker", "hint: "]);
    check(&["--baseline", "no-such-ref"], 1, &["git", "hint: "]);
}

#[test]
fn a_malformed_gate_toml_names_line_and_key() {
    let mut gate = Gate::new("80%", &["--baseline-bin", BINARY]);
    std::fs::write(gate.path("gate.toml"), "[[metric]]\nname = \"throughput\"\ntolerence = \"6%\"\n")
        .unwrap();
    let output = gate.command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    for part in ["gate.toml", "line 3", "tolerence", "tolerance", "hint: "] {
        assert!(told.contains(part), "{part:?} is not in: {told}");
    }
}

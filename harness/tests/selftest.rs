//! `lanebench selftest` on the embedded stack: each fault that is planted into a worker is named, by everything that should name it.

use std::process::{Command, Stdio};

use serde_json::Value;

/// What the selftest says of these faults, having ended with this code.
#[track_caller]
fn selftest(flags: &[&str], expected: i32) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lanebench"));
    command.args(["selftest", "--only", "truth", "--quiet", "--format", "json"]).args(flags);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(expected), "{told}{}", String::from_utf8_lossy(&output.stdout));
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

/// Each of the faults is named, from inside and from outside.
#[track_caller]
fn named(faults: &[&str]) {
    let report = selftest(&["--clean", "0", "--faults", &faults.join(",")], 0);
    let trials = report["faults"].as_array().unwrap();
    assert_eq!(trials.len(), 2 * faults.len(), "{trials:?}");
    for trial in trials {
        assert_eq!(trial["verdict"], "named", "{trial}");
        assert!(trial["planted"].as_u64().unwrap() > 0 && trial["planted"] == trial["named"], "{trial}");
    }
}

#[test]
fn events_that_are_dropped_skipped_or_forgotten_are_named() {
    named(&["drop", "skip", "unpark", "letter", "refuse"]);
}

#[test]
fn rows_that_are_set_back_written_twice_or_made_up_are_named() {
    named(&["guard", "twice", "content", "place", "phantom"]);
}

#[test]
fn events_out_of_order_and_offsets_out_of_step_are_named() {
    named(&["swap", "commit-ahead", "never-commit"]);
}

#[test]
fn statuses_that_are_set_back_or_left_out_are_named_and_nothing_else_is() {
    named(&["view-back", "view-skip"]);
    let report = selftest(&["--times", "0", "--clean", "4"], 0);
    assert_eq!(report["clean"], serde_json::json!([[], [], [], []]));
}

#[test]
fn a_fault_that_there_is_not_is_refused_with_those_that_there_are() {
    let output = Command::new(env!("CARGO_BIN_EXE_lanebench"))
        .args(["selftest", "--faults", "twise"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("`twise` is no fault") && told.contains("view-back"), "{told}");
}

#[test]
fn a_dose_is_refused_where_no_answer_can_be_held_back() {
    let output = Command::new(env!("CARGO_BIN_EXE_lanebench"))
        .args(["selftest", "--only", "dose", "--stack", "native"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("only the embedded one does") && told.contains("leave `--stack` out"), "{told}");
}

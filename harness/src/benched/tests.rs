//! Directories as criterion 0.7 leaves them.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::*;

/// Writes the last run of a benchmark: ten samples of `iters` iterations, or fewer, and a mean of `mean_ns` ± a tenth.
fn write(root: &Path, id: [&str; 3], elements: u64, mean_ns: f64, samples: usize) -> PathBuf {
    let dir = root.join(id.join("/")).join("new");
    fs::create_dir_all(&dir).unwrap();
    let time = |ns: f64| {
        json!({
            "confidence_interval":
                { "confidence_level": 0.95, "lower_bound": ns * 0.9, "upper_bound": ns * 1.1 },
            "point_estimate": ns,
            "standard_error": ns * 0.05,
        })
    };
    let benchmark = json!({
        "group_id": id[0], "function_id": id[1], "value_str": id[2], "throughput": { "Elements": elements },
        "full_id": id.join("/"), "directory_name": id.join("/"), "title": id.join("/"),
    });
    let estimates = json!({
        "mean": time(mean_ns), "median": time(mean_ns), "median_abs_dev": time(1.0), "slope": null,
        "std_dev": time(1.0),
    });
    let sample = json!({
        "sampling_mode": "Flat", "iters": vec![2.0; samples], "times": vec![2.0 * mean_ns; samples],
    });
    for (name, content) in [("benchmark", benchmark), ("estimates", estimates), ("sample", sample)] {
        fs::write(dir.join(format!("{name}.json")), content.to_string()).unwrap();
    }
    dir
}

const MODELLED: &str = "embedded, record, 2 ms modelled";

/// A pipeline that drains 400 events in 1 s and in 0.4 s.
fn pipeline_in(root: &Path) {
    write(root, ["pipeline", MODELLED, "3p3c"], 400, 0.4e9, 10);
    write(root, ["pipeline", MODELLED, "1p1c"], 400, 1e9, 10);
}

#[test]
fn one_partition_is_the_baseline_of_three() {
    let dir = tempfile::tempdir().unwrap();
    pipeline_in(dir.path());
    write(dir.path(), ["codec", "decode", "300 B"], 1000, 250_000.0, 30);
    let benched = read(dir.path()).unwrap();
    let [pipeline] = &benched.pipelines[..] else { panic!("one pipeline: {benched:?}") };
    assert_eq!((pipeline.stack.as_str(), pipeline.mode.as_str()), ("embedded", "record"));
    assert_eq!(pipeline.service_time_ms, 2.0);
    let [one, three] = &pipeline.lanes[..] else { panic!("two configurations: {pipeline:?}") };
    assert_eq!((one.name.as_str(), one.events), ("1p1c", 400));
    let rate = &one.throughput_per_s;
    assert!((rate.value - 400.0).abs() < 1e-6 && rate.values.len() == 10);
    assert!((rate.low.unwrap() - 400.0 / 1.1).abs() < 1e-6, "from the upper bound of the time");
    assert!(one.ratio.is_none());
    let ratio = three.ratio.as_ref().unwrap();
    assert!((ratio.value - 2.5).abs() < 1e-9 && ratio.low.unwrap() < 2.5 && ratio.high.unwrap() > 2.5);
    let [codec] = &benched.components[..] else { panic!("one part: {benched:?}") };
    assert_eq!(codec.name, "codec/decode/300 B");
    assert!((codec.throughput_per_s.value - 4e6).abs() < 1e-3);
    assert!(!benched.demonstration.is_empty(), "an embedded pipeline stands in for a real one");
    assert!(benched.measured.0.ends_with('Z') && benched.measured.0 <= benched.measured.1);
}

#[test]
fn stacks_modes_and_costs_are_not_mixed() {
    let dir = tempfile::tempdir().unwrap();
    for id in [
        "native, record, nothing modelled",
        "native, batch, nothing modelled",
        "native, record, 2 ms modelled",
    ] {
        write(dir.path(), ["pipeline", id, "1p1c"], 400, 1e9, 10);
    }
    let benched = read(dir.path()).unwrap();
    let of = |p: &Pipeline| format!("{} {} {}", p.stack, p.mode, p.service_time_ms);
    let all: Vec<String> = benched.pipelines.iter().map(of).collect();
    assert_eq!(all, ["native batch 0", "native record 0", "native record 2"]);
    assert!(benched.demonstration.is_empty());
}

#[test]
fn a_quick_look_has_no_interval() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), ["pipeline", MODELLED, "1p1c"], 400, 1e9, 2);
    write(dir.path(), ["pipeline", MODELLED, "3p3c"], 400, 0.5e9, 10);
    let benched = read(dir.path()).unwrap();
    let [one, three] = &benched.pipelines[0].lanes[..] else { panic!("two configurations") };
    assert_eq!((one.throughput_per_s.n, one.throughput_per_s.low), (2, None));
    assert!(three.throughput_per_s.low.is_some() && three.ratio.as_ref().unwrap().low.is_none());
}

#[test]
fn a_baseline_is_not_the_last_run() {
    let dir = tempfile::tempdir().unwrap();
    pipeline_in(dir.path());
    let last = dir.path().join("pipeline").join(MODELLED).join("1p1c");
    fs::create_dir(last.join("before")).unwrap();
    fs::write(last.join("before/benchmark.json"), "whatever").unwrap();
    assert_eq!(read(dir.path()).unwrap().pipelines[0].lanes.len(), 2);
}

#[track_caller]
fn refused(root: &Path, says: &str, hints: &str) {
    let error = read(root).unwrap_err();
    assert!(error.to_string().contains(says), "{error}");
    assert!(error.hint().contains(hints), "{}", error.hint());
}

#[test]
fn what_is_missing_or_foreign_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    refused(&root.join("none"), "no directory", "`cargo bench`");
    refused(root, "no benchmark of the pipeline", "cargo bench -- pipeline");
    write(root, ["codec", "decode", "300 B"], 1000, 250_000.0, 30);
    write(root, ["pipeline", "somebody else's", "x"], 1000, 250_000.0, 30);
    refused(root, "(2 others do)", "cargo bench -- pipeline");
    pipeline_in(root);
    let odd = root.join("codec/decode/300 B/new/estimates.json");
    fs::write(&odd, "{}").unwrap();
    refused(
        root,
        "estimates.json is not as criterion 0.7 writes it: missing field `mean`",
        "codec/decode/300 B, and run",
    );
    write(root, ["codec", "decode", "300 B"], 1000, 0.0, 30);
    refused(root, "a time is not above 0", "remove");
    fs::remove_file(odd.with_file_name("sample.json")).unwrap();
    refused(root, "sample.json could not be read", "check that you may read it");
}

//! The report's pages in a headless Chromium, as readers have it: on a desk, on a telephone and printed, light and dark.
//!
//! Without Chromium this says loudly what it left out and passes; with `LANEBENCH_REQUIRE_REAL` set, as in CI, it fails.
//! `LANEBENCH_KEEP_REPORTS=DIR` keeps each page and what it looks like.

mod browser;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex, PoisonError};

use browser::{Browser, View};
use lanebench::record;
use lanebench::report::bench::fixture as benchmarks;
use lanebench::report::fixture;
use lanebench::report::scenario::fixture as scenarios;
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;

/// What a reader has whose system knows none of the fonts that the page asks for: among the widest there are.
const WIDE: Option<&str> = Some("DejaVu Sans");

const VIEWS: [View; 8] = [
    View { name: "desk-light", media: "screen", width: 1280, dark: false, font: None },
    View { name: "desk-dark", media: "screen", width: 1280, dark: true, font: None },
    View { name: "phone-light", media: "screen", width: 360, dark: false, font: None },
    View { name: "phone-dark", media: "screen", width: 360, dark: true, font: None },
    // A4 within its margins, at 96 pixels an inch.
    View { name: "print", media: "print", width: 688, dark: false, font: None },
    View { name: "print-dark", media: "print", width: 688, dark: true, font: None },
    View { name: "desk-wide", media: "screen", width: 1280, dark: false, font: WIDE },
    View { name: "phone-wide", media: "screen", width: 360, dark: false, font: WIDE },
];

/// What each chart says on its axes.
const AXES: [(&str, &[&str]); 4] = [
    ("throughput", &["events/s"]),
    ("latency", &["percentile of events", "p99", "time in the stage", " ms"]),
    ("lag", &["lag in records", "lag in ms", "seconds since the start of the phase"]),
    ("order", &["pairs checked"]),
];

/// And each chart of benchmarks.
const PIPELINES: [(&str, &[&str]); 2] = [("pipeline-1", &["events/s"]), ("pipeline-2", &["events/s"])];

/// And each chart of scenarios.
const SCENARIOS: [(&str, &[&str]); 2] =
    [("scenario-1", &["seconds since the phase began"]), ("scenario-2", &["seconds since the phase began"])];

/// Text smaller than this, in CSS pixels, can't be read.
const SMALLEST: f64 = 8.0;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1); // they share one tab
    let cases = cases();
    if arguments.list {
        let idle = cases.into_iter().map(|case| Trial::test(case.name, || Ok(()))).collect();
        return libtest_mimic::run(&arguments, idle).exit_code();
    }
    let Some(program) = browser::installed() else {
        eprintln!("\nLEFT OUT: the report's pages in a browser, for want of Chromium.");
        eprintln!("`apt-get install chromium` brings it; `ci/setup` does it.\n");
        let required = std::env::var_os("LANEBENCH_REQUIRE_REAL").is_some();
        return if required { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    };
    let browser = match Browser::start(program) {
        Ok(browser) => Arc::new(Mutex::new(browser)),
        Err(error) => {
            eprintln!("{program} did not start: {error:?}");
            return ExitCode::FAILURE;
        }
    };
    let mut trials: Vec<Trial> = cases
        .into_iter()
        .map(|case| {
            let browser = Arc::clone(&browser);
            Trial::test(case.name, move || {
                looked_at(&mut browser.lock().unwrap_or_else(PoisonError::into_inner), &case)
            })
        })
        .collect();
    let shared = Arc::clone(&browser);
    trials.push(Trial::test("a_bad_page_is_told_from_a_good_one", move || {
        finds_what_is_wrong(&mut shared.lock().unwrap_or_else(PoisonError::into_inner))
    }));
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// One page.
struct Case {
    name: &'static str,
    html: String,
    /// What each of its charts says on its axes.
    axes: Vec<(&'static str, &'static [&'static str])>,
    /// Whether it has something to show in every chart.
    measured: bool,
}

/// The page of every made-up run, of every set of benchmarks, and of scenarios.
fn cases() -> Vec<Case> {
    let run = |(name, result)| Case {
        name,
        html: lanebench::report::html::page(&result).expect("a page"),
        axes: AXES.into(),
        measured: !matches!(name, "empty" | "hollow"),
    };
    let benched = |(name, benched): (_, record::bench::Benched)| Case {
        name,
        html: lanebench::report::bench::page(&benched).expect("a page"),
        axes: PIPELINES[..benched.pipelines.len()].into(),
        measured: true,
    };
    let broken = |(name, record): (_, record::scenario::ScenarioRecord)| Case {
        name,
        html: lanebench::report::scenario::page(&record).expect("a page"),
        axes: SCENARIOS[..record.scenarios.len()].into(),
        measured: name != "scenario-empty",
    };
    let runs = fixture::all().into_iter().map(run);
    let scenarios = scenarios::all().into_iter().map(broken);
    runs.chain(benchmarks::all().into_iter().map(benched)).chain(scenarios).collect()
}

/// One page in every view: nothing asked for, nothing complained of, nothing out of place.
fn looked_at(browser: &mut Browser, case: &Case) -> Result<(), Failed> {
    let name = case.name;
    let scratch = tempfile::tempdir()?;
    let kept = std::env::var_os("LANEBENCH_KEEP_REPORTS").map(|dir| Path::new(&dir).join(name));
    let dir = kept.clone().unwrap_or_else(|| scratch.path().to_owned());
    std::fs::create_dir_all(&dir)?;
    let file = dir.join("index.html");
    std::fs::write(&file, &case.html)?;
    let mut wrong = Vec::new();
    for view in VIEWS {
        let report = look(browser, &file, view)?;
        wrong.extend(report.wrong.iter().map(|w| format!("{}: {w}", view.name)));
        let odd = charts(&report.charts, &case.axes, case.measured);
        wrong.extend(odd.into_iter().map(|w| format!("{}: {w}", view.name)));
        if (report.paper == [20, 23, 28]) != (view.dark && view.media == "screen") {
            wrong.push(format!("{}: on paper of colour {:?}", view.name, report.paper));
        }
        if !matches!(name, "noisy" | "hostile" | "bench-hostile" | "scenario-hostile") {
            wrong.extend(cut(&report.charts).into_iter().map(|text| format!("{}: cut: {text}", view.name)));
        }
        if let Some(dir) = &kept {
            keep(browser, dir, view)?;
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

struct Report {
    wrong: Vec<String>,
    charts: Vec<Value>,
    paper: Vec<u64>,
}

fn look(browser: &mut Browser, file: &Path, view: View) -> Result<Report, Failed> {
    let url = format!("file://{}", file.display());
    let noise = browser.open(&url, view)?;
    let found = browser.evaluate(include_str!("look.js"))?;
    let list = |of: &Value| of.as_array().cloned().unwrap_or_default();
    let mut wrong: Vec<String> =
        list(&found["wrong"]).iter().filter_map(|w| w.as_str().map(str::to_owned)).collect();
    wrong.extend(noise.console.iter().map(|said| format!("console: {said}")));
    let foreign = noise.requests.iter().filter(|asked| **asked != url && !asked.starts_with("data:"));
    wrong.extend(foreign.map(|asked| format!("asks for {asked}")));
    Ok(Report {
        wrong,
        charts: list(&found["charts"]),
        paper: list(&found["paper"]).iter().filter_map(Value::as_u64).collect(),
    })
}

/// What is missing in the charts of a page: marks, axes, letters that can be read.
fn charts(charts: &[Value], expected: &[(&str, &[&str])], measured: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    if charts.len() != expected.len() {
        wrong.push(format!("{} charts", charts.len()));
    }
    for (chart, &(name, axes)) in charts.iter().zip(expected) {
        let texts: Vec<&str> =
            chart["texts"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if chart["name"] != name {
            wrong.push(format!("{} stands where {name} should", chart["name"]));
        }
        let smallest = chart["smallest"].as_f64().unwrap_or(0.0);
        if smallest < SMALLEST {
            wrong.push(format!("{name}: text of {smallest:.1} pixels"));
        }
        if !measured {
            continue;
        }
        if chart["marks"].as_u64().unwrap_or(0) < 4 {
            wrong.push(format!("{name}: {} marks", chart["marks"]));
        }
        for axis in axes.iter().filter(|axis| !texts.iter().any(|text| text.contains(**axis))) {
            wrong.push(format!("{name}: nothing says `{axis}`"));
        }
    }
    wrong
}

/// Texts that ran out of room; only names beyond all measure may.
fn cut(charts: &[Value]) -> Vec<String> {
    let texts = charts.iter().flat_map(|chart| chart["texts"].as_array().into_iter().flatten());
    texts.filter_map(Value::as_str).filter(|text| text.ends_with('…')).map(str::to_owned).collect()
}

fn keep(browser: &mut Browser, dir: &Path, view: View) -> Result<(), Failed> {
    for (i, picture) in browser.pictures(view.width, 1400)?.into_iter().enumerate() {
        let path: PathBuf = dir.join(format!("{}-{i}.png", view.name));
        let encoded = path.with_extension("base64");
        std::fs::write(&encoded, picture)?;
        let decoded = Command::new("base64").arg("--decode").arg(&encoded).output()?;
        std::fs::write(&path, decoded.stdout)?;
        std::fs::remove_file(&encoded)?;
    }
    Ok(())
}

/// The eyes themselves, tested: a page on which everything is wrong.
fn finds_what_is_wrong(browser: &mut Browser) -> Result<(), Failed> {
    let scratch = tempfile::tempdir()?;
    let file = scratch.path().join("bad.html");
    std::fs::write(
        &file,
        r##"<!doctype html><meta charset="utf-8"><title>bad</title><body style="background:#fff">
        <p style="color:#bbb">faint</p>
        <p style="width:3000px">far beyond</p><pre style="width:50px;overflow:auto">longer than its box by far</pre>
        <section><h2 id="throughput">c</h2><figure><svg role="img" aria-label="c" width="100" height="50" viewBox="0 0 100 50">
        <rect width="100" height="50" fill="#FFFFFF" opacity="1"/><text x="90" y="20">leaves</text>
        <text x="5" y="40">one</text><text x="9" y="40">other</text></svg></figure></section>
        <img src="gone.png" alt=""><script>console.error("no")</script>"##,
    )?;
    let report = look(browser, &file, VIEWS[0])?;
    let mut said = report.wrong;
    said.extend(charts(&report.charts, &AXES, true));
    for expected in [
        "horizontal scroll",
        "wider than its box",
        "beyond the page",
        "throughput: leaves the chart",
        "lies on",
        "contrast 1.",
        "console: ",
        "asks for file",
        "1 charts",
        "throughput: 0 marks",
        "nothing says `events/s`",
    ] {
        if !said.iter().any(|line| line.contains(expected)) {
            return Err(format!("`{expected}` was not found: {said:#?}").into());
        }
    }
    Ok(())
}

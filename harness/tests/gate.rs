//! What a gate says, word for word, from made-up rounds. `INSTA_UPDATE=always cargo test -p lanebench --test gate` writes
//! anew.

use lanebench::gate::{About, Gate, GateRecord, GateRound, GateTrial, GateVerdict, Rules, Side, Values};
use lanebench::record::{Verification, WarmUp, Warning};
use lanebench::report::gate::{markdown, text};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

const ABOUT: &str = include_str!("gate/about.json");

/// What the candidate is like.
#[derive(Clone, Copy)]
struct Candidate {
    /// Its time and CPU an event, as parts of the baseline's.
    cost: f64,
    /// Spread of single trials.
    cv: f64,
    /// Of the noise.
    seed: u64,
    /// Round in which it loses events, if any.
    loses_in: Option<u32>,
    /// Round in which the baseline does.
    baseline_loses_in: Option<u32>,
}

const EQUAL: Candidate = Candidate { cost: 1.0, cv: 0.02, seed: 4, loses_in: None, baseline_loses_in: None };

fn trial(cost: f64, loses: bool, mut noise: impl FnMut() -> f64) -> GateTrial {
    GateTrial {
        values: Values {
            throughput_per_s: Some(5_120.0 / cost * noise()),
            cpu_ns_per_event: Some(193_000.0 * cost * noise()),
            peak_memory_bytes: Some(81e6 * noise()),
            steady_p99_ns: Some(4.1e6 * noise().powi(3)),
        },
        verification: Verification {
            acked: 4_000,
            applied: if loses { 3_997 } else { 4_000 },
            lost: if loses { 3 } else { 0 },
            order_pairs_checked: 8_000,
            passed: !loses,
            ..Verification::default()
        },
        noise: None,
    }
}

/// A gate of at most so many rounds.
fn gate(like: Candidate, rounds: u32) -> Gate {
    let mut rng = ChaCha8Rng::seed_from_u64(like.seed);
    let mut noise = || {
        let z: f64 = StandardNormal.sample(&mut rng);
        (like.cv * z).exp()
    };
    let mut gate = Gate::new(Rules::built_in());
    for round in 1..=rounds {
        let baseline = trial(1.0, like.baseline_loses_in == Some(round), &mut noise);
        let candidate = trial(like.cost, like.loses_in == Some(round), &mut noise);
        let candidate_first = round % 2 == 0;
        let round = GateRound { round, seed: u64::from(round), candidate_first, baseline, candidate };
        if gate.add(round).is_some() {
            break;
        }
    }
    gate
}

fn about(candidate: &str) -> About {
    #[derive(serde::Deserialize)]
    struct Found {
        environment: lanebench::record::Environment,
        stack: lanebench::record::Stack,
        workload: lanebench::record::Workload,
    }
    let Found { environment, stack, workload } = serde_json::from_str(ABOUT).unwrap();
    let side = |label: &str, commit: Option<&str>| Side {
        label: label.into(),
        commit: commit.map(Into::into),
        command: "lanebench worker".into(),
    };
    About {
        warm_up: WarmUp::default(),
        command_line: "lanebench gate --stack native --baseline main --seed 42".into(),
        started_at: "2025-11-23T22:05:11Z".into(),
        took_s: 96.4,
        environment,
        stack,
        workload,
        configuration: "3p3c-keyed64".into(),
        turn_ms: Some((25, 75)),
        cpus: vec![1],
        baseline: side("main", Some("745ba1e")),
        candidate: side(candidate, None),
        warnings: Vec::new(),
    }
}

fn record(like: Candidate, rounds: u32) -> GateRecord {
    gate(like, rounds).record(about("the working tree"))
}

#[track_caller]
fn check(name: &str, record: &GateRecord, verdict: GateVerdict, exit_code: u8) {
    assert_eq!((record.verdict, record.exit_code), (verdict, exit_code), "{name}");
    let (text, markdown) =
        (text::render(record, Some("reports/latest/gate.md".as_ref())), markdown::comment(record));
    for line in text.lines().filter(|line| !line.starts_with("repeat:")) {
        assert!(line.chars().count() <= 80, "{name}: too wide: {line}");
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("gate");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        insta::assert_snapshot!(format!("{name}.txt"), text);
        insta::assert_snapshot!(format!("{name}.md"), markdown);
    });
}

#[test]
fn held() {
    check("held", &record(EQUAL, 30), GateVerdict::Held, 0);
}

#[test]
fn regressed() {
    check("regressed", &record(Candidate { cost: 1.12, ..EQUAL }, 30), GateVerdict::Regressed, 4);
}

#[test]
fn undecided_by_noise() {
    check("noise", &record(Candidate { cv: 0.12, ..EQUAL }, 30), GateVerdict::Undecided, 5);
}

#[test]
fn undecided_near_the_tolerance() {
    check(
        "near",
        &record(Candidate { cost: 1.045, cv: 0.03, seed: 5, ..EQUAL }, 30),
        GateVerdict::Undecided,
        5,
    );
}

#[test]
fn truth_failed() {
    check("lost", &record(Candidate { loses_in: Some(4), ..EQUAL }, 30), GateVerdict::TruthFailed, 3);
    let late = Candidate { cv: 0.08, loses_in: Some(8), baseline_loses_in: Some(8), ..EQUAL };
    check("both-lost", &record(late, 30), GateVerdict::TruthFailed, 3);
}

#[test]
fn void() {
    check("void", &record(Candidate { baseline_loses_in: Some(2), ..EQUAL }, 30), GateVerdict::Void, 5);
}

#[test]
fn cut_short() {
    check("short", &record(EQUAL, 4), GateVerdict::Undecided, 5);
    check("empty", &record(EQUAL, 0), GateVerdict::Undecided, 5);
}

#[test]
fn names_cannot_break_out() {
    let hostile = "a|b\n# <b>*x*</b>\u{1b}[31m";
    let mut about = about(hostile);
    about.command_line = "lanebench gate --candidate '```\nrm'".into();
    about.warnings = vec![Warning {
        code: "x".into(),
        message: "<script>|".into(),
        configuration: None,
        rounds: Vec::new(),
    }];
    about.stack.demonstration = vec!["a map for Redis".into()];
    let record = gate(EQUAL, 30).record(about);
    check("hostile", &record, GateVerdict::Held, 0);
    let (text, markdown) = (text::render(&record, None), markdown::comment(&record));
    assert!(text.starts_with("DEMONSTRATION") && markdown.starts_with("**DEMONSTRATION"));
    assert!(!text.contains('\u{1b}') && !markdown.contains("<script>") && !markdown.contains("\n# "));
}

/// Pixels of a picture that are of the colour of a required metric's rounds.
fn dots(png: &[u8]) -> usize {
    let mut reader = png::Decoder::new(png).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size()];
    reader.next_frame(&mut pixels).unwrap();
    pixels.chunks(3).filter(|pixel| *pixel == [0, 114, 178]).count()
}

/// `LANEBENCH_KEEP_REPORTS=DIR` keeps the pictures for looking at.
#[test]
fn every_gate_has_its_picture() {
    let scratch = tempfile::tempdir().unwrap();
    let kept = std::env::var_os("LANEBENCH_KEEP_REPORTS").map(std::path::PathBuf::from);
    let drawn = |name: &str, record: &GateRecord| {
        let dir = kept.as_deref().unwrap_or(scratch.path()).join("gate").join(name);
        std::fs::create_dir_all(&dir).unwrap();
        let written = lanebench::report::gate::render(record, &dir).unwrap();
        assert_eq!(written, [dir.join("gate.md"), dir.join("gate.png")]);
        dots(&std::fs::read(&written[1]).unwrap())
    };
    let few = drawn("regressed", &record(Candidate { cost: 1.12, ..EQUAL }, 30));
    let many = drawn("noise", &record(Candidate { cv: 0.12, ..EQUAL }, 30));
    // Three required metrics of 6 and of 30 rounds; dots that overlap are counted once.
    assert!(few > 500 && many > 4 * few && many < 6 * few, "{few} and {many}");
    assert_eq!(
        drawn("lost", &record(Candidate { loses_in: Some(4), ..EQUAL }, 30)),
        0,
        "no speed beside truth"
    );
    assert_eq!(drawn("empty", &record(EQUAL, 0)), 0);
}

#[test]
fn the_record_is_as_others_read_it() {
    let mut record = record(EQUAL, 30);
    record.rounds.truncate(1);
    record.looks.truncate(1);
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("gate");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let mut json = serde_json::to_value(&record).unwrap();
    round_off(&mut json);
    settings.bind(|| insta::assert_snapshot!("gate.json", serde_json::to_string_pretty(&json).unwrap()));
}

/// Rounds every number to five digits: the last ones of a logarithm differ from machine to machine.
fn round_off(json: &mut serde_json::Value) {
    match json {
        serde_json::Value::Number(number) if number.is_f64() => {
            *json = format!("{:.4e}", number.as_f64().unwrap()).parse::<f64>().unwrap().into();
        }
        serde_json::Value::Array(values) => values.iter_mut().for_each(round_off),
        serde_json::Value::Object(values) => values.values_mut().for_each(round_off),
        _ => {}
    }
}

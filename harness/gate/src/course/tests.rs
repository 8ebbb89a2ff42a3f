//! Whole gates, from the first round to the exit code.

use super::*;
use crate::rules::RULES_FILE;
use lanebench_result::gate::{GateTrial, Metric, Undecided, Values};
use lanebench_result::{Verification, WarmUp, fixture};

/// A trial that passed its checks, with costs in proportion to `cost`.
fn trial(cost: f64) -> GateTrial {
    GateTrial {
        values: Values {
            throughput_per_s: Some(5_000.0 / cost),
            cpu_ns_per_event: Some(200_000.0 * cost),
            peak_memory_bytes: Some(8e7),
            steady_p99_ns: Some(4e6 * cost),
        },
        verification: Verification { passed: true, ..Verification::default() },
        noise: None,
    }
}

/// Round number `n`, in which the candidate costs so much more, with a little noise.
fn round(n: u32, cost: f64) -> GateRound {
    let noise = 1.0 + 0.01 * f64::from(n % 3);
    GateRound {
        round: n,
        seed: u64::from(n),
        candidate_first: n.is_multiple_of(2),
        baseline: trial(1.0),
        candidate: trial(cost * noise / 1.01),
    }
}

/// A gate with rounds until it ends, or until there are no more.
fn gate(rules: Rules, rounds: impl IntoIterator<Item = GateRound>) -> Gate {
    let mut gate = Gate::new(rules);
    for round in rounds {
        if gate.add(round).is_some() {
            break;
        }
    }
    gate
}

fn rules(text: &str) -> Rules {
    Rules::parse(text, RULES_FILE.as_ref()).unwrap()
}

fn about() -> About {
    let side = |label: &str| Side { label: label.into(), commit: None, command: format!("{label} worker") };
    About {
        command_line: "lanebench gate".into(),
        started_at: "2026-01-01T00:00:00Z".into(),
        took_s: 60.0,
        environment: fixture::environment(),
        stack: fixture::stack(),
        workload: fixture::workload(),
        configuration: "1p1c-batch".into(),
        warm_up: WarmUp::default(),
        turn_ms: Some((25, 75)),
        cpus: Vec::new(),
        baseline: side("main"),
        candidate: side("change"),
        warnings: vec![Warning {
            code: "host-busy".into(),
            message: "close other programs".into(),
            configuration: None,
            rounds: Vec::new(),
        }],
    }
}

#[track_caller]
fn check(gate: &Gate, verdict: GateVerdict, rounds: usize, exit_code: u8, warnings: &[&str]) -> GateRecord {
    let record = gate.record(about());
    assert_eq!(record.configuration, "1p1c-batch");
    let codes: Vec<&str> = record.warnings.iter().skip(1).map(|w| w.code.as_str()).collect();
    assert_eq!(
        (record.verdict, record.rounds.len(), record.exit_code, codes.as_slice()),
        (verdict, rounds, exit_code, warnings)
    );
    record
}

#[test]
fn an_equal_candidate_is_held_at_the_first_look() {
    let gate = gate(Rules::built_in(), (1..=30).map(|n| round(n, 1.0)));
    let record = check(&gate, GateVerdict::Held, 6, 0, &[]);
    assert!(record.complete);
    assert_eq!(record.looks.len(), 1);
    assert_eq!(record.design.required, 3);
}

#[test]
fn a_slower_one_regresses() {
    let gate = gate(Rules::built_in(), (1..=30).map(|n| round(n, 1.3)));
    // p99 regressed as well, but the verdict is not its.
    check(&gate, GateVerdict::Regressed, 6, 4, &["advisory-regressed"]);
}

#[test]
fn an_advisory_metric_decides_nothing() {
    let slow_tail = |n| {
        let mut round = round(n, 1.0);
        round.candidate.values.steady_p99_ns = Some(9e6 + f64::from(n));
        round
    };
    let gate = gate(Rules::built_in(), (1..=30).map(slow_tail));
    check(&gate, GateVerdict::Held, 6, 0, &["advisory-regressed"]);
}

/// Peak memory doubles and halves from round to round.
fn with_wild_memory(n: u32) -> GateRound {
    let mut round = round(n, 1.0);
    round.candidate.values.peak_memory_bytes = Some(if n.is_multiple_of(2) { 16e7 } else { 4e7 });
    round
}

#[test]
fn noise_leaves_it_undecided_after_the_last_look() {
    let gate = gate(Rules::built_in(), (1..).map(with_wild_memory));
    let record = check(&gate, GateVerdict::Undecided, 30, 5, &[]);
    assert!(record.complete);
    assert_eq!(record.looks.iter().map(|l| l.rounds).collect::<Vec<_>>(), [6, 10, 16, 22, 30]);
    assert_eq!(record.looks[0].of(Metric::Throughput).unwrap().verdict, MetricVerdict::Held, "by itself");
}

#[test]
fn undecided_may_be_a_warning() {
    let memory = |word| {
        rules(&format!(
            "[[metric]]\nname = \"throughput\"\n[[metric]]\nname = \"peak-memory\"\nundecided = \"{word}\"\n"
        ))
    };
    let warned = gate(memory("warn"), (1..).map(with_wild_memory));
    check(&warned, GateVerdict::Undecided, 30, 0, &["undecided-passes"]);
    let failed = gate(memory("fail"), (1..).map(with_wild_memory));
    check(&failed, GateVerdict::Undecided, 30, 5, &[]);
    // Another metric that is undecided too isn't excused by it.
    let both = (1..).map(|n| {
        let mut round = with_wild_memory(n);
        round.candidate.values.throughput_per_s = None;
        round
    });
    check(&gate(memory("warn"), both), GateVerdict::Undecided, 30, 5, &[]);
    // Nor one that was cut short.
    let short = gate(memory("warn"), (1..=10).map(with_wild_memory));
    check(&short, GateVerdict::Undecided, 10, 5, &["cut-short"]);
}

#[test]
fn truth_ends_it_at_once() {
    let failing = |baseline: bool, candidate: bool| {
        (1..=30).map(move |n| {
            let mut round = round(n, 2.0);
            round.baseline.verification.passed = !(n == 3 && baseline);
            round.candidate.verification.passed = !(n == 3 && candidate);
            round
        })
    };
    let gate = |baseline, candidate| gate(Rules::built_in(), failing(baseline, candidate));
    check(&gate(false, true), GateVerdict::TruthFailed, 3, 3, &[]);
    check(&gate(true, false), GateVerdict::Void, 3, 5, &[]);
    let both = check(&gate(true, true), GateVerdict::TruthFailed, 3, 3, &["both-failed"]);
    assert!(both.looks.is_empty(), "numbers of a void round are not looked at");
}

#[test]
fn truth_comes_before_speed_at_a_look() {
    let rounds = (1..=30).map(|n| {
        let mut round = round(n, 2.0);
        round.candidate.verification.passed = n != 6;
        round
    });
    check(&gate(Rules::built_in(), rounds), GateVerdict::TruthFailed, 6, 3, &[]);
}

#[test]
fn cut_short_between_two_looks() {
    let gate = gate(Rules::built_in(), (1..=8).map(with_wild_memory));
    let record = check(&gate, GateVerdict::Undecided, 8, 5, &["cut-short"]);
    assert!(!record.complete);
    assert_eq!(record.looks.iter().map(|l| l.rounds).collect::<Vec<_>>(), [6, 8]);
    assert!(record.looks[1].metrics.iter().all(|m| m.verdict == MetricVerdict::Undecided));
    check(&Gate::new(Rules::built_in()), GateVerdict::Undecided, 0, 5, &["cut-short"]);
}

#[test]
fn after_its_end_nothing_is_added() {
    let mut gate = gate(Rules::built_in(), (1..=6).map(|n| round(n, 1.0)));
    assert_eq!(gate.add(round(7, 9.0)), Some(GateVerdict::Held));
    assert_eq!((gate.rounds().len(), gate.verdict()), (6, Some(GateVerdict::Held)));
}

#[test]
fn a_metric_held_early_must_still_be_held_at_the_end() {
    // Memory is held at the first look, while throughput is not yet; at the second memory has regressed.
    let gate = gate(
        Rules::built_in(),
        (1..).map(|n| {
            let mut round = with_wild_memory(n);
            round.candidate.values.throughput_per_s =
                Some(if n.is_multiple_of(2) { 5_800.0 } else { 4_300.0 });
            round.candidate.values.peak_memory_bytes =
                Some(if n <= 6 { 8e7 + f64::from(n) } else { 16e7 + f64::from(n) });
            round
        }),
    );
    assert_eq!(gate.looks()[0].of(Metric::PeakMemory).unwrap().verdict, MetricVerdict::Held);
    let verdict = gate.verdict();
    assert_eq!(verdict, Some(GateVerdict::Regressed), "{:?}", gate.looks().last());
}

#[test]
fn the_record_survives_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let out = lanebench_result::file::create_output_dir(Some(dir.path().join("out")), "gate").unwrap();
    let record = gate(Rules::built_in(), (1..).map(with_wild_memory)).record(about());
    let path = out.save_gate(&record).unwrap();
    let back = lanebench_result::file::load_gate(&path).unwrap();
    assert_eq!((back.verdict, back.exit_code, back.looks.len()), (GateVerdict::Undecided, 5, 5));
    assert_eq!((back.rules, back.warnings), (record.rules, record.warnings));
    assert_eq!(back.rounds[1].candidate.values.peak_memory_bytes, Some(16e7));
    assert_eq!(back.looks[4].of(Metric::PeakMemory).unwrap().why, Some(Undecided::Noise));
    let measured = back.looks[4].of(Metric::PeakMemory).unwrap().measured.unwrap();
    assert_eq!(
        measured.rounds_needed,
        record.looks[4].of(Metric::PeakMemory).unwrap().measured.unwrap().rounds_needed
    );
}

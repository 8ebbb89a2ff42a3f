//! Made-up scenarios: a dead consumer and a dead broker, with one lane and with three.

use crate::fixture;
use lanebench_result::scenario::{
    OfferedScenario, SCENARIO_SCHEMA_VERSION, ScenarioConfiguration, ScenarioRecord, ScenarioRun,
};
use lanebench_result::*;

/// What is offered, events/s.
const RATE_PER_S: f64 = 440.0;

/// Every record there is, by name.
pub fn all() -> Vec<(&'static str, ScenarioRecord)> {
    vec![
        ("scenario", ordinary()),
        ("scenario-demonstration", demonstration()),
        ("scenario-failed", failed()),
        ("scenario-interrupted", interrupted()),
        ("scenario-empty", empty()),
        ("scenario-crowded", crowded()),
        ("scenario-hostile", hostile()),
    ]
}

/// Two scenarios on two configurations, two trials each.
pub fn ordinary() -> ScenarioRecord {
    let run = fixture::ordinary();
    ScenarioRecord {
        schema_version: SCENARIO_SCHEMA_VERSION,
        command_line: "lanebench run --stack native --nodes 3 --trials 2 consumer-killed broker-killed"
            .into(),
        started_at: run.started_at.clone(),
        complete: true,
        environment: run.environment.clone(),
        stack: run.stack.clone(),
        warm_up: run.warm_up.clone(),
        passed: true,
        scenarios: vec![consumer_killed(&run), broker_killed(&run)],
    }
}

/// On stand-ins.
pub fn demonstration() -> ScenarioRecord {
    ScenarioRecord { stack: fixture::demonstration().stack, ..ordinary() }
}

/// One trial lost an event.
pub fn failed() -> ScenarioRecord {
    let mut record = ordinary();
    record.passed = false;
    let verification = fixture::failed().configurations[1].trials[0].verification.clone();
    record.scenarios[0].configurations[1].trials[0].verification = verification;
    record
}

/// Cut short before the second configuration of the second scenario had a trial.
pub fn interrupted() -> ScenarioRecord {
    let mut record = ordinary();
    record.complete = false;
    record.scenarios[1].configurations[1].trials.clear();
    record
}

/// Cut short before anything ran.
pub fn empty() -> ScenarioRecord {
    ScenarioRecord { complete: false, scenarios: Vec::new(), ..ordinary() }
}

/// Four configurations, one of twelve partitions, and two faults one after the other.
pub fn crowded() -> ScenarioRecord {
    let mut record = ordinary();
    let run = &mut record.scenarios[0];
    let mut many = run.configurations[1].clone();
    (many.name, many.partitions, many.consumers) = ("12p3c".into(), 12, 3);
    let silent: Vec<_> = (0..12).map(|id| (id % 3 == 0).then_some((10_020.0, 6_400.0))).collect();
    for phase in many.trials.iter_mut().flat_map(|t| &mut t.phases) {
        phase.partitions = shares(&silent);
        phase.lag = lag(40.0, &silent, 2.6);
    }
    run.configurations.push(many);
    let mut again = run.configurations[1].clone();
    again.name = "3p3c again".into();
    run.configurations.push(again);
    for phase in run.configurations.iter_mut().flat_map(|c| &mut c.trials).flat_map(|t| &mut t.phases) {
        let span = FaultSpan {
            planned_ms: 36_000.0,
            began_ms: 36_002.0,
            mended_ms: 39_003.0,
            back_ms: 39_400.0,
            noticed_ms: None,
            reassigned_ms: None,
            drained_ms: None,
        };
        let (target, what) = ("view".into(), "Redis".into());
        phase.faults.push(FaultRecord { target, action: "kill".into(), what, span: Some(span) });
    }
    record
}

/// Names and words made to break out of their places.
pub fn hostile() -> ScenarioRecord {
    let mut record = failed();
    let long = "<b onclick=alert(1)>&quot;</svg></style>".to_owned() + &"W".repeat(70);
    record.stack.demonstration = vec![long.clone()];
    record.stack.name.clone_from(&long);
    record.command_line.clone_from(&long);
    let run = &mut record.scenarios[0];
    let OfferedScenario { name, why, expect, .. } = &mut run.scenario;
    for text in [name, why, expect] {
        text.clone_from(&long);
    }
    for configuration in &mut run.configurations {
        configuration.name = format!("{}{long}", configuration.name);
        for fault in configuration.trials.iter_mut().flat_map(|t| &mut t.phases).flat_map(|p| &mut p.faults) {
            (fault.target, fault.what) = (long.clone(), long.clone());
        }
    }
    record
}

/// With one lane all wait until the consumer is started again; with three only its own partition, until the group has another.
fn consumer_killed(run: &RunResult) -> ScenarioRun {
    let span = |silent_ms: f64, drained_s: f64| FaultSpan {
        planned_ms: 10_000.0,
        began_ms: 10_004.0,
        mended_ms: 30_006.0,
        back_ms: 31_180.0,
        noticed_ms: (silent_ms < 10_000.0).then_some(10_020.0 + silent_ms - 410.0),
        reassigned_ms: Some(10_020.0 + silent_ms - 45.0),
        drained_ms: Some(10_020.0 + silent_ms + drained_s * 1e3),
    };
    let broken = |span| FaultRecord {
        target: "consumer 0".into(),
        action: "kill".into(),
        what: "consumer 0".into(),
        span: Some(span),
    };
    let silent = |ms: f64| Some((10_020.0, ms));
    let one = [21_300.0, 21_200.0].map(|ms| Made {
        fault: broken(span(ms, 9.2)),
        silent: vec![silent(ms)],
        speed: 2.3,
        repeats: (3, 0),
    });
    let three = [6_400.0, 6_310.0].map(|ms| Made {
        fault: broken(span(ms, 2.4)),
        silent: vec![silent(ms), None, None],
        speed: 2.6,
        repeats: (4, 0),
    });
    let scenario = OfferedScenario {
        name: "consumer-killed".into(),
        why: "The process of one consumer dies: who waits, and for how long?".into(),
        expect: "The group learns of it when the session runs out; until then the partitions of the dead consumer are silent, and the \
                 others go on. With one lane nobody takes over: all orders wait until it is started again."
            .into(),
        rate_per_s: RATE_PER_S,
        length_s: 40.0,
    };
    let configurations = vec![configuration(run, 0, 40.0, &one), configuration(run, 1, 40.0, &three)];
    ScenarioRun { scenario, configurations }
}

/// With replication 3 all partitions wait for the dead broker.
fn broker_killed(run: &RunResult) -> ScenarioRun {
    let made = |lanes: usize, ms: f64| {
        let span = FaultSpan {
            planned_ms: 10_000.0,
            began_ms: 10_011.0,
            mended_ms: 30_012.0,
            back_ms: 34_260.0,
            noticed_ms: None,
            reassigned_ms: None,
            drained_ms: Some(10_050.0 + ms + 3_400.0),
        };
        Made {
            fault: FaultRecord {
                target: "leader 0".into(),
                action: "kill".into(),
                what: "Kafka node 2".into(),
                span: Some(span),
            },
            silent: (0..lanes).map(|lane| Some((10_050.0, ms - 90.0 * lane as f64))).collect(),
            speed: 2.5,
            repeats: (0, 2),
        }
    };
    let of = |index, lanes| configuration(run, index, 45.0, &[made(lanes, 8_310.0), made(lanes, 8_250.0)]);
    let scenario = OfferedScenario {
        name: "broker-killed".into(),
        why: "One broker dies and comes back: is it one partition that waits?".into(),
        expect: "With replication 3 and acks=all it is every partition: each waits until the dead broker counts as dead, since until \
                 then it is in sync. More lanes change nothing about that."
            .into(),
        rate_per_s: RATE_PER_S,
        length_s: 45.0,
    };
    ScenarioRun { scenario, configurations: vec![of(0, 1), of(1, 3)] }
}

/// What a trial is made of.
struct Made {
    fault: FaultRecord,
    /// When each partition fell silent and for how long, in ms; `None` where it went on.
    silent: Vec<Option<(f64, f64)>>,
    /// Seconds by which the oldest event gets younger a second, once it goes on.
    speed: f64,
    /// Events redelivered and resent.
    repeats: (u64, u64),
}

/// A configuration of a run, with a trial for each that is made.
fn configuration(run: &RunResult, index: usize, length_s: f64, made: &[Made]) -> ScenarioConfiguration {
    let of = &run.configurations[index];
    let trials = of.trials.iter().zip(made).map(|(base, made)| trial(base, length_s, made));
    ScenarioConfiguration {
        name: of.name.clone(),
        partitions: of.partitions,
        consumers: of.consumers,
        trials: trials.collect(),
    }
}

/// A trial of a run, with its steady phase turned into one in which something breaks.
fn trial(base: &Trial, length_s: f64, made: &Made) -> Trial {
    let mut trial = base.clone();
    trial.phases.retain(|phase| phase.kind == PhaseKind::Steady);
    for phase in &mut trial.phases {
        phase.name = PhaseKind::Scenario.as_str().into();
        phase.kind = PhaseKind::Scenario;
        phase.planned_per_s = Some(RATE_PER_S);
        phase.achieved_per_s = Some(RATE_PER_S);
        phase.throughput_per_s = RATE_PER_S;
        phase.lasted_ms = length_s * 1e3;
        phase.events = (RATE_PER_S * length_s) as u64;
        phase.faults = vec![made.fault.clone()];
        phase.partitions = shares(&made.silent);
        phase.lag = lag(length_s, &made.silent, made.speed);
    }
    let events = (RATE_PER_S * length_s) as u64;
    let v = &mut trial.verification;
    (v.redelivered, v.resent) = made.repeats;
    (v.produced, v.acked, v.applied) = (events, events, events);
    trial
}

/// Each partition's part and silence; what went on was silent for a moment only.
fn shares(silent: &[Option<(f64, f64)>]) -> Vec<PartitionShare> {
    let share = 1.0 / silent.len() as f64;
    let of = |(id, silence): (usize, &Option<(f64, f64)>)| {
        let (from_ms, lasted_ms) =
            silence.unwrap_or((21_070.0 + 4_110.0 * (id % 4) as f64, 160.0 + 20.0 * id as f64));
        PartitionShare {
            id: id as i32,
            events: (RATE_PER_S * 40.0 * share) as u64,
            share,
            response_time_ns: None,
            silence: Some(Silence { from_ms, lasted_ms }),
        }
    };
    silent.iter().enumerate().map(of).collect()
}

/// The oldest event gets older while its partition is silent, then younger by `speed`; otherwise it waits for a commit at most.
fn lag(length_s: f64, silent: &[Option<(f64, f64)>], speed: f64) -> Lag {
    let mut lag = Lag { tick_ms: 100, ..Lag::default() };
    let mut tick = 0_u32;
    while f64::from(tick) * 100.0 <= (length_s + 1.0) * 1e3 {
        let t_ms = f64::from(tick) * 100.0;
        for (partition, silence) in silent.iter().enumerate() {
            let calm = 40.0 + f64::from((tick * 37 + partition as u32 * 53) % 90);
            let age_ms = silence.map_or(0.0, |(from, lasted)| {
                let grown = (t_ms - from).min(lasted);
                grown - (t_ms - from - lasted).max(0.0) * speed
            });
            let waited_ms = calm.max(age_ms);
            let records = (waited_ms / 1e3 * RATE_PER_S / silent.len() as f64) as i64;
            lag.series.push(LagSample {
                t_ms,
                partition: partition as i32,
                records,
                ns: (waited_ms * 1e6) as u64,
            });
        }
        tick += 1;
    }
    lag.max_ns = lag.series.iter().map(|s| s.ns).max().unwrap_or(0);
    lag.max_records = lag.series.iter().map(|s| s.records.unsigned_abs()).max().unwrap_or(0);
    lag
}

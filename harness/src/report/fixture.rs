//! Made-up runs for the tests: plausible in shape, the same every time.

use std::collections::BTreeMap;

use crate::record::*;

/// A generator of numbers that look random (SplitMix64), so that the fixtures need no crate and never change.
pub(crate) struct Draw(u64);

impl Draw {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Two configurations, three rounds: the ordinary run.
pub(crate) fn ordinary() -> RunResult {
    run(&["1p1c", "3p3c"], 3, true)
}

/// One round only: no intervals.
pub(crate) fn one_round() -> RunResult {
    run(&["1p1c", "3p3c"], 1, true)
}

/// No rate separated the configurations.
pub(crate) fn no_surge() -> RunResult {
    run(&["1p1c", "3p1c", "3p3c"], 3, false)
}

/// Four configurations, ten rounds, large numbers.
pub(crate) fn large() -> RunResult {
    let mut result = run(&["1p1c", "3p1c", "3p3c", "12p12c"], 10, true);
    for c in &mut result.configurations {
        for t in &mut c.trials {
            t.throughput_per_s *= 41.0;
            t.verification.acked *= 1000;
            t.verification.order_pairs_checked *= 1000;
            t.verification.order_by_gate.values_mut().for_each(|g| g.pairs *= 1000);
        }
        let values = c.trials.iter().map(|t| t.throughput_per_s).collect();
        c.summary.throughput_per_s = Some(estimate(values));
    }
    result
}

/// A check failed in two trials of the second configuration: loss and disorder.
pub(crate) fn failed() -> RunResult {
    let mut result = ordinary();
    result.passed = false;
    result.workload.inject = Some("reorder".into());
    let trials = &mut result.configurations[1].trials;
    for (i, trial) in trials.iter_mut().take(2).enumerate() {
        let v = &mut trial.verification;
        v.passed = false;
        v.lost = 3;
        v.applied -= 3;
        v.order_violations = 6;
        v.order_by_gate.insert("log".into(), OrderCount { pairs: 20_411, violations: 2 });
        v.order_by_gate.insert("consumer".into(), OrderCount { pairs: 20_411, violations: 4 });
        v.findings = vec![
            Finding {
                kind: "order".into(),
                order_id: "<script>alert(1)</script>".into(),
                revision: 3,
                partition: Some(2),
                offset: Some(1_800 + i as i64),
                message: "revision 3 stands before revision 2 in the log".into(),
            },
            Finding {
                kind: "lost".into(),
                order_id: "order-000017".into(),
                revision: 2,
                partition: None,
                offset: None,
                message: "acknowledged, and found neither in the row, nor parked, nor dead-lettered".into(),
            },
        ];
        v.findings_total = 9;
    }
    let values: Vec<f64> =
        trials.iter().filter(|t| t.verification.passed).map(|t| t.throughput_per_s).collect();
    result.configurations[1].summary =
        Summary { throughput_per_s: Some(estimate(values)), ..Summary::default() };
    result.comparisons.clear();
    result
}

/// Every trial of one configuration failed.
pub(crate) fn all_void() -> RunResult {
    let mut result = failed();
    let c = &mut result.configurations[1];
    c.trials.truncate(2);
    c.summary = Summary::default();
    result
}

/// Interrupted before the second configuration had a trial.
pub(crate) fn interrupted() -> RunResult {
    let mut result = one_round();
    result.complete = false;
    result.configurations[1].trials.clear();
    result.configurations[1].summary = Summary::default();
    result.comparisons.clear();
    result
}

/// Interrupted before anything was measured.
pub(crate) fn empty() -> RunResult {
    let mut result = interrupted();
    result.configurations[0].trials.clear();
    result.configurations[0].summary = Summary::default();
    result
}

/// Trials without any sample: what a crash at the wrong moment may leave.
pub(crate) fn hollow() -> RunResult {
    let mut result = ordinary();
    for trial in result.configurations.iter_mut().flat_map(|c| &mut c.trials) {
        trial.lag = Lag::default();
        trial.steady.response_time_ns = Distribution::default();
        for stage in stages_mut(&mut trial.steady.stages_ns) {
            *stage = Distribution::default();
        }
        trial.verification.order_pairs_checked = 0;
        trial.verification.order_by_gate.clear();
        trial.throughput_per_s = f64::NAN;
        trial.partitions.clear();
    }
    result.configurations.iter_mut().for_each(|c| c.summary = Summary::default());
    result.comparisons.clear();
    result
}

fn stages_mut(s: &mut Stages) -> [&mut Distribution; 5] {
    [&mut s.slip, &mut s.ack, &mut s.wait, &mut s.store, &mut s.view]
}

fn estimate(values: Vec<f64>) -> Estimate {
    let n = values.len();
    let value = (values.iter().map(|v| v.ln()).sum::<f64>() / n as f64).exp();
    let bounds = (n >= 3).then_some((value * 0.91, value * 1.1));
    Estimate { n, value, low: bounds.map(|b| b.0), high: bounds.map(|b| b.1), confidence: 0.95, values }
}

fn run(names: &[&str], rounds: u32, with_surge: bool) -> RunResult {
    let surge = Surge { base_per_s: 900.0, peak_per_s: 2300.0, base_s: 4.0, peak_s: 6.0 };
    let surge = with_surge.then_some(surge);
    let configurations: Vec<Configuration> =
        names.iter().enumerate().map(|(i, name)| configuration(i, name, rounds, surge.as_ref())).collect();
    let mut comparisons = Vec::new();
    for c in &configurations[1..] {
        let pairs = c.trials.iter().zip(&configurations[0].trials);
        let ratio = estimate(pairs.map(|(a, b)| a.throughput_per_s / b.throughput_per_s).collect());
        let verdict = match ratio.low {
            None => Verdict::TooFewRounds,
            Some(low) if low > 1.0 => Verdict::Faster,
            Some(_) => Verdict::NotDistinguishable,
        };
        comparisons.push(Comparison {
            baseline: configurations[0].name.clone(),
            candidate: c.name.clone(),
            metric: "throughput_per_s".into(),
            ratio,
            verdict,
            explained: Some(Explanation { bound: 2.84, efficiency: 0.61, tail: 0.96 }),
        });
    }
    RunResult {
        schema_version: SCHEMA_VERSION,
        command: "compare".into(),
        command_line: "lanebench compare --stack native --nodes 3 --configs 1p1c,3p3c --rounds 3 --seed 42"
            .into(),
        started_at: "2025-11-23T22:05:11Z".into(),
        complete: true,
        environment: environment(),
        stack: stack(),
        workload: Workload {
            seed: 42,
            rounds,
            key: "order-id".into(),
            keys: "uniform".into(),
            events_per_order: 3,
            value_bytes: 231,
            arrivals: "poisson".into(),
            service_time_ms: 0.0,
            drain_events: 4_000,
            steady_per_s: 930.0,
            steady_s: 12.0,
            surge,
            commit_interval_ms: 100,
            inject: None,
        },
        warnings: vec![
            Warning {
                code: "host-was-busy".into(),
                message: "tasks waited for a CPU in 31 % of the trial 3p3c round 2; close other programs"
                    .into(),
            },
            Warning {
                code: "bottleneck".into(),
                message: "the store held both configurations back, so more consumers can gain little here; \
                          --service-time shows what they gain where a call takes time"
                    .into(),
            },
        ],
        passed: true,
        configurations,
        comparisons,
    }
}

fn environment() -> Environment {
    Environment {
        version: "0.1.0".into(),
        commit: "a9c263e".into(),
        dirty: false,
        profile: "release".into(),
        rustc: "rustc 1.95.0".into(),
        cpu: "Intel Xeon Processor (Skylake)".into(),
        cores: 2,
        memory_bytes: 25_769_803_776,
        kernel: "6.1.0".into(),
        load_before: 0.31,
        load_max: 3.7,
    }
}

fn stack() -> Stack {
    let map =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    Stack {
        name: "native".into(),
        kafka: Kafka { version: "4.1.1".into(), nodes: 3, replication: 3, min_isr: 2, acks: "all".into() },
        store: Component {
            name: "postgresql".into(),
            version: "15.18".into(),
            settings: map(&[("fsync", "on"), ("synchronous_commit", "on")]),
        },
        view: Component {
            name: "redis".into(),
            version: "7.0.15".into(),
            settings: map(&[("appendonly", "no")]),
        },
        clients: map(&[("redis", "1.8.1"), ("rskafka", "0.6.0"), ("sqlx", "0.9.0")]),
    }
}

fn configuration(index: usize, name: &str, rounds: u32, surge: Option<&Surge>) -> Configuration {
    let (partitions, consumers) = name
        .split_once('p')
        .map_or((1, 1), |(p, c)| (p.parse().unwrap_or(1), c.trim_end_matches('c').parse().unwrap_or(1)));
    let speed = 1500.0 * f64::from(consumers).powf(0.46);
    let trials: Vec<Trial> =
        (1..=rounds).map(|round| trial(index, round, partitions, consumers, speed, surge)).collect();
    let of = |f: fn(&Trial) -> f64| Some(estimate(trials.iter().map(f).collect()));
    let summary = Summary {
        throughput_per_s: of(|t| t.throughput_per_s),
        response_time_ns_p50: of(|t| t.steady.response_time_ns.p50 as f64),
        response_time_ns_p99: of(|t| t.steady.response_time_ns.p99 as f64),
        surge_max_lag_records: surge.and(of(|t| t.surge.as_ref().map_or(0.0, |s| s.max_lag_records as f64))),
    };
    Configuration { name: name.into(), partitions, consumers, mode: "record".into(), trials, summary }
}

fn trial(
    index: usize,
    round: u32,
    partitions: i32,
    consumers: u32,
    speed: f64,
    surge: Option<&Surge>,
) -> Trial {
    let mut draw = Draw(u64::from(round) * 1_000 + index as u64);
    let throughput = speed * (0.95 + 0.1 * draw.next());
    let drain_s = 4_000.0 / throughput;
    let lag = lag(&mut draw, partitions, throughput, drain_s, surge);
    let max_lag = lag.series.iter().filter(|s| s.phase == "surge").map(|s| s.records).max().unwrap_or(0);
    let steady = steady(&mut draw, consumers);
    let gate = OrderCount { pairs: 20_411, violations: 0 };
    let share = |i: i32| 1.0 / f64::from(partitions) * if i == 0 { 1.06 } else { 0.97 };
    Trial {
        round,
        seed: 42 + u64::from(round),
        position: 1 + index as u32,
        throughput_per_s: throughput,
        drain_s,
        steady,
        surge: surge.map(|s| SurgeOutcome {
            base_per_s: s.base_per_s,
            peak_per_s: s.peak_per_s,
            max_lag_records: max_lag as u64 * u64::from(partitions.unsigned_abs()),
            max_lag_ns: max_lag as u64 * 600_000,
            peak_slope_records_per_s: 320.0,
            shape: "climbs".into(),
            drain_ms: Some(2_310.0),
        }),
        lag,
        verification: Verification {
            produced: 30_616,
            acked: 30_616,
            applied: 30_616,
            redelivered: u64::from(round == 2),
            order_pairs_checked: 61_233,
            order_by_gate: ["log", "consumer", "row"].map(|g| (g.to_owned(), gate)).into(),
            views_checked: 10_205,
            passed: true,
            ..Verification::default()
        },
        partitions: (0..partitions)
            .map(|id| PartitionShare { id, events: (4_000.0 * share(id)) as u64, share: share(id) })
            .collect(),
        consumers: (0..consumers)
            .map(|i| ConsumerShare {
                name: format!("c{i}"),
                partitions: vec![i as i32],
                events: 4_000 / u64::from(consumers),
                busy_s: drain_s,
                activity: BTreeMap::from([
                    ("store".into(), 0.71),
                    ("view".into(), 0.14),
                    ("own".into(), 0.09),
                ]),
            })
            .collect(),
        resources: Vec::new(),
        bottleneck: if round == 2 {
            Bottleneck {
                name: "unknown".into(),
                evidence: "host 1.58 of 2 cores busy, no part above 0.9".into(),
            }
        } else {
            Bottleneck {
                name: "store".into(),
                evidence: format!(
                    "consumers wait for the store for {} % of the drain; postgresql 0.81 cores",
                    68 + round
                ),
            }
        },
        noise: Noise {
            cpu_pressure: Some(0.31),
            io_pressure: Some(0.04),
            canary_spread: 1.8,
            ..Noise::default()
        },
    }
}

fn steady(draw: &mut Draw, consumers: u32) -> Steady {
    let faster = f64::from(consumers).sqrt();
    let mut of = |ms: f64| distribution(draw, ms * 1e6 / faster);
    Steady {
        offered_per_s: 930.0,
        stages_ns: Stages { slip: of(0.06), ack: of(1.4), wait: of(0.9), store: of(0.62), view: of(0.11) },
        response_time_ns: of(3.1),
    }
}

/// A skewed distribution around `median` ns, in buckets of three significant digits.
fn distribution(draw: &mut Draw, median: f64) -> Distribution {
    /// Each draw stands for several samples: as many as a real phase has, at less cost.
    const DRAWS: usize = 1_400;
    const EACH: u64 = 8;
    let count = DRAWS as u64 * EACH;
    let mut values: Vec<u64> = (0..DRAWS)
        .map(|_| {
            // Sum of uniforms for the body, a few outliers for the tail.
            let body = (0..4).map(|_| draw.next()).sum::<f64>() - 2.0;
            let tail = if draw.next() > 0.985 { 1.0 + 6.0 * draw.next() } else { 1.0 };
            let value = median * (body * 0.7).exp() * tail;
            let grain = 10f64.powf(value.log10().floor() - 2.0);
            ((value / grain).ceil() * grain) as u64
        })
        .collect();
    values.sort_unstable();
    let at = |q: f64| values[((q * DRAWS as f64) as usize).min(DRAWS - 1)];
    let mut histogram: Vec<(u64, u64)> = Vec::new();
    for &v in &values {
        match histogram.last_mut() {
            Some((bound, n)) if *bound == v => *n += EACH,
            _ => histogram.push((v, EACH)),
        }
    }
    Distribution {
        count,
        negative: 0,
        mean: values.iter().sum::<u64>() as f64 / DRAWS as f64,
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        max: at(1.0),
        histogram,
    }
}

fn lag(draw: &mut Draw, partitions: i32, throughput: f64, drain_s: f64, surge: Option<&Surge>) -> Lag {
    let mut series = Vec::new();
    let mut t_ms = 0.0;
    let mut phase = |name: &str, seconds: f64, of: &mut dyn FnMut(f64) -> f64| {
        let from = t_ms;
        while t_ms <= from + seconds * 1000.0 {
            let all = of((t_ms - from) / 1000.0).max(0.0);
            for partition in 0..partitions {
                let records = (all / f64::from(partitions) * (0.9 + 0.2 * draw.next())) as i64;
                let ns = (records as f64 / throughput * f64::from(partitions) * 1e9) as u64;
                series.push(LagSample { t_ms, phase: name.into(), partition, records, ns });
            }
            t_ms += 100.0;
        }
    };
    phase("drain", drain_s, &mut |s| 4_000.0 - throughput * s);
    phase("steady", 12.0, &mut |_| 93.0);
    if let Some(plan) = surge {
        let mut lag = 90.0f64;
        phase("surge", plan.base_s * 2.0 + plan.peak_s, &mut |s| {
            let peak = (plan.base_s..plan.base_s + plan.peak_s).contains(&s);
            let offered = if peak { plan.peak_per_s } else { plan.base_per_s };
            lag = (lag + (offered - throughput) * 0.1).max(90.0);
            lag
        });
    }
    Lag { tick_ms: 100, slope_records_per_s: 0.4, missed: 0, series }
}

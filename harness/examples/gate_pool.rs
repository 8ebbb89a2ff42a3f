//! What a pool of measured rounds says of the gate: `cargo run --release --example gate_pool POOL.json…` prints, as one JSON
//! array, each pool's spread and change by metric, and the rates of gates that are drawn from it by the built-in rules.

use std::process::ExitCode;

use lanebench::gate::decision::log_ratio;
use lanebench::gate::pool::{Draw, Interval, Pool, PoolRates};
use lanebench::gate::{Rules, Values};
use lanebench::record::gate::{GateRule, PoolRecord};
use lanebench::stats;
use serde_json::{Value, json};

/// Pools drawn from the pool, and gates drawn from each of them.
const RESAMPLES: u32 = 400;
const GATES: u32 = 400;

fn main() -> ExitCode {
    let told: Result<Vec<Value>, String> = std::env::args().skip(1).map(|path| tell(&path)).collect();
    match told {
        Ok(pools) => {
            println!("{}", Value::from(pools));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn tell(path: &str) -> Result<Value, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let record: PoolRecord = serde_json::from_str(&text).map_err(|error| format!("{path}: {error}"))?;
    let failed = |r: &&_| !passed(r);
    if let Some(round) = record.rounds.iter().find(failed) {
        return Err(format!("{path}: round {} failed its checks of truth", round.round));
    }
    let rules = Rules::built_in();
    let rounds: Vec<(Values, Values)> =
        record.rounds.iter().map(|r| (r.baseline.values, r.candidate.values)).collect();
    let pool = Pool::new(&rounds, &rules).map_err(|error| format!("{path}: {error}"))?;
    let rates = |draw| rates(&pool.rates_with_intervals(draw, RESAMPLES, GATES, 1));
    Ok(json!({
        "candidate": record.candidate.command,
        "rounds": rounds.len(),
        "seconds_per_round": record.took_s / rounds.len() as f64,
        "metrics": rules.as_slice().iter().map(|rule| metric(rule, &rounds)).collect::<Vec<_>>(),
        "null": rates(Draw::Null),
        "power": rates(Draw::Power),
    }))
}

fn passed(round: &lanebench::gate::GateRound) -> bool {
    round.baseline.verification.passed && round.candidate.verification.passed
}

/// Spread of single trials, and candidate ÷ baseline with Student's t interval.
fn metric(rule: &GateRule, rounds: &[(Values, Values)]) -> Value {
    let logs: Vec<f64> = rounds.iter().filter_map(|(b, c)| log_ratio(rule, b, c)).collect();
    let mean = logs.iter().sum::<f64>() / logs.len() as f64;
    let variance = logs.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (logs.len() as f64 - 1.0);
    let ratios: Vec<f64> =
        rounds.iter().filter_map(|(b, c)| Some(c.of(rule.metric)? / b.of(rule.metric)?)).collect();
    json!({
        "metric": rule.metric.as_str(),
        "required": rule.required,
        "tolerance": rule.tolerance,
        "spread": (variance / 2.0).sqrt(),
        "ratio": stats::estimate(&ratios, 0.95),
    })
}

fn rates(found: &PoolRates) -> Value {
    let rate = |value: f64, interval: Interval| json!({ "value": value, "low": interval.low, "high": interval.high });
    json!({
        "regressed": rate(found.rates.regressed, found.regressed),
        "held": rate(found.rates.held, found.held),
        "undecided": rate(found.rates.undecided, found.undecided),
        "mean_rounds": found.rates.mean_rounds,
    })
}

//! What the gate can tell, by simulation: how often it ends how, for the spread of single trials and a true worsening.
//!
//! `cargo run --example gate_power [RUNS]`. The noise of each metric is its own and log-normal, with the same spread in
//! all; the first metric's events take longer, the others are unchanged. Tolerances are those of the built-in rules.
//! With 10,000 runs, a standard error is at most half a per cent.

use lanebench::gate::Rules;
use lanebench::gate::replay::Replay;

fn main() {
    let runs = std::env::args().nth(1).and_then(|runs| runs.parse().ok()).unwrap_or(10_000);
    println!("| required metrics | trial CV | longer by | regressed | held | undecided | mean rounds |");
    println!("|--:|--:|--:|--:|--:|--:|--:|");
    for metrics in [1, 3] {
        for cv in [0.02, 0.03, 0.05, 0.08] {
            for longer in [0.0, 0.05, 0.10, 0.20] {
                let rates = Replay::of(&Rules::built_in(), metrics).simulate(cv, longer, runs, 1);
                let percent = |part: f64| format!("{:.1} %", part * 100.0);
                println!(
                    "| {metrics} | {:.0} % | {:.0} % | {} | {} | {} | {:.1} |",
                    cv * 100.0,
                    longer * 100.0,
                    percent(rates.regressed),
                    percent(rates.held),
                    percent(rates.undecided),
                    rates.mean_rounds
                );
            }
        }
    }
}

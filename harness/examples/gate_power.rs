//! What the gate's design can tell: rates of its verdicts, by simulation, for the spread of single trials and a true
//! change. `cargo run --example gate_power`

use std::f64::consts::SQRT_2;

use lanebench::gate::replay::Replay;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};

fn main() {
    let runs = 4_000;
    let tol: f64 = std::env::args().nth(1).map_or(0.06, |a| a.parse().unwrap());
    let mem: f64 = std::env::args().nth(2).map_or(0.10, |a| a.parse().unwrap());
    for k in [1, 3] {
        for cv in [0.02, 0.03, 0.05, 0.08] {
            for effect in [0.0f64, 0.05, 0.10, 0.20] {
                let mut limits = vec![-(1.0 - tol).ln()];
                if k == 3 {
                    limits.extend([tol.ln_1p(), mem.ln_1p()]);
                }
                let replay = Replay::new(limits);
                let noise = Normal::new(0.0, cv * SQRT_2).unwrap();
                let mut rng = ChaCha8Rng::seed_from_u64(1);
                let r = replay.rates(runs, |replay| {
                    replay.run(|x| {
                        for (i, v) in x.iter_mut().enumerate() {
                            *v = noise.sample(&mut rng) + if i == 0 { effect.ln_1p() } else { 0.0 };
                        }
                    })
                });
                println!(
                    "k {k} cv {cv} effect {effect}: reg {:.4} held {:.4} und {:.4} rounds {:.1}",
                    r.regressed, r.held, r.undecided, r.mean_rounds
                );
            }
        }
    }
}

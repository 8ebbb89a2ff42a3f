//! What a reader must know before trusting the numbers, by name.

use std::fmt;

use crate::record::{Trial, Warning};
use crate::stack::C1_BIAS;

/// Every warning, each with its cause; its text names the flag that helps.
#[derive(Clone, Debug, PartialEq)]
pub enum Caution {
    /// The harness was built without optimisation.
    DebugBuild,
    /// The load generator ran late.
    GeneratorSaturated {
        /// Configuration.
        config: String,
        /// Round.
        round: u32,
        /// 99th percentile of sent − due, in ms.
        slip_p99_ms: f64,
        /// Median response time, in ms.
        response_p50_ms: f64,
    },
    /// The same part held every configuration back.
    SharedBottleneck {
        /// Its name.
        part: String,
    },
    /// Other work ran on the host.
    HostBusy {
        /// What was seen.
        what: String,
    },
    /// No interval can be had.
    TooFewRounds {
        /// Rounds that count.
        rounds: usize,
    },
    /// The brokers' JVM compiles with C1 alone.
    C1Brokers,
    /// PostgreSQL does not wait for the disk.
    FsyncOff,
    /// Part of the work is modelled.
    ModelledWork {
        /// Service time, in ms.
        service_time_ms: f64,
    },
    /// One partition holds over half of the events.
    Skew {
        /// Configuration.
        config: String,
        /// Partition.
        partition: i32,
        /// Its share, 0 to 1.
        share: f64,
    },
    /// A later gate was stamped before an earlier one.
    ClockBackwards {
        /// Configuration.
        config: String,
        /// Such samples.
        samples: u64,
    },
    /// More consumers than partitions.
    IdleConsumers {
        /// Configuration.
        config: String,
        /// How many have nothing to do.
        idle: u32,
    },
    /// The surge was left out.
    NoSurge {
        /// Fastest ÷ slowest warm drain.
        ratio: f64,
    },
    /// The fastest drain was shorter than the method asks.
    ShortDrain {
        /// Configuration.
        config: String,
        /// Shortest drain, in s.
        drain_s: f64,
    },
    /// The steady rate was too high to compare percentiles.
    RateTooHigh {
        /// Events/s.
        rate_per_s: f64,
    },
    /// The steady phase had too few events to compare percentiles.
    FewSamples {
        /// Events a trial, about.
        events: u64,
    },
    /// The worker told of its gates from a process of its own.
    RealtimeClock,
    /// The worker was seen from outside only.
    MeasuredOutside,
    /// Something was broken on purpose.
    Injected {
        /// What.
        what: String,
    },
    /// Something was slowed down on purpose.
    Throttled {
        /// What.
        what: String,
    },
}

impl Caution {
    fn code(&self) -> &'static str {
        match self {
            Self::DebugBuild => "debug-build",
            Self::GeneratorSaturated { .. } => "generator-saturated",
            Self::SharedBottleneck { .. } => "shared-bottleneck",
            Self::HostBusy { .. } => "host-busy",
            Self::TooFewRounds { .. } => "too-few-rounds",
            Self::C1Brokers => "c1-brokers",
            Self::FsyncOff => "fsync-off",
            Self::ModelledWork { .. } => "modelled-work",
            Self::Skew { .. } => "skew",
            Self::ClockBackwards { .. } => "clock-backwards",
            Self::IdleConsumers { .. } => "idle-consumers",
            Self::NoSurge { .. } => "no-surge",
            Self::ShortDrain { .. } => "short-drain",
            Self::RateTooHigh { .. } => "rate-too-high",
            Self::FewSamples { .. } => "few-samples",
            Self::RealtimeClock => "realtime-clock",
            Self::MeasuredOutside => "measured-outside",
            Self::Injected { .. } => "injected",
            Self::Throttled { .. } => "throttled",
        }
    }

    /// As it is kept in a result.
    pub fn record(&self) -> Warning {
        Warning { code: self.code().into(), message: self.to_string() }
    }
}

impl fmt::Display for Caution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DebugBuild => {
                write!(f, "This is a debug build, which is several times slower: use `cargo run --release`.")
            }
            Self::GeneratorSaturated { config, round, slip_p99_ms, response_p50_ms } => write!(
                f,
                "The load generator ran late in round {round} of {config}: 99 % of events were sent within {slip_p99_ms:.1} ms \
                 of their due time, against a median response time of {response_p50_ms:.1} ms. Response times include \
                 this lateness; lower `--rate` or free some CPU."
            ),
            Self::SharedBottleneck { part } => write!(
                f,
                "The {part} held every configuration back, so for it the compared settings look alike; more lanes can't \
                 raise what the {part} allows."
            ),
            Self::HostBusy { what } => {
                write!(f, "The host was busy: {what}. Repeat on a quieter machine, or with more `--rounds`.")
            }
            Self::TooFewRounds { rounds } => write!(
                f,
                "Too few rounds ({rounds}) for an interval: the values are shown, no verdict is given. Use `--rounds 3` or more."
            ),
            Self::C1Brokers => f.write_str(C1_BIAS),
            Self::FsyncOff => {
                write!(f, "PostgreSQL runs with fsync off: commits cost less than durable ones do.")
            }
            Self::ModelledWork { service_time_ms } => write!(
                f,
                "Each event includes a modelled call of {service_time_ms:.1} ms (`--service-time`): throughput and response \
                 time show that model, not a real downstream service."
            ),
            Self::Skew { config, partition, share } => write!(
                f,
                "Partition {partition} of {config} holds {:.0} % of the events: no number of consumers makes this faster \
                 than 1 ÷ that share. See `--keys` and the choice of the message key.",
                share * 100.0
            ),
            Self::ClockBackwards { config, samples } => write!(
                f,
                "{samples} samples of {config} have a later gate before an earlier one and count as 0 (an event can be \
                 fetched before its acknowledgement has travelled back)."
            ),
            Self::IdleConsumers { config, idle } => write!(
                f,
                "{idle} {} of {config} {} no partition and idle: a partition has one consumer of a group at most.",
                if *idle == 1 { "consumer" } else { "consumers" },
                if *idle == 1 { "has" } else { "have" },
            ),
            Self::NoSurge { ratio } => write!(
                f,
                "The surge was left out: the fastest configuration drains {ratio:.2} × as fast as the slowest, and below \
                 1.4 × no rate overloads one and not the other."
            ),
            Self::ShortDrain { config, drain_s } => write!(
                f,
                "The shortest drain of {config} took {drain_s:.2} s; under 1.5 s start and end weigh too much. Raise `--drain-events`."
            ),
            Self::RateTooHigh { rate_per_s } => write!(
                f,
                "{rate_per_s:.0} events/s is above 0.6 × the slowest drain: response times may grow with the duration, so \
                 they are not compared. Lower `--rate`."
            ),
            Self::FewSamples { events } => write!(
                f,
                "The steady phase has about {events} events a trial: its percentiles are shown, and compared only from \
                 3,000 on. Use a longer `--duration`."
            ),
            Self::RealtimeClock => write!(
                f,
                "The worker was a process of its own, so its times are of the realtime clock, and a step of that clock would show in \
                 them; the sender's are of the monotonic one."
            ),
            Self::MeasuredOutside => write!(
                f,
                "The worker was seen from outside: a message counts as done once the group's committed offset has passed it, \
                 sampled every {} ms. So figures are late by up to its commit interval and one sample; stages, the order at \
                 its consumers and what held it back are not seen.",
                crate::measure::outside::TICK.as_millis()
            ),
            Self::Injected { what } => {
                write!(f, "`{what}` was injected on purpose: this run tests the checker.")
            }
            Self::Throttled { what } => write!(
                f,
                "The {what} was slowed down on purpose: this run tests the naming of the bottleneck."
            ),
        }
    }
}

/// Cautions that show in one trial.
pub fn of_trial(config: &str, trial: &Trial) -> Vec<Caution> {
    let mut found = Vec::new();
    if let Some(worker) = &trial.worker {
        let inside = worker.measured_from == "inside";
        found.push(if inside { Caution::RealtimeClock } else { Caution::MeasuredOutside });
    }
    let ms = |ns: u64| ns as f64 / 1e6;
    let (slip, response) = (trial.steady.stages_ns.slip.p99, trial.steady.response_time_ns.p50);
    if trial.steady.response_time_ns.count > 0 && slip > 1_000_000.max(response / 20) {
        found.push(Caution::GeneratorSaturated {
            config: config.into(),
            round: trial.round,
            slip_p99_ms: ms(slip),
            response_p50_ms: ms(response),
        });
    }
    if trial.partitions.len() > 1
        && let Some(largest) = trial.partitions.iter().max_by(|a, b| a.share.total_cmp(&b.share))
        && largest.share > 0.5
    {
        found.push(Caution::Skew { config: config.into(), partition: largest.id, share: largest.share });
    }
    let stages = &trial.steady.stages_ns;
    let negative = [
        &stages.slip,
        &stages.ack,
        &stages.wait,
        &stages.store,
        &stages.view,
        &trial.steady.response_time_ns,
    ]
    .iter()
    .map(|d| d.negative)
    .sum();
    if negative > 0 {
        found.push(Caution::ClockBackwards { config: config.into(), samples: negative });
    }
    found
}

/// Keeps the first of each kind and configuration, in order: forty lines of one warning hide the others.
pub fn once_each(all: Vec<Caution>) -> Vec<Caution> {
    let mut kept: Vec<Caution> = Vec::new();
    for caution in all {
        let same = |k: &Caution| match (k, &caution) {
            (
                Caution::GeneratorSaturated { config: a, .. },
                Caution::GeneratorSaturated { config: b, .. },
            )
            | (Caution::Skew { config: a, .. }, Caution::Skew { config: b, .. })
            | (Caution::ShortDrain { config: a, .. }, Caution::ShortDrain { config: b, .. }) => a == b,
            (Caution::ClockBackwards { config: a, .. }, Caution::ClockBackwards { config: b, .. }) => a == b,
            (Caution::HostBusy { .. }, Caution::HostBusy { .. }) => true,
            (k, c) => k == c,
        };
        match kept.iter_mut().find(|k| same(k)) {
            Some(Caution::ClockBackwards { samples, .. }) => {
                if let Caution::ClockBackwards { samples: more, .. } = caution {
                    *samples += more;
                }
            }
            Some(_) => {}
            None => kept.push(caution),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_said_once_a_configuration() {
        let skew = |config: &str, share| Caution::Skew { config: config.into(), partition: 0, share };
        let back = |samples| Caution::ClockBackwards { config: "1p1c".into(), samples };
        let kept = once_each(vec![skew("a", 0.6), skew("a", 0.7), skew("b", 0.6), back(2), back(3)]);
        assert_eq!(kept, vec![skew("a", 0.6), skew("b", 0.6), back(5)]);
    }
}

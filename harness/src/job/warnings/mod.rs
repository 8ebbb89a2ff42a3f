//! What a reader must know before trusting the numbers, by name. A new warning is a variant here, with its code, its weight and
//! its sentence, and a line in the room that finds it (`found.rs`).

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use payment_delivery::consumer::ServiceTime;

use crate::measure::lag::TICK_DEFAULT;
use crate::record::{SeenBy, Warning};
use crate::stack::C1_BIAS;

mod found;

pub(crate) use found::{afterwards, beforehand, not_settled, of_trial, overloaded};

/// The load generator should be able to make this many times as much as it is asked for.
const GENERATOR_ROOM: f64 = 3.0;

/// Every warning, each with its cause; its text names the flag that helps.
#[derive(Clone, Debug, PartialEq)]
pub enum WarningKind {
    /// The harness was built without optimisation.
    DebugBuild,
    /// A steady phase was more than a configuration keeps up with.
    Overloaded {
        /// Configuration.
        config: String,
        /// Rate offered, events/s.
        offered_per_s: f64,
        /// Slope of the backlog, events/s.
        slope_per_s: f64,
    },
    /// Brokers or programs were still getting faster when the first round began.
    NotSettled {
        /// What moved in the last pass.
        moved: Vec<String>,
    },
    /// The load generator ran late.
    GeneratorSaturated {
        /// Configuration.
        config: String,
        /// The phase.
        phase: String,
        /// What was seen.
        what: String,
    },
    /// The load generator's own ceiling is not far enough above what it was asked for.
    GeneratorCeiling {
        /// What it made alone, events/s.
        alone_per_s: f64,
        /// The largest rate that it was asked for, events/s.
        asked_per_s: f64,
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
    /// The run may use less of the CPUs than the machine has.
    CpuQuota {
        /// CPUs that it may use, by its control group or its affinity.
        granted: usize,
        /// Cores of the machine.
        cores: usize,
    },
    /// No interval can be had.
    TooFewRounds {
        /// Rounds that count.
        rounds: usize,
    },
    /// The brokers' JVM compiles with C1 alone.
    C1Brokers,
    /// PostgreSQL does not wait for the disk.
    FsyncOff {
        /// Why that is known.
        why: String,
    },
    /// Redis may drop statuses.
    ViewEvicts {
        /// Its `maxmemory-policy`.
        policy: String,
        /// Its `maxmemory`, in bytes.
        max_bytes: String,
    },
    /// Part of the work is modelled.
    ModelledWork {
        /// Whose.
        configs: Vec<String>,
        /// How long the calls take.
        service_time: ServiceTime,
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
    /// A clock stepped back.
    ClockBackwards {
        /// Configuration.
        config: String,
        /// Such samples.
        samples: u64,
    },
    /// The group did not keep its members in a phase that is quoted.
    GroupMoved {
        /// Configuration.
        config: String,
        /// What happened.
        what: String,
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
        /// Largest ÷ smallest sustained capacity.
        ratio: f64,
    },
    /// The fastest drain was shorter than the method asks.
    ShortDrain {
        /// Configuration.
        config: String,
        /// Shortest drain, in s.
        drain_s: f64,
    },
    /// The steady phase had too few events to compare percentiles.
    FewSamples {
        /// Events a trial, about.
        events: u64,
    },
    /// The worker told of its milestones from a process of its own.
    RealtimeClock,
    /// The worker was seen from outside only.
    MeasuredOutside {
        /// By what.
        seen_by: SeenBy,
        /// By how much later than it was, in the median, where that is known.
        late_ms: Option<f64>,
    },
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

impl WarningKind {
    /// Its name, and how much it takes from the numbers: 0 voids what it concerns, 3 explains it.
    fn code_and_weight(&self) -> (&'static str, u8) {
        match self {
            Self::DebugBuild => ("debug-build", 0),
            Self::Overloaded { .. } => ("overloaded", 0),
            Self::NotSettled { .. } => ("not-settled", 0),
            Self::Injected { .. } => ("injected", 0),
            Self::Throttled { .. } => ("throttled", 0),
            Self::GeneratorSaturated { .. } | Self::GeneratorCeiling { .. } => ("generator-saturated", 1),
            Self::HostBusy { .. } => ("host-busy", 1),
            Self::GroupMoved { .. } => ("group-moved", 1),
            Self::ClockBackwards { .. } => ("clock-backwards", 1),
            Self::TooFewRounds { .. } => ("too-few-rounds", 1),
            Self::C1Brokers => ("c1-brokers", 1),
            Self::FsyncOff { .. } => ("fsync-off", 1),
            Self::CpuQuota { .. } => ("cpu-quota", 1),
            Self::ViewEvicts { .. } => ("view-evicts", 1),
            Self::SharedBottleneck { .. } => ("shared-bottleneck", 2),
            Self::ShortDrain { .. } => ("short-drain", 2),
            Self::FewSamples { .. } => ("few-samples", 2),
            Self::Skew { .. } => ("skew", 2),
            Self::NoSurge { .. } => ("no-surge", 2),
            Self::MeasuredOutside { .. } => ("measured-outside", 2),
            Self::IdleConsumers { .. } => ("idle-consumers", 3),
            Self::ModelledWork { .. } => ("modelled-work", 3),
            Self::RealtimeClock => ("realtime-clock", 3),
        }
    }

    /// What else tells it from others of its kind and configuration.
    fn part(&self) -> String {
        match self {
            Self::GeneratorSaturated { phase, .. } => phase.clone(),
            Self::ModelledWork { configs, .. } => configs.join(", "),
            Self::MeasuredOutside { seen_by, .. } => format!("{seen_by:?}"),
            _ => String::new(),
        }
    }

    /// The configuration that it is about, where it is about one.
    fn configuration(&self) -> Option<&str> {
        match self {
            Self::Overloaded { config, .. }
            | Self::GeneratorSaturated { config, .. }
            | Self::Skew { config, .. }
            | Self::ClockBackwards { config, .. }
            | Self::GroupMoved { config, .. }
            | Self::IdleConsumers { config, .. }
            | Self::ShortDrain { config, .. } => Some(config),
            _ => None,
        }
    }
}

impl fmt::Display for WarningKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DebugBuild => {
                write!(f, "This is a debug build, which is several times slower: use `cargo run --release`.")
            }
            Self::Overloaded { config, offered_per_s, slope_per_s } => write!(
                f,
                "{config} does not keep up with {offered_per_s:.0} events/s: its backlog grows by {slope_per_s:.0} events/s. Its \
                 response times grow with the duration, so they are marked and excluded from comparisons. Lower `--rate`."
            ),
            Self::NotSettled { moved } => write!(
                f,
                "The warm-up ended before all had settled ({}): early rounds may be slower than late ones. Use more \
                 `--budget`, or keep brokers warm with `lanebench stack up`.",
                moved.join("; ")
            ),
            Self::GeneratorSaturated { config, phase, what } => write!(
                f,
                "The load generator did not keep to the schedule in the {phase} phase of {config}: {what}. Response times \
                 include this lateness; lower `--rate` or free some CPU."
            ),
            Self::GeneratorCeiling { alone_per_s, asked_per_s } => write!(
                f,
                "The load generator alone made {alone_per_s:.0} events/s, and had to send up to {asked_per_s:.0} events/s: below {GENERATOR_ROOM} × \
                 that, it may be what is measured. Free some CPU, or lower `--rate` where that asked for so much."
            ),
            Self::SharedBottleneck { part } => write!(
                f,
                "The {part} was the bottleneck in every trial: adding consumers can raise throughput only as far as it has \
                 capacity left."
            ),
            Self::HostBusy { what } => {
                write!(f, "The host was busy: {what}. Repeat on a quieter machine, or with more `--rounds`.")
            }
            Self::CpuQuota { granted, cores } => write!(
                f,
                "This program and what it starts may use {granted} of the machine's {cores} cores (a control group's quota, or \
                 taskset): all parts share those."
            ),
            Self::TooFewRounds { rounds } => write!(
                f,
                "Too few rounds ({rounds}) for an interval: the values are shown, no verdict is given. Use `--rounds 4` or more."
            ),
            Self::C1Brokers => f.write_str(C1_BIAS),
            Self::FsyncOff { why } => {
                write!(
                    f,
                    "PostgreSQL does not wait for the disk ({why}): commits cost less than durable ones do."
                )
            }
            Self::ViewEvicts { policy, max_bytes } => write!(
                f,
                "Redis evicts keys once it holds {max_bytes} bytes (`maxmemory-policy {policy}`): a status that it dropped is missing \
                 where the checks look for it. Set `maxmemory-policy noeviction`."
            ),
            Self::ModelledWork { configs, service_time } => write!(
                f,
                "Each event of {} includes a simulated call of {} (`--service-time`): throughput and \
                 response time show that model, not a real downstream service.",
                configs.join(", "),
                length(*service_time)
            ),
            Self::Skew { config, partition, share } => write!(
                f,
                "Partition {partition} of {config} holds {:.0} % of the events, and has one consumer at most: more consumers \
                 make this at most {:.2} × as fast as one. See `--keys` and the choice of the message key.",
                share * 100.0,
                1.0 / share
            ),
            Self::ClockBackwards { config, samples } => write!(
                f,
                "{samples} response times or delays of {config} are below zero and count as 0: a clock stepped back, or the clocks \
                 of two processes disagree."
            ),
            Self::GroupMoved { config, what } => write!(
                f,
                "The consumer group of {config} was disturbed while it was measured: {what}. Its numbers include that."
            ),
            Self::IdleConsumers { config, idle } => write!(
                f,
                "{idle} {} of {config} {} no partition and idle: a partition has one consumer of a group at most.",
                if *idle == 1 { "consumer" } else { "consumers" },
                if *idle == 1 { "has" } else { "have" },
            ),
            Self::NoSurge { ratio } => write!(
                f,
                "The surge was left out: the largest sustained capacity is {ratio:.2} × the smallest, and below \
                 1.4 × no rate overloads one and not the other."
            ),
            Self::ShortDrain { config, drain_s } => write!(
                f,
                "The shortest drain of {config} took {drain_s:.2} s; under 1.5 s start and end weigh too much. Raise `--drain-events`."
            ),
            Self::FewSamples { events } => write!(
                f,
                "The steady phase has about {events} events a trial: its percentiles are shown, and compared only from \
                 3,000 on. Use a longer `--duration`, without `--quick`."
            ),
            Self::RealtimeClock => write!(
                f,
                "The worker was a process of its own, so its times are of the realtime clock, to which the sender's monotonic times \
                 are converted once: a step of the clock during the run would show as an error."
            ),
            Self::MeasuredOutside { seen_by, late_ms } => {
                f.write_str("The worker was seen from outside: a message counts as done once ")?;
                match seen_by {
                    SeenBy::View => f.write_str("its status was read, upon a notification by Redis")?,
                    SeenBy::Rows => f.write_str(
                        "its row was committed, by PostgreSQL's clock, which is before its status is shown",
                    )?,
                    SeenBy::Offsets => write!(
                        f,
                        "the group's committed offset has passed it, sampled every {} ms (Redis and PostgreSQL would say it sooner: docs/worker.md)",
                        TICK_DEFAULT.as_millis()
                    )?,
                }
                if let Some(late_ms) = late_ms {
                    write!(f, "; so figures are late, by up to {late_ms:.1} ms in the median")?;
                }
                f.write_str(". Its backlog is sent while it fetches; stages, the order at its consumers and what held it back are not seen.")
            }
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

/// How long modelled calls take.
fn length(service_time: ServiceTime) -> String {
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    match service_time.bounds() {
        None => format!("{:.1} ms", ms(service_time.longest())),
        Some((low, high)) => format!("{:.1} to {:.1} ms, drawn uniformly", ms(low), ms(high)),
    }
}

/// A warning and the round in which it showed, if it is about one.
pub(crate) type Seen = (WarningKind, Option<u32>);

/// As a result keeps them: one of each kind, configuration and part, the first seen, with all its rounds; the weightiest first.
pub(crate) fn record(all: impl IntoIterator<Item = Seen>) -> Vec<Warning> {
    let mut kept: BTreeMap<(u8, &'static str, Option<String>, String), Warning> = BTreeMap::new();
    for (kind, round) in all {
        let (code, weight) = kind.code_and_weight();
        let configuration = kind.configuration().map(str::to_owned);
        let key = (weight, code, configuration.clone(), kind.part());
        let warning = kept.entry(key).or_insert_with(|| Warning {
            code: code.into(),
            message: kind.to_string(),
            configuration,
            rounds: Vec::new(),
        });
        if let Some(round) = round.filter(|round| !warning.rounds.contains(round)) {
            warning.rounds.push(round);
            warning.rounds.sort_unstable();
        }
    }
    kept.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_said_once_a_configuration_with_all_its_rounds_and_the_weightiest_first() {
        let skew = |config: &str| WarningKind::Skew { config: config.into(), partition: 0, share: 0.6 };
        let overloaded =
            WarningKind::Overloaded { config: "b".into(), offered_per_s: 100.0, slope_per_s: 20.0 };
        let all = [(skew("a"), Some(2)), (skew("a"), Some(1)), (skew("b"), Some(1)), (overloaded, Some(3))];
        let kept: Vec<_> = record(all)
            .into_iter()
            .map(|warning| (warning.code, warning.configuration.unwrap(), warning.rounds))
            .collect();
        let expected = [("overloaded", "b", vec![3]), ("skew", "a", vec![1, 2]), ("skew", "b", vec![1])]
            .map(|(code, config, rounds)| (code.to_owned(), config.to_owned(), rounds));
        assert_eq!(kept, expected);
    }

    #[test]
    fn a_slow_generator_is_one_of_the_run_and_says_both_figures() {
        let slow = WarningKind::GeneratorCeiling { alone_per_s: 90_000.0, asked_per_s: 31_000.4 };
        let kept = record([(slow, None)]);
        let [warning] = &kept[..] else { panic!("{kept:?}") };
        assert_eq!((warning.code.as_str(), warning.configuration.as_deref()), ("generator-saturated", None));
        let said = "alone made 90000 events/s, and had to send up to 31000 events/s: below 3 × that";
        assert!(warning.message.contains(said), "{}", warning.message);
    }

    #[test]
    fn a_modelled_call_is_said_with_its_length() {
        let said = |service_time| {
            WarningKind::ModelledWork { configs: vec!["a".into(), "b".into()], service_time }.to_string()
        };
        let (two, five) = (Duration::from_millis(2), Duration::from_millis(5));
        let fixed = said(ServiceTime::fixed(two));
        assert!(fixed.starts_with("Each event of a, b includes a simulated call of 2.0 ms (`--s"), "{fixed}");
        let drawn = said(ServiceTime::uniform(two, five).unwrap());
        assert!(drawn.contains("a simulated call of 2.0 to 5.0 ms, drawn uniformly (`--s"), "{drawn}");
    }
}

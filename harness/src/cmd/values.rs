//! Values of flags that several subcommands have, and the command line that repeats a run.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::ValueEnum;
use payment_delivery::consumer::ServiceTime;
use payment_delivery::kafka::fetch::ReaderChoice;
use payment_delivery::redact::{redact, redact_all};

use super::out::UsageError;
use crate::contender::Lanes;
use crate::stack::worker::{WorkerCommand, quoted};

/// A duration as it is typed: 5s, 2ms, 1m.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let parsed: jiff::SignedDuration =
        text.parse().map_err(|_| format!("`{text}` is not a duration; write it like 5s, 2ms or 1m"))?;
    Duration::try_from(parsed).map_err(|_| "a duration is not negative".into())
}

/// A service time as it is typed: 2ms, or 0-5ms for times between the two. A bound without a unit has that of the other.
pub fn service_time(text: &str) -> Result<ServiceTime, String> {
    let Some((low, high)) = text.split_once('-') else { return duration(text).map(ServiceTime::fixed) };
    let (low, high) = (low.trim(), high.trim());
    if low.is_empty() {
        return Err("a service time is not negative".into());
    }
    if high.is_empty() {
        return Err(format!("`{text}` ends without its longest call; write it like 0-5ms"));
    }
    let bound = |own: &str, other: &str| match unit(own) {
        "" => duration(&format!("{own}{}", unit(other))),
        _ => duration(own),
    };
    let (low, high) = (bound(low, high)?, bound(high, low)?);
    ServiceTime::uniform(low, high).ok_or_else(|| {
        format!("`{text}` has a shortest call above its longest; write the shorter first, like 0-5ms")
    })
}

/// The unit with which a time ends; empty where there is none.
fn unit(time: &str) -> &str {
    &time[time.trim_end_matches(char::is_alphabetic).len()..]
}

/// Refuses a configuration that is named twice.
pub(super) fn named_once(configs: &[Lanes]) -> Result<(), UsageError> {
    let mut seen = BTreeSet::new();
    match configs.iter().find(|lanes| !seen.insert(**lanes)) {
        None => Ok(()),
        Some(twice) => Err(UsageError {
            what: format!("{twice} is named twice in `--configs`"),
            hint: "name each configuration once; more rounds or trials give more of it".into(),
        }),
    }
}

/// Who reads the topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ReaderFlag {
    /// rskafka, and the raw reader from the first record on that rskafka can't read
    Rskafka,
    /// The raw reader, which knows transactions from the start
    Raw,
}

impl From<ReaderFlag> for ReaderChoice {
    fn from(flag: ReaderFlag) -> Self {
        match flag {
            ReaderFlag::Rskafka => Self::RskafkaFirst,
            ReaderFlag::Raw => Self::Raw,
        }
    }
}

/// A duration above zero, for what happens once in it.
pub(super) fn interval(text: &str) -> Result<Duration, String> {
    let duration = duration(text)?;
    if duration.is_zero() { Err("must be above zero".into()) } else { Ok(duration) }
}

/// Anybody's worker, as `flag` gave it.
pub(super) fn foreign_worker(flag: &str, line: &str) -> Result<WorkerCommand, UsageError> {
    if line.trim().is_empty() {
        return Err(UsageError {
            what: format!("`{flag}` is empty"),
            hint: "give the command line of a worker, such as `java -jar worker.jar`".into(),
        });
    }
    Ok(WorkerCommand::Foreign { line: line.into() })
}

/// The command line that repeats this run. Secrets come by environment or are left out.
pub(super) fn command_line() -> String {
    let mut words = vec!["lanebench".to_owned()];
    let mut secret = false;
    for word in std::env::args().skip(1) {
        let hidden = std::mem::replace(&mut secret, word == "--database-url" || word == "--redis-url");
        words.push(match word.split_once('=') {
            Some((flag @ ("--database-url" | "--redis-url"), url)) => format!("{flag}={}", redact(url)),
            _ if hidden => redact(&word),
            _ => redact_all(&word),
        });
    }
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(low_us: u64, high_us: u64) -> ServiceTime {
        ServiceTime::uniform(Duration::from_micros(low_us), Duration::from_micros(high_us)).unwrap()
    }

    #[test]
    fn a_service_time_is_one_time_or_two_bounds() {
        for (text, expected) in [
            ("0s", ServiceTime::NONE),
            ("2ms", ServiceTime::fixed(Duration::from_millis(2))),
            ("0-0s", ServiceTime::NONE),
            ("0-5ms", between(0, 5_000)),
            ("1.5-2ms", between(1_500, 2_000)),
            ("1ms-2", between(1_000, 2_000)),
            ("500us-2ms", between(500, 2_000)),
            ("0 - 1m30s", between(0, 90_000_000)),
        ] {
            assert_eq!(service_time(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_service_time_is_said() {
        for (text, says) in [
            ("fast", "`fast` is not a duration; write it like 5s, 2ms or 1m"),
            ("2", "`2` is not a duration"),
            ("1-2", "`1` is not a duration"),
            ("0-fast", "is not a duration"),
            ("1-2-3ms", "`2-3ms` is not a duration"),
            ("-2ms", "a service time is not negative"),
            ("0--5ms", "a duration is not negative"),
            ("2ms-", "`2ms-` ends without its longest call; write it like 0-5ms"),
            ("5-2ms", "`5-2ms` has a shortest call above its longest"),
        ] {
            let error = service_time(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn a_service_time_reads_as_it_prints() {
        for low_us in [0, 1, 999, 1_000, 2_500, 1_000_000] {
            for high_us in [0, 1, 1_000, 2_501, 3_000_000].map(|more| low_us + more) {
                let printed = between(low_us, high_us).to_string();
                assert_eq!(service_time(&printed), Ok(between(low_us, high_us)), "{printed}");
            }
        }
    }
}

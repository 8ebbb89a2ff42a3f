//! Values of flags that several subcommands have, and the command line that repeats a run.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::ValueEnum;
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

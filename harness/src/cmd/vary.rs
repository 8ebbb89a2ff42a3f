//! `--vary FLAG=A,B`: contenders of the values of a flag, interleaved like any others.

use std::str::FromStr;
use std::time::Duration;

use payment_delivery::consumer::ServiceTime;
use payment_delivery::redact::redact_all;

use super::out::UsageError;
use super::place::PlaceFlags;
use super::values::{foreign_worker, service_time};
use crate::contender::Contender;

/// A flag and the values that it takes in turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Vary {
    Replication(Vec<i16>),
    ServiceTime(Vec<ServiceTime>),
    /// One value a flag: a command line may hold commas.
    WorkerCmd(String),
}

impl FromStr for Vary {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (flag, values) =
            text.split_once('=').ok_or_else(|| format!("`{text}` is not of the form replication=1,3"))?;
        let each = || values.split(',').map(str::trim);
        match flag.trim_start_matches('-') {
            "replication" => {
                let replicas = |value: &str| match value.parse::<i16>() {
                    Ok(replicas) if replicas > 0 => Ok(replicas),
                    _ => Err(format!("`{value}` is no number of replicas")),
                };
                each().map(replicas).collect::<Result<_, _>>().map(Self::Replication)
            }
            "service-time" => each().map(service_time).collect::<Result<_, _>>().map(Self::ServiceTime),
            "worker-cmd" => Ok(Self::WorkerCmd(values.to_owned())),
            other => Err(format!("`{other}` can't be varied; replication, service-time and worker-cmd can")),
        }
    }
}

impl Vary {
    fn flag(&self) -> &'static str {
        match self {
            Self::Replication(_) => "replication",
            Self::ServiceTime(_) => "service-time",
            Self::WorkerCmd(_) => "worker-cmd",
        }
    }
}

/// Every contender once with each value; as they are where nothing is varied.
pub(super) fn contenders(
    base: Vec<Contender>,
    varied: &[Vary],
    place: &PlaceFlags,
) -> Result<Vec<Contender>, UsageError> {
    let Some(first) = varied.first() else { return Ok(base) };
    if let Some(other) = varied.iter().find(|vary| vary.flag() != first.flag()) {
        return Err(UsageError {
            what: format!("`--vary` was given {} and {}", first.flag(), other.flag()),
            hint: "vary one flag at a time: of two, nobody could tell which made the difference".into(),
        });
    }
    let mut all = Vec::new();
    for contender in &base {
        for (number, vary) in (1..).zip(varied) {
            all.extend(vary.of(contender, number, place)?);
        }
    }
    let mut names = std::collections::BTreeSet::new();
    match all.iter().find(|contender| !names.insert(&contender.name)) {
        Some(twice) => Err(UsageError {
            what: format!("`--vary` names {} twice", twice.name),
            hint: "name each value once; more rounds give more trials".into(),
        }),
        None => Ok(all),
    }
}

impl Vary {
    fn of(&self, base: &Contender, number: u32, place: &PlaceFlags) -> Result<Vec<Contender>, UsageError> {
        let named = |suffix: &str, value: String| {
            let mut contender = base.clone();
            contender.name = format!("{}-{suffix}", base.name);
            contender.settings.insert(self.flag().into(), value);
            contender
        };
        match self {
            Self::Replication(each) => each
                .iter()
                .map(|&replicas| {
                    let (replication, min_isr) = place.replicas_of(Some(replicas))?;
                    let said = format!("{replicas}, min.insync.replicas {min_isr}");
                    let named = named(&format!("replication{replicas}"), said);
                    Ok(Contender { replication, min_isr, ..named })
                })
                .collect(),
            Self::ServiceTime(each) => Ok(each
                .iter()
                .map(|&service_time| {
                    let (name, said) = in_name_and_words(service_time);
                    Contender { service_time, ..named(&format!("service{name}"), said) }
                })
                .collect()),
            Self::WorkerCmd(line) => {
                let worker = foreign_worker("--vary worker-cmd", line)?;
                let named = named(&format!("worker{number}"), redact_all(line));
                Ok(vec![Contender { worker: Some(worker), ..named }])
            }
        }
    }
}

/// A service time as a contender's name has it, and as people read it.
fn in_name_and_words(service_time: ServiceTime) -> (String, String) {
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    match service_time.bounds() {
        None => {
            let ms = ms(service_time.longest());
            (format!("{ms}ms"), format!("{ms} ms"))
        }
        Some((low, high)) => (service_time.to_string(), format!("{}–{} ms, uniform", ms(low), ms(high))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_and_its_values_are_read() {
        assert_eq!("replication=1,3".parse(), Ok(Vary::Replication(vec![1, 3])));
        assert_eq!("--replication=1".parse(), Ok(Vary::Replication(vec![1])));
        let [none, two, five] = [0, 2, 5].map(Duration::from_millis);
        let up_to_five = ServiceTime::uniform(none, five).unwrap();
        let times = vec![ServiceTime::NONE, ServiceTime::fixed(two), up_to_five];
        assert_eq!("service-time=0s, 2ms,0-5ms".parse(), Ok(Vary::ServiceTime(times)));
        assert_eq!("worker-cmd=java -D a=b,c".parse(), Ok(Vary::WorkerCmd("java -D a=b,c".into())));
    }

    #[test]
    fn a_service_time_has_a_name_that_a_topic_may_have() {
        for (typed, name, said) in [
            ("0s", "0ms", "0 ms"),
            ("500us", "0.5ms", "0.5 ms"),
            ("0-5ms", "0-5ms", "0–5 ms, uniform"),
            ("500us-2ms", "500us-2ms", "0.5–2 ms, uniform"),
        ] {
            let named = in_name_and_words(service_time(typed).unwrap());
            assert_eq!(named, (name.to_owned(), said.to_owned()));
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, says) in [
            ("replication", "is not of the form"),
            ("replication=0", "is no number of replicas"),
            ("service-time=2", "is not a duration"),
            ("service-time=2ms,5-2ms", "`5-2ms` has a shortest call above its longest"),
            ("nodes=1,3", "can't be varied"),
        ] {
            let error = text.parse::<Vary>().unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}

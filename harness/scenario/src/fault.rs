//! From one `[[fault]]` of a file to what breaks.

use std::time::Duration;

use lanebench_settings::{DeTable, DeValue, Location, Reader, Spanned};

use super::file::{duration, missing, seconds, wrong};
use super::{Action, Added, Fault, ScenarioError, Target};

/// What a fault may hold, of something that breaks and of partitions that are added.
const KEYS: &[&str] = &["at", "target", "action", "for"];
const KEYS_OF_TOPIC: &[&str] = &["at", "target", "action", "partitions", "noticed"];
const ACTIONS: [Action; 7] = [
    Action::Stop,
    Action::Kill,
    Action::Pause,
    Action::Disconnect,
    Action::UseUp,
    Action::Demote,
    Action::Fill,
];
const ACTIONS_OF_TOPIC: [Action; 2] = [Action::Add, Action::DrainAndAdd];
const WORDS: &[&str] = &words(ACTIONS);
const WORDS_OF_TOPIC: &[&str] = &words(ACTIONS_OF_TOPIC);

/// The longest fault.
const LASTS_MAX: Duration = Duration::from_secs(120);
/// Most partitions that may be added.
const ADDED_MAX: u32 = 50;

/// The fault that `table` holds, of a load of this `length`.
pub(super) fn fault<'a>(
    reader: &Reader<'a>,
    table: &DeTable<'a>,
    location: &Location,
    length: Duration,
) -> Result<Fault, ScenarioError> {
    let value = |key: &'static str, such_as: &'static str| {
        table.get(key).ok_or_else(|| missing(location.clone(), key, such_as))
    };
    let impossible =
        |what: String, hint| Err(ScenarioError::Impossible { location: location.clone(), what, hint });
    let is_topic = table.get("target").is_some_and(|target| target.get_ref().as_str() == Some("topic"));
    // The action first: it says more of what was meant than a key that goes with it.
    let (actions, words, keys) = if is_topic {
        (&ACTIONS_OF_TOPIC[..], WORDS_OF_TOPIC, KEYS_OF_TOPIC)
    } else {
        (&ACTIONS[..], WORDS, KEYS)
    };
    let action = match table.get("action") {
        Some(word) => Some(actions[reader.word(word, "action", "action", words)?]),
        None => None,
    };
    reader.only(table, keys)?;
    let at = duration(reader, value("at", "at = \"10s\"")?, "at")?;
    let named = value("target", "target = \"consumer 0\"")?;
    let (target, action, lasts) = if is_topic {
        let action = action.ok_or_else(|| missing(location.clone(), "action", "action = \"add\""))?;
        let partitions = partitions(reader, value("partitions", "partitions = 2")?)?;
        let noticed = table.get("noticed").map(|value| duration(reader, value, "noticed")).transpose()?;
        (Target::Topic(Added { partitions, noticed }), action, Duration::ZERO)
    } else {
        let target = target(reader, named)?;
        let action = action.ok_or_else(|| missing(location.clone(), "action", "action = \"kill\""))?;
        (target, action, duration(reader, value("for", "for = \"8s\"")?, "for")?)
    };
    if at >= length {
        return impossible(
            format!("this fault comes at {}, and the load ends after {}", seconds(at), seconds(length)),
            "let it come earlier, or make `length` longer",
        );
    }
    if !is_topic && (lasts.is_zero() || lasts > LASTS_MAX) {
        return impossible(
            format!("{target} can't be away for {}", seconds(lasts)),
            "write up to two minutes, such as for = \"8s\"",
        );
    }
    if let Some((what, hint)) = unfit(target, action) {
        return impossible(what, hint);
    }
    if let Target::Topic(Added { noticed: Some(noticed), .. }) = target
        && (noticed.is_zero() || noticed > LASTS_MAX)
    {
        return impossible(
            format!("consumers can't look at the topic every {}", seconds(noticed)),
            "write up to two minutes, such as noticed = \"2s\"",
        );
    }
    Ok(Fault { at, target, action, lasts })
}

const fn words<const N: usize>(actions: [Action; N]) -> [&'static str; N] {
    let mut words = [""; N];
    let mut n = 0;
    while n < N {
        words[n] = actions[n].as_str();
        n += 1;
    }
    words
}

/// Why this can't happen to that, and what can.
fn unfit(target: Target, action: Action) -> Option<(String, &'static str)> {
    let of_consumer = matches!(target, Target::Consumer(_));
    match action {
        Action::Stop if !of_consumer => {
            Some((format!("only a consumer can be stopped; {target} can't"), "write \"kill\" or \"pause\""))
        }
        Action::Disconnect if of_consumer => Some((
            format!("{target} is no container, and can't be cut off"),
            "write \"stop\", \"kill\" or \"pause\"",
        )),
        Action::UseUp if target != Target::Store => Some((
            format!("only connections of the store can be used up; {target} has none"),
            "write target = \"store\"",
        )),
        Action::Demote | Action::Fill if target != Target::View => {
            let done = if action == Action::Fill { "filled" } else { "demoted" };
            Some((format!("only the view can be {done}; {target} can't"), "write target = \"view\""))
        }
        _ => None,
    }
}

fn target<'a>(reader: &Reader<'a>, value: &Spanned<DeValue<'a>>) -> Result<Target, ScenarioError> {
    let found = reader.string(value, "target", "a string")?;
    let (word, number) = found.split_once(' ').unwrap_or((found, ""));
    let number = if number.is_empty() { None } else { number.parse::<u32>().ok() };
    match (word, number) {
        ("broker", Some(node)) if node > 0 => Ok(Target::Broker(node)),
        ("leader", Some(partition)) => Ok(Target::Leader(partition)),
        ("consumer", Some(number)) => Ok(Target::Consumer(number)),
        ("coordinator", None) if found == word => Ok(Target::Coordinator),
        ("store", None) if found == word => Ok(Target::Store),
        ("view", None) if found == word => Ok(Target::View),
        _ => Err(wrong(reader.at(value), "target", found, "something that there is")),
    }
}

fn partitions<'a>(reader: &Reader<'a>, value: &Spanned<DeValue<'a>>) -> Result<u32, ScenarioError> {
    let DeValue::Integer(number) = value.get_ref() else {
        return Err(reader.wrong_type(value, "partitions", "a number of partitions, such as 2").into());
    };
    let partitions = number.as_str().parse().ok().filter(|partitions| (1..=ADDED_MAX).contains(partitions));
    partitions.ok_or_else(|| wrong(reader.at(value), "partitions", number.as_str(), "from 1 to 50"))
}

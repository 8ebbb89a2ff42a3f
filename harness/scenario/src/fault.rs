//! From one `[[fault]]` of a file to what is done.

use std::time::Duration;

use lanebench_settings::{DeTable, DeValue, Location, Reader, Spanned};

use super::file::{duration, missing, seconds, wrong};
use super::{Action, Added, Fault, ScenarioError, Target};

const ACTIONS: [Action; 12] = [
    Action::Stop,
    Action::Kill,
    Action::Pause,
    Action::Throttle,
    Action::Disconnect,
    Action::Cut,
    Action::Refuse,
    Action::Slow { by: Duration::ZERO },
    Action::UseUp,
    Action::Demote,
    Action::Fill,
    Action::Move,
];
const ACTIONS_OF_TOPIC: [Action; 2] = [Action::Add, Action::DrainAndAdd];
const ACTIONS_OF_ORDER: [Action; 5] =
    [Action::Poison, Action::Duplicate, Action::Reorder, Action::Loss, Action::StaleView];
const WORDS: &[&str] = &words(ACTIONS);
const WORDS_OF_TOPIC: &[&str] = &words(ACTIONS_OF_TOPIC);
const WORDS_OF_ORDER: &[&str] = &words(ACTIONS_OF_ORDER);

/// What a fault may hold besides time, target and action.
fn keys(action: Option<Action>) -> &'static [&'static str] {
    match action {
        Some(Action::Add | Action::DrainAndAdd) => &["at", "target", "action", "partitions", "noticed"],
        Some(Action::Slow { .. }) => &["at", "target", "action", "by", "for"],
        Some(action) if action.at_once() => &["at", "target", "action"],
        Some(_) | None => &["at", "target", "action", "for"],
    }
}

/// The longest fault.
const LASTS_MAX: Duration = Duration::from_secs(120);
/// The most that something is slowed by.
const SLOWED_MAX: Duration = Duration::from_secs(60);
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
    let named = table.get("target").and_then(|target| target.get_ref().as_str());
    // The action first: it says more of what was meant than a key that goes with it.
    let (actions, words) = match named {
        Some("topic") => (&ACTIONS_OF_TOPIC[..], WORDS_OF_TOPIC),
        Some("order") => (&ACTIONS_OF_ORDER[..], WORDS_OF_ORDER),
        _ => (&ACTIONS[..], WORDS),
    };
    let action = match table.get("action") {
        Some(word) => Some(actions[reader.word(word, "action", "action", words)?]),
        None => None,
    };
    reader.only(table, keys(action))?;
    let at = duration(reader, value("at", "at = \"10s\"")?, "at")?;
    let target = value("target", "target = \"consumer 0\"")?;
    let such_as = match named {
        Some("topic") => "action = \"add\"",
        Some("order") => "action = \"poison\"",
        _ => "action = \"kill\"",
    };
    let mut action = action.ok_or_else(|| missing(location.clone(), "action", such_as))?;
    let target = match named {
        Some("topic") => {
            let partitions = partitions(reader, value("partitions", "partitions = 2")?)?;
            let noticed = table.get("noticed").map(|value| duration(reader, value, "noticed")).transpose()?;
            Target::Topic(Added { partitions, noticed })
        }
        _ => self::target(reader, target)?,
    };
    if let Action::Slow { by } = &mut action {
        *by = duration(reader, value("by", "by = \"200ms\"")?, "by")?;
        if by.is_zero() || *by > SLOWED_MAX {
            return impossible(
                format!("what passes can't come {} later", seconds(*by)),
                "write up to a minute, such as by = \"200ms\"",
            );
        }
    }
    let lasts = match action.at_once() {
        true => Duration::ZERO,
        false => duration(reader, value("for", "for = \"8s\"")?, "for")?,
    };
    if at >= length {
        return impossible(
            format!("this fault comes at {}, and the load ends after {}", seconds(at), seconds(length)),
            "let it come earlier, or make `length` longer",
        );
    }
    if !action.at_once() && (lasts.is_zero() || lasts > LASTS_MAX) {
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
        Action::Cut | Action::Refuse | Action::Slow { .. } if of_consumer => Some((
            format!(
                "{target} is the end of its connections to brokers, store and view, which are named by those"
            ),
            "write target = \"leader 0\", \"store\" or \"view\"",
        )),
        Action::Move if !matches!(target, Target::Leader(_)) => {
            Some((format!("only a leader can be moved; {target} can't"), "write target = \"leader 0\""))
        }
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
        ("order", None) if found == word => Ok(Target::Order),
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

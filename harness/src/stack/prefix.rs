//! What the names of a run begin with on a stack, so that a team sees whose they are and can grant rights by it.

use std::fmt;
use std::str::FromStr;

/// Longest prefix, in bytes: with second and process id a schema's name stays within the 63 that PostgreSQL keeps.
const MAX_BYTES: usize = 32;

/// The beginning of every name that a run makes: topics, groups, the schema, keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix(String);

impl Prefix {
    /// What follows the name of a run at its second place on the stack.
    pub(crate) const SECOND: &str = "_2";

    /// The name of a run that began at `started`: no other has it.
    pub fn run_id(&self, started: jiff::Timestamp) -> String {
        format!("{self}_{}_{}", started.strftime("%Y%m%dt%H%M%S"), std::process::id())
    }

    /// As it stands in front of `_`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Prefix {
    fn default() -> Self {
        Self("lanebench".into())
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a prefix has up to {MAX_BYTES} lower-case letters, digits and underscores, and begins with a letter, though not \
     with pg_, which is PostgreSQL's own"
)]
pub struct PrefixError;

/// Names that neither Kafka nor PostgreSQL nor a pattern of Redis reads as anything else.
impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let plain = text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if plain && text.len() <= MAX_BYTES && !format!("{text}_").starts_with("pg_") {
            return Ok(Self(text.into()));
        }
        Err(PrefixError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_plain_name() {
        for good in ["lanebench", "a", "team_a1", &"a".repeat(32)] {
            assert_eq!(good.parse::<Prefix>().unwrap().as_str(), good);
        }
        for bad in ["", "1a", "A", "a-b", "a.b", "a b", "a*", "é", "pg", "pg_x", "_a", &"a".repeat(33)] {
            assert_eq!(bad.parse::<Prefix>(), Err(PrefixError), "{bad}");
        }
    }

    #[test]
    fn a_run_is_called_by_its_second_and_its_process() {
        let prefix: Prefix = "team".parse().unwrap();
        let id = prefix.run_id(jiff::Timestamp::from_second(1_700_000_000).unwrap());
        assert_eq!(id, format!("team_20231114t221320_{}", std::process::id()));
        let longest: Prefix = "a".repeat(32).parse().unwrap();
        assert!(longest.run_id(jiff::Timestamp::now()).len() + "_check".len() <= 63);
        assert!(Prefix::SECOND.len() <= "_check".len());
    }
}

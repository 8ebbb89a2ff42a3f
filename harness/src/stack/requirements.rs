//! What a stack needs on this machine, and the command that installs what is missing.

use std::path::Path;
use std::time::Duration;

use tokio::process::Command;

use super::{StackError, StackKind, containers, programs};

/// Least version of Java that Kafka 4 runs on.
const JAVA_MIN: u32 = 17;

/// For a program to say its version; it is a second at most.
const VERSION_LIMIT: Duration = Duration::from_secs(10);

/// One thing that a stack needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// Such as `Java`.
    pub name: &'static str,
    /// What for.
    pub purpose: &'static str,
    /// Whether it is there.
    pub presence: Presence,
    /// The command that installs it.
    pub install: String,
}

/// Whether a requirement is met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is there.
    Present {
        /// Its version, as it says itself.
        version: String,
        /// Where.
        path: String,
    },
    /// It is missing, or can't be used.
    Missing {
        /// Why.
        reason: String,
    },
}

impl Requirement {
    /// Whether it is met.
    pub fn is_present(&self) -> bool {
        matches!(self.presence, Presence::Present { .. })
    }
}

/// What `kind` needs. Embedded needs nothing, being in this program, nor does external: somebody else runs it.
pub async fn requirements(kind: StackKind) -> Vec<Requirement> {
    match kind {
        StackKind::Embedded | StackKind::External => Vec::new(),
        StackKind::Containers => containers::requirements().await,
        StackKind::Native => {
            let (java, postgres, redis) = tokio::join!(java(), postgres(), redis());
            vec![java, kafka(), postgres, redis]
        }
    }
}

async fn java() -> Requirement {
    let presence = match programs::java() {
        Err(error) => missing(&error),
        Ok(path) => match version_of(&path, "-version").await.as_deref().map(|v| (v, java_major(v))) {
            Ok((version, Some(major))) if major >= JAVA_MIN => present(version.to_owned(), &path),
            Ok((version, _)) => Presence::Missing {
                reason: format!("Kafka 4 needs {JAVA_MIN} or later, and {} is {version}", path.display()),
            },
            Err(reason) => Presence::Missing { reason: reason.clone() },
        },
    };
    let install = "apt-get install default-jdk-headless".to_owned();
    Requirement { name: "Java", purpose: "runs Kafka", presence, install }
}

fn kafka() -> Requirement {
    let presence = match programs::kafka() {
        Ok(jars) => present(jars.version, &jars.directory),
        Err(error) => missing(&error),
    };
    Requirement { name: "Apache Kafka", purpose: "the broker", presence, install: "ci/setup".to_owned() }
}

async fn postgres() -> Requirement {
    let presence = match programs::postgres() {
        Ok(programs) => asked(&programs.server).await,
        Err(error) => missing(&error),
    };
    let install = "apt-get install postgresql".to_owned();
    Requirement { name: "PostgreSQL", purpose: "the store", presence, install }
}

async fn redis() -> Requirement {
    let presence = match programs::redis() {
        Ok(path) => asked(&path).await,
        Err(error) => missing(&error),
    };
    let install = "apt-get install redis-server".to_owned();
    Requirement { name: "Redis", purpose: "the view", presence, install }
}

async fn asked(path: &Path) -> Presence {
    match version_of(path, "--version").await {
        Ok(version) => present(version, path),
        Err(reason) => Presence::Missing { reason },
    }
}

fn present(version: String, path: &Path) -> Presence {
    Presence::Present { version, path: path.display().to_string() }
}

fn missing(error: &StackError) -> Presence {
    Presence::Missing { reason: error.to_string() }
}

/// The version in what `program` says when asked.
async fn version_of(program: &Path, flag: &str) -> Result<String, String> {
    let shown = program.display();
    let output = Command::new(program).arg(flag).kill_on_drop(true).output();
    let output = tokio::time::timeout(VERSION_LIMIT, output)
        .await
        .map_err(|_| format!("`{shown} {flag}` did not end within {} s", VERSION_LIMIT.as_secs()))?
        .map_err(|error| format!("`{shown} {flag}` can't be run: {error}"))?;
    // Java speaks to stderr.
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    version_in(&said).map(str::to_owned).ok_or_else(|| format!("`{shown} {flag}` told no version"))
}

/// The first word that begins with a digit, once quotes and `v=` are off.
fn version_in(text: &str) -> Option<&str> {
    text.split_whitespace()
        .map(|word| word.trim_start_matches("v=").trim_matches('"'))
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))
}

/// 17 of `17.0.16`, 8 of `1.8.0_402`, as Java counted before 9.
fn java_major(version: &str) -> Option<u32> {
    let mut numbers = version.split(['.', '_', '-', '+']).map(str::parse::<u32>);
    match numbers.next()?.ok()? {
        1 => numbers.next()?.ok(),
        major => Some(major),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(version_in(text), expected);
    }

    #[test]
    fn each_program_tells_its_version_in_its_own_way() {
        check("openjdk version \"17.0.16\" 2025-07-15\nOpenJDK Runtime Environment", Some("17.0.16"));
        check("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)", Some("15.14"));
        check("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64", Some("7.0.15"));
        check("no version here", None);
    }

    #[test]
    fn java_counts_in_two_ways() {
        for (version, major) in [
            ("17.0.16", Some(17)),
            ("21", Some(21)),
            ("24-ea", Some(24)),
            ("1.8.0_402", Some(8)),
            ("x", None),
        ] {
            assert_eq!(java_major(version), major, "{version}");
        }
    }

    #[tokio::test]
    async fn a_program_that_tells_nothing_is_not_taken_for_good() {
        let reason = version_of(Path::new("/bin/true"), "x").await.unwrap_err();
        assert_eq!(reason, "`/bin/true x` told no version");
        let reason = version_of(Path::new("/nonexistent/java"), "-version").await.unwrap_err();
        assert!(reason.contains("can't be run"), "{reason}");
    }
}

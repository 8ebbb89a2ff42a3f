//! Where the programs of the native stack are.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;

use super::StackError;

/// Debian's place for PostgreSQL, a directory of each major version in it.
const DEBIAN_POSTGRES: &str = "/usr/lib/postgresql";

/// Kafka's jars and the version that their names tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KafkaJars {
    pub(super) directory: PathBuf,
    pub(super) version: String,
}

/// PostgreSQL's two programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PostgresPrograms {
    pub(super) initdb: PathBuf,
    pub(super) server: PathBuf,
}

/// `java` of JAVA_HOME, as Kafka's own scripts have it, or of PATH.
pub(super) fn java() -> Result<PathBuf, StackError> {
    let of_home = std::env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin"));
    of_home.and_then(|bin| executable(&bin, "java")).or_else(|| on_path("java")).ok_or(StackError::NoJava)
}

/// The jars of KAFKA_HOME if it is set, and of nowhere else then; otherwise those that `ci/setup` fetched.
pub(super) fn kafka() -> Result<KafkaJars, StackError> {
    let home = std::env::var_os("KAFKA_HOME").filter(|home| !home.is_empty());
    let from_kafka_home = home.is_some();
    let directory = match home {
        Some(home) => PathBuf::from(home).join("libs"),
        None => data_directory().join("lanebench/kafka/libs"),
    };
    match kafka_version_in(&directory) {
        Some(version) => Ok(KafkaJars { directory, version }),
        None => Err(StackError::NoKafka { directory, from_kafka_home }),
    }
}

/// `initdb` and `postgres` of one directory: of PATH, or of the highest version that Debian has installed.
pub(super) fn postgres() -> Result<PostgresPrograms, StackError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let debian = versions_in(Path::new(DEBIAN_POSTGRES)).into_iter().map(|version| version.join("bin"));
    std::env::split_paths(&path)
        .chain(debian)
        .find_map(|bin| {
            let initdb = executable(&bin, "initdb")?;
            Some(PostgresPrograms { initdb, server: executable(&bin, "postgres")? })
        })
        .ok_or(StackError::NoPostgres)
}

/// `redis-server` of PATH.
pub(super) fn redis() -> Result<PathBuf, StackError> {
    on_path("redis-server").ok_or(StackError::NoRedis)
}

/// XDG_DATA_HOME, or ~/.local/share; an account without a home has neither, and no jars there.
fn data_directory() -> PathBuf {
    etcetera::choose_base_strategy().map_or_else(|_| PathBuf::from("/nonexistent"), |base| base.data_dir())
}

fn on_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).find_map(|directory| executable(&directory, name))
}

fn executable(directory: &Path, name: &str) -> Option<PathBuf> {
    // An empty or relative entry of PATH would mean another program in each working directory.
    let path = directory.is_absolute().then(|| directory.join(name))?;
    let meta = fs::metadata(&path).ok()?;
    (meta.is_file() && meta.permissions().mode() & 0o111 != 0).then_some(path)
}

/// The version in the name of the broker's own jar, `kafka_<Scala version>-<version>.jar`.
fn kafka_version_in(directory: &Path) -> Option<String> {
    let entries = fs::read_dir(directory).ok()?;
    entries.flatten().find_map(|entry| kafka_version(&entry.file_name()))
}

/// The version in the name of a jar, if it is the broker's own.
pub(super) fn kafka_version(jar: &OsStr) -> Option<String> {
    let (scala, version) = jar.to_str()?.strip_prefix("kafka_")?.strip_suffix(".jar")?.split_once('-')?;
    // A distribution has `-sources.jar` and the like beside it.
    let is_version = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    (is_version(scala) && is_version(version)).then(|| version.to_owned())
}

/// Subdirectories named by a number, highest first: 9 comes after 15, which by name it would not.
fn versions_in(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut versions: Vec<(Vec<u32>, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let numbers = name.to_str()?.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
            Some((numbers, entry.path()))
        })
        .collect();
    versions.sort_unstable();
    versions.into_iter().rev().map(|(_, path)| path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(jar: &str, expected: Option<&str>) {
        assert_eq!(kafka_version(OsStr::new(jar)).as_deref(), expected, "{jar}");
    }

    #[test]
    fn the_brokers_jar_tells_the_version() {
        check("kafka_2.13-4.1.1.jar", Some("4.1.1"));
        check("kafka_2.13-4.1.1-sources.jar", None);
        check("kafka-clients-4.1.1.jar", None);
        check("kafka_2.13-.jar", None);
        check("scala-library-2.13.16.jar", None);
    }

    #[test]
    fn the_highest_version_comes_first() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["9.6", "15", "16", "common"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        let names: Vec<_> = versions_in(directory.path())
            .iter()
            .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
            .collect();
        assert_eq!(names, ["16", "15", "9.6"]);
        assert!(versions_in(&directory.path().join("none")).is_empty());
    }

    #[test]
    fn only_what_can_be_run_is_a_program() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("java");
        fs::write(&path, "").unwrap();
        assert_eq!(executable(directory.path(), "java"), None);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(executable(directory.path(), "java"), Some(path));
        assert_eq!(executable(Path::new("bin"), "java"), None, "relative to what?");
    }
}

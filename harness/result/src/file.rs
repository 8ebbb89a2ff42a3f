//! Where results lie, and how they are saved and loaded.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::gate::{GATE_SCHEMA_VERSION, GateRecord, PoolRecord};
use super::limits::{LIMITS_SCHEMA_VERSION, LimitsRecord};
use super::scenario::{SCENARIO_SCHEMA_VERSION, ScenarioRecord};
use super::{RunResult, SCHEMA_VERSION};

mod error;

pub use error::FileError;

/// Name of the result in its directory.
pub const RESULT_FILE: &str = "result.json";

/// Name of a gate's record in its directory.
pub const GATE_FILE: &str = "gate.json";

/// Name of the record of scenarios in its directory.
pub const SCENARIO_FILE: &str = "scenario.json";

/// Name of the record of limits in its directory.
pub const LIMITS_FILE: &str = "limits.json";

/// Where results go unless `--out` says otherwise, from the working directory.
pub const REPORTS_DIR: &str = "reports";

/// Name of the link to the last result in [`REPORTS_DIR`].
const LATEST: &str = "latest";

/// How many runs of one command may start in one second.
const SUFFIX_MAX: u32 = 100;

/// What is saved as a file of its own.
trait Saved: Serialize + DeserializeOwned {
    /// The file's name.
    const FILE: &str;
    /// The version of the schema that is written, and the only one that is read.
    const VERSION: u32;
}

impl Saved for RunResult {
    const FILE: &str = RESULT_FILE;
    const VERSION: u32 = SCHEMA_VERSION;
}

impl Saved for GateRecord {
    const FILE: &str = GATE_FILE;
    const VERSION: u32 = GATE_SCHEMA_VERSION;
}

impl Saved for ScenarioRecord {
    const FILE: &str = SCENARIO_FILE;
    const VERSION: u32 = SCENARIO_SCHEMA_VERSION;
}

impl Saved for LimitsRecord {
    const FILE: &str = LIMITS_FILE;
    const VERSION: u32 = LIMITS_SCHEMA_VERSION;
}

impl Saved for PoolRecord {
    const FILE: &str = "pool.json";
    const VERSION: u32 = GATE_SCHEMA_VERSION;
}

/// The directory of one run's results.
///
/// Dropped before anything was put into it, it removes itself, and with it what had to be made above it: a run that
/// could not start leaves nothing.
#[derive(Debug)]
pub struct OutputDir {
    path: PathBuf,
    /// The link that should point here once there is a result.
    latest: Option<PathBuf>,
    /// What was made for it, outermost first.
    created: Vec<PathBuf>,
}

/// Makes the directory for a run's results and checks at once that it can be written.
///
/// With `path`, exactly that: a new directory or an empty one. Without, `reports/<UTC>-<command>`; a second run in
/// the same second gets `-2` and so on, and `reports/latest` will point to it from its first [`OutputDir::save`] on.
///
/// # Errors
/// [`FileError::NotEmpty`], [`FileError::NotADirectory`], [`FileError::Unwritable`] or [`FileError::NoFreeName`].
pub fn create_output_dir(path: Option<PathBuf>, command: &str) -> Result<OutputDir, FileError> {
    match path {
        Some(path) => create_named(path),
        None => create_dated(Path::new(REPORTS_DIR), command),
    }
}

/// As [`create_output_dir`] without a path, below another directory than [`REPORTS_DIR`].
///
/// # Errors
/// As there.
pub fn create_dated(reports: &Path, command: &str) -> Result<OutputDir, FileError> {
    let stamp = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    create_under(reports, &format!("{stamp}-{command}"))
}

fn create_named(path: PathBuf) -> Result<OutputDir, FileError> {
    let created = create_all(&path)?;
    let dir = OutputDir { path, latest: None, created };
    let unwritable = |source| FileError::Unwritable { path: dir.path.clone(), source };
    if fs::read_dir(&dir.path).map_err(unwritable)?.next().is_some() {
        return Err(FileError::NotEmpty { path: dir.path.clone() });
    }
    dir.check_writable()?;
    Ok(dir)
}

fn create_under(reports: &Path, name: &str) -> Result<OutputDir, FileError> {
    let mut created = create_all(reports)?;
    for suffix in 1..=SUFFIX_MAX {
        let path = reports.join(if suffix == 1 { name.to_string() } else { format!("{name}-{suffix}") });
        match fs::create_dir(&path) {
            Ok(()) => {
                created.push(path.clone());
                let dir = OutputDir { path, latest: Some(reports.join(LATEST)), created };
                dir.check_writable()?;
                return Ok(dir);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => {
                remove_empty(&created);
                return Err(FileError::Unwritable { path, source });
            }
        }
    }
    Err(FileError::NoFreeName { path: reports.join(name) })
}

/// Makes a directory and those above it; returns the ones that were missing, outermost first.
fn create_all(path: &Path) -> Result<Vec<PathBuf>, FileError> {
    if path.exists() && !path.is_dir() {
        return Err(FileError::NotADirectory { path: path.into() });
    }
    let mut missing: Vec<PathBuf> = path
        .ancestors()
        .take_while(|p| !p.as_os_str().is_empty() && !p.exists())
        .map(Path::to_path_buf)
        .collect();
    missing.reverse();
    if let Err(source) = fs::create_dir_all(path) {
        remove_empty(&missing);
        return Err(FileError::Unwritable { path: path.into(), source });
    }
    Ok(missing)
}

/// Removes directories that are empty, innermost first; one that is not, or is gone, stays as it is.
fn remove_empty(created: &[PathBuf]) {
    for path in created.iter().rev() {
        if let Err(error) = fs::remove_dir(path) {
            tracing::debug!(%error, path = %path.display(), "directory kept");
        }
    }
}

impl OutputDir {
    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Saves the run as it is now, in place of what this run saved before. Returns the file's path.
    ///
    /// At any moment the file is either the old result or the new one, whole, and on disk when this returns.
    ///
    /// # Errors
    /// [`FileError::Write`]; [`FileError::NotANumber`] after the file was written all the same.
    pub fn save(&self, result: &RunResult) -> Result<PathBuf, FileError> {
        self.save_any(result)
    }

    /// Saves a pool of rounds as it is now, as [`save`](Self::save) does a run.
    ///
    /// # Errors
    /// Those of [`save`](Self::save).
    pub fn save_pool(&self, record: &PoolRecord) -> Result<PathBuf, FileError> {
        self.save_any(record)
    }

    /// Saves a gate as it is now, as [`save`](Self::save) does a run.
    ///
    /// # Errors
    /// Those of [`save`](Self::save).
    pub fn save_gate(&self, record: &GateRecord) -> Result<PathBuf, FileError> {
        self.save_any(record)
    }

    /// Saves scenarios as they are now, as [`save`](Self::save) does a run.
    ///
    /// # Errors
    /// Those of [`save`](Self::save).
    pub fn save_scenarios(&self, record: &ScenarioRecord) -> Result<PathBuf, FileError> {
        self.save_any(record)
    }

    /// Saves limits as they are now, as [`save`](Self::save) does a run.
    ///
    /// # Errors
    /// Those of [`save`](Self::save).
    pub fn save_limits(&self, record: &LimitsRecord) -> Result<PathBuf, FileError> {
        self.save_any(record)
    }

    fn save_any<T: Saved>(&self, saved: &T) -> Result<PathBuf, FileError> {
        let path = save(saved, &self.path)?;
        if let Some(latest) = &self.latest
            && let Err(error) = self.point_from(latest)
        {
            tracing::warn!(%error, "{} was not updated", latest.display());
        }
        Ok(path)
    }

    fn check_writable(&self) -> Result<(), FileError> {
        tempfile::NamedTempFile::new_in(&self.path)
            .and_then(tempfile::NamedTempFile::close)
            .map_err(|source| FileError::Unwritable { path: self.path.clone(), source })
    }

    /// Turns the link here in one step. Something else of that name is left alone.
    fn point_from(&self, latest: &Path) -> io::Result<()> {
        let Some(name) = self.path.file_name() else {
            return Ok(());
        };
        match fs::symlink_metadata(latest) {
            Ok(found) if !found.is_symlink() => {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it is not a link"));
            }
            _ if fs::read_link(latest).is_ok_and(|target| target == Path::new(name)) => return Ok(()),
            _ => {}
        }
        let mut new = name.to_os_string();
        new.push(".link");
        let new = latest.with_file_name(new);
        symlink(name, &new)?;
        fs::rename(&new, latest).inspect_err(|_| {
            if let Err(error) = fs::remove_file(&new) {
                tracing::debug!(%error, "link {} kept", new.display());
            }
        })
    }
}

impl Drop for OutputDir {
    fn drop(&mut self) {
        remove_empty(&self.created);
    }
}

/// Writes a file into `dir` through a temporary one, and syncs both.
fn save<T: Saved>(result: &T, dir: &Path) -> Result<PathBuf, FileError> {
    let path = dir.join(T::FILE);
    let failed = |source| FileError::Write { path: path.clone(), source };
    let json = serde_json::to_vec(result).map_err(|e| failed(e.into()))?;
    let mut file = tempfile::Builder::new()
        .prefix(".result-")
        // The umask applies, as for any new file; the default would keep others from reading it.
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(dir)
        .map_err(failed)?;
    file.write_all(&json).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    file.persist(&path).map_err(|e| failed(e.error))?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)?;
    // JSON has no NaN: serde_json writes null there, which can't be read back. Better said now than a month later.
    match serde_json::from_slice::<T>(&json) {
        Ok(_) => Ok(path),
        Err(error) => Err(FileError::NotANumber { path, message: error.to_string() }),
    }
}

/// Only what every version of the schema has.
#[derive(Deserialize)]
struct Head {
    schema_version: Option<serde_json::Value>,
}

/// Loads a result.
///
/// # Errors
/// A [`FileError`] that says what the path is instead: missing, a directory, cut off, not a result, of another version.
pub fn load(path: &Path) -> Result<RunResult, FileError> {
    load_any(path)
}

/// Loads a gate's record.
///
/// # Errors
/// Those of [`load`].
pub fn load_gate(path: &Path) -> Result<GateRecord, FileError> {
    load_any(path)
}

/// Loads a record of scenarios.
///
/// # Errors
/// Those of [`load`].
pub fn load_scenarios(path: &Path) -> Result<ScenarioRecord, FileError> {
    load_any(path)
}

/// Loads a record of limits.
///
/// # Errors
/// Those of [`load`].
pub fn load_limits(path: &Path) -> Result<LimitsRecord, FileError> {
    load_any(path)
}

fn load_any<T: Saved>(path: &Path) -> Result<T, FileError> {
    let bytes = fs::read(path).map_err(|source| {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::NotFound => FileError::NotFound { path },
            io::ErrorKind::IsADirectory => FileError::IsADirectory { path, file: T::FILE },
            _ => FileError::Read { path, source },
        }
    })?;
    let head: Head = serde_json::from_slice(&bytes).map_err(|e| parse_error(path, &e))?;
    let found = head.schema_version.unwrap_or(serde_json::Value::Null);
    if found != T::VERSION {
        return Err(FileError::UnknownVersion {
            path: path.into(),
            found: found.to_string(),
            known: T::VERSION,
        });
    }
    serde_json::from_slice(&bytes).map_err(|e| parse_error(path, &e))
}

fn parse_error(path: &Path, error: &serde_json::Error) -> FileError {
    let (path, line, column) = (path.to_path_buf(), error.line(), error.column());
    if error.is_eof() {
        return FileError::Truncated { path, line, column };
    }
    // The position is told apart; serde_json appends it to its text as well.
    let text = error.to_string();
    let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what).to_string();
    FileError::Invalid { path, line, column, message }
}

#[cfg(test)]
mod tests;

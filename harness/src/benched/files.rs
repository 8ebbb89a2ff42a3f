//! Criterion's files, as version 0.7 writes them: private types, of which only what is needed is read.

use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fs, io};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::BenchedError;

/// The directory of the last run, beside those of baselines.
const LAST_RUN: &str = "new";

/// Group, function, value: no benchmark lies deeper.
const DEPTH: usize = 3;

/// The last run of one benchmark.
#[derive(Debug)]
pub(super) struct Saved {
    pub(super) id: Id,
    pub(super) estimates: Estimates,
    pub(super) sample: Sample,
    /// When it ended.
    pub(super) when: SystemTime,
}

/// `benchmark.json`.
#[derive(Debug, Deserialize)]
pub(super) struct Id {
    pub(super) group_id: String,
    pub(super) function_id: Option<String>,
    pub(super) value_str: Option<String>,
    pub(super) full_id: String,
    throughput: Option<serde_json::Value>,
}

impl Id {
    /// Elements of an iteration, if that is what it counts.
    pub(super) fn elements(&self) -> Option<u64> {
        self.throughput.as_ref()?.get("Elements")?.as_u64().filter(|&elements| elements > 0)
    }
}

/// `estimates.json`: times of an iteration, in ns.
#[derive(Debug, Deserialize)]
pub(super) struct Estimates {
    mean: Time,
    slope: Option<Time>,
}

impl Estimates {
    /// What criterion shows: the slope where samples differ in their number of iterations, else the mean.
    pub(super) fn typical(&self) -> &Time {
        self.slope.as_ref().unwrap_or(&self.mean)
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Time {
    pub(super) point_estimate: f64,
    pub(super) confidence_interval: Interval,
}

#[derive(Debug, Deserialize)]
pub(super) struct Interval {
    pub(super) confidence_level: f64,
    pub(super) lower_bound: f64,
    pub(super) upper_bound: f64,
}

/// `sample.json`: iterations of each sample and what they took together, in ns.
#[derive(Debug, Deserialize)]
pub(super) struct Sample {
    pub(super) iters: Vec<f64>,
    pub(super) times: Vec<f64>,
}

/// The last run of every benchmark below `directory`.
pub(super) fn all(directory: &Path) -> Result<Vec<Saved>, BenchedError> {
    let mut found = Vec::new();
    let mut left = vec![(directory.to_owned(), 0)];
    while let Some((path, depth)) = left.pop() {
        let last_run = path.join(LAST_RUN);
        if last_run.join("benchmark.json").is_file() {
            found.push(saved(&last_run)?);
        }
        if depth < DEPTH {
            left.extend(directories(&path)?.into_iter().map(|below| (below, depth + 1)));
        }
    }
    Ok(found)
}

fn directories(path: &Path) -> Result<Vec<PathBuf>, BenchedError> {
    let read = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            BenchedError::NoDirectory { path: path.into() }
        }
        _ => BenchedError::Read { path: path.into(), source },
    };
    let mut below = Vec::new();
    for entry in fs::read_dir(path).map_err(read)? {
        let entry = entry.map_err(read)?;
        if entry.file_type().map_err(read)?.is_dir() {
            below.push(entry.path());
        }
    }
    Ok(below)
}

fn saved(last_run: &Path) -> Result<Saved, BenchedError> {
    let estimates_file = last_run.join("estimates.json");
    let (estimates, sample): (Estimates, Sample) =
        (load(&estimates_file)?, load(&last_run.join("sample.json"))?);
    let when = fs::metadata(&estimates_file).and_then(|metadata| metadata.modified());
    let when = when.map_err(|source| BenchedError::Read { path: estimates_file.clone(), source })?;
    let foreign = |what: &str| BenchedError::Foreign { path: estimates_file.clone(), what: what.into() };
    let time = estimates.typical();
    let Interval { lower_bound, upper_bound, .. } = time.confidence_interval;
    if ![lower_bound, time.point_estimate, upper_bound].iter().all(|ns| ns.is_finite() && *ns > 0.0) {
        return Err(foreign("a time is not above 0"));
    }
    if sample.iters.len() != sample.times.len()
        || !sample.iters.iter().chain(&sample.times).all(|x| x.is_finite() && *x > 0.0)
    {
        return Err(foreign("sample.json beside it holds no pairs of iterations and times above 0"));
    }
    Ok(Saved { id: load(&last_run.join("benchmark.json"))?, estimates, sample, when })
}

fn load<T: DeserializeOwned>(path: &Path) -> Result<T, BenchedError> {
    let bytes = fs::read(path).map_err(|source| BenchedError::Read { path: path.into(), source })?;
    serde_json::from_slice(&bytes)
        .map_err(|error| BenchedError::Foreign { path: path.into(), what: error.to_string() })
}

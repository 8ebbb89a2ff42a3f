//! What the tests of a foreign stack saw, for docs/evidence: kept as it grows, since any of them may run alone.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use libtest_mimic::Failed;
use serde_json::{Value, json};

use crate::bed::evidence;

static REFUSALS: Mutex<Vec<Value>> = Mutex::new(Vec::new());
static SEARCHED: Mutex<Searched> = Mutex::new(Searched { commands: 0, files: 0, bytes: 0 });

/// Where a secret was looked for, and not found.
#[derive(Clone, Copy)]
struct Searched {
    commands: u64,
    files: u64,
    bytes: u64,
}

/// A refusal as it should be: what was said, and after what time.
pub(super) fn refusal(told: &str, took: Duration) -> Result<(), Failed> {
    let line =
        |begins: &str| told.lines().find_map(|line| line.strip_prefix(begins)).unwrap_or_default().to_owned();
    let mut refusals = REFUSALS.lock().unwrap_or_else(PoisonError::into_inner);
    refusals.push(json!({"said": line("error: "), "hint": line("hint: "), "seconds": took.as_secs_f64()}));
    evidence("external-refused", &Value::from(refusals.clone()))
}

/// A command whose streams, of so many bytes, and whose files had no secret.
pub(super) fn command(bytes: usize) -> Result<(), Failed> {
    add(Searched { commands: 1, files: 0, bytes: bytes as u64 })
}

/// A file that had none.
pub(super) fn file(path: &Path) -> Result<(), Failed> {
    add(Searched { commands: 0, files: 1, bytes: std::fs::metadata(path)?.len() })
}

fn add(more: Searched) -> Result<(), Failed> {
    let mut all = SEARCHED.lock().unwrap_or_else(PoisonError::into_inner);
    all.commands += more.commands;
    all.files += more.files;
    all.bytes += more.bytes;
    let Searched { commands, files, bytes } = *all;
    evidence("external-secrets", &json!({"commands": commands, "files": files, "bytes": bytes, "found": 0}))
}

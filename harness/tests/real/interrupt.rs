//! Ctrl-C in the middle: finished trials are kept, nothing else is left.

use std::path::Path;
use std::time::{Duration, Instant};

use lanebench::record::file::{self, RESULT_FILE};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::Case;
use crate::bed::{Bed, check, evidence, until};
use crate::compare::removed;
use crate::tools::{self, shown, signal};

pub(crate) const CASES: &[Case] = &[
    ("ctrl-c keeps the finished trials and leaves nothing behind", ctrl_c),
    ("ctrl-c on somebody's stack removes what the run made there", ctrl_c_external),
];

fn ctrl_c_external(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let scratch = tempfile::tempdir()?;
        let out = scratch.path().join("report");
        let flags = "--configs 3p3c --rounds 50 --drain-events 1500 --duration 1s --rate 300 --replication 3";
        let child = tools::compare(bed, "external", &out, flags).spawn()?;
        until(Duration::from_secs(90), "no trial was finished", async || Ok(finished(&out) > 0)).await?;
        tokio::time::sleep(Duration::from_secs(2)).await; // into the next trial
        signal(&child, Signal::SIGINT)?;
        let ended = child.wait_with_output().await?;
        check(ended.status.code() == Some(130), shown(&ended))?;
        removed(bed, &file::load(&out.join(RESULT_FILE))?).await
    })
}

/// Trials saved so far.
fn finished(out: &Path) -> usize {
    file::load(&out.join(RESULT_FILE)).map_or(0, |result| result.configurations[0].trials.len())
}

fn ctrl_c(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let scratch = tempfile::tempdir()?;
        let (out, temp) = (scratch.path().join("report"), scratch.path().join("tmp"));
        std::fs::create_dir(&temp)?;
        // PostgreSQL runs as a user of its own, who must be able to enter.
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(scratch.path(), std::fs::Permissions::from_mode(0o755))?;
        let flags = "--configs 1p1c --rounds 50 --drain-events 1500 --duration 1s --rate 300";
        let child = tools::compare(bed, "native", &out, flags).env("TMPDIR", &temp).spawn()?;
        until(Duration::from_secs(90), "no trial was finished", async || Ok(finished(&out) > 0)).await?;
        let begun = Instant::now();
        signal(&child, Signal::SIGINT)?;
        let ended = child.wait_with_output().await?;
        let took = begun.elapsed();
        check(ended.status.code() == Some(130), shown(&ended))?;
        let result = file::load(&out.join(RESULT_FILE))?;
        check(!result.complete && result.passed, "an interrupted, healthy result")?;
        check(out.join("index.html").exists(), "the finished trials are shown")?;
        let left: Vec<_> = std::fs::read_dir(&temp)?.collect::<Result<_, _>>()?;
        check(left.is_empty(), format!("left in the temporary directory: {left:?}"))?;
        let strays = strays(&temp.to_string_lossy())?;
        check(strays.is_empty(), format!("processes are left: {strays:?}"))?;
        let trials = result.configurations[0].trials.len();
        evidence(
            "interrupted",
            &json!({"exit": 130, "trials_kept": trials, "wound_down_in_s": took.as_secs_f64(), "processes_left": 0, "directories_left": 0}),
        )
    })
}

/// Command lines of processes that mention `directory`.
fn strays(directory: &str) -> Result<Vec<String>, Failed> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let line = std::fs::read(entry?.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(directory) {
            found.push(line);
        }
    }
    Ok(found)
}

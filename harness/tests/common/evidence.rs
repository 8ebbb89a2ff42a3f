//! Figures of tests, kept for docs/evidence.

use std::path::PathBuf;

use libtest_mimic::Failed;

/// Keeps a test's figures for docs/evidence, where `LANEBENCH_EVIDENCE` names a directory.
pub(crate) fn evidence(name: &str, figures: &serde_json::Value) -> Result<(), Failed> {
    if let Some(directory) = std::env::var_os("LANEBENCH_EVIDENCE").map(PathBuf::from) {
        std::fs::create_dir_all(&directory)?;
        let text = serde_json::to_string_pretty(figures)?;
        std::fs::write(directory.join(format!("{name}.json")), text + "\n")?;
    }
    Ok(())
}

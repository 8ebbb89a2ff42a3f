//! A git revision as a baseline: built in a worktree of its own, once, and kept beside the build it is compared with.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::cmd::console::Console;
use crate::progress::Progress as _;

/// Where builds are kept, from the root of the repository. Below `target`, so that `cargo clean` takes them along.
const KEPT: &str = "target/lanebench-gate";

/// Lines of a failed build that are shown.
const TAIL_LINES: usize = 12;

/// Why a revision can't be a baseline.
#[derive(Debug, thiserror::Error)]
pub(in crate::cmd) enum RevisionError {
    /// It names no commit.
    #[error("`{name}` is no commit of this repository: {why}")]
    Unknown {
        /// As given.
        name: String,
        /// What git said.
        why: String,
    },
    /// A program could not be run, or failed where it should not.
    #[error("{what} failed: {why}")]
    Tool {
        /// What was wanted.
        what: String,
        /// What it said.
        why: String,
    },
    /// It does not build.
    #[error("baseline {name} ({commit}) does not build:\n{log}")]
    Unbuildable {
        /// As given.
        name: String,
        /// Short.
        commit: String,
        /// The end of what cargo said.
        log: String,
    },
    /// The user ended it.
    #[error("interrupted while the baseline was built")]
    Interrupted,
}

impl RevisionError {
    /// What to do next.
    pub(in crate::cmd) fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unknown { .. } => {
                "give a branch, tag or commit; in a shallow clone fetch it first: `git fetch origin REF`"
                    .into()
            }
            Self::Tool { .. } => "a baseline by ref needs git, cargo, and a clone to be run in".into(),
            Self::Unbuildable { .. } => {
                "choose a ref that builds, or build it yourself and give `--baseline-bin`".into()
            }
            Self::Interrupted => return None,
        })
    }
}

/// A commit of the repository that the gate is run in.
pub(super) struct Revision {
    /// As given.
    name: String,
    /// In full.
    pub(super) commit: String,
    root: PathBuf,
}

impl Revision {
    /// Finds the commit.
    ///
    /// # Errors
    /// [`RevisionError::Unknown`], [`RevisionError::Tool`].
    pub(super) async fn resolve(name: &str) -> Result<Self, RevisionError> {
        let root = git(Path::new("."), &["rev-parse", "--show-toplevel"]).await?;
        let root = PathBuf::from(expected("finding the repository", &root)?);
        let verified = format!("{name}^{{commit}}");
        let found = git(&root, &["rev-parse", "--verify", "--quiet", "--end-of-options", &verified]).await?;
        if !found.status.success() {
            let why = first_line(&found.stderr).unwrap_or_else(|| "git knows no such name".into());
            return Err(RevisionError::Unknown { name: name.into(), why });
        }
        Ok(Self { name: name.into(), commit: text(&found.stdout), root })
    }

    /// The commit, as people write it.
    pub(super) fn short(&self) -> &str {
        &self.commit[..self.commit.len().min(12)]
    }

    /// Its release binary: the one kept from before, or a new one.
    ///
    /// # Errors
    /// [`RevisionError`]; an interrupted or failed build leaves neither worktree nor binary.
    pub(super) async fn binary(
        &self,
        console: &Console,
        cancel: &CancellationToken,
    ) -> Result<PathBuf, RevisionError> {
        let kept = self.root.join(KEPT);
        let binary = kept.join(&self.commit).join("lanebench");
        if binary.exists() {
            return Ok(binary);
        }
        console.phase(&format!(
            "building the baseline, {} ({}): minutes, and only once",
            self.name,
            self.short()
        ));
        let tree = kept.join(format!("{}.tree", self.commit));
        self.remove(&tree).await; // what a killed build left
        let path = tree.display().to_string();
        let added = git(&self.root, &["worktree", "add", "--detach", "--force", &path, &self.commit]).await?;
        let built = match expected("git worktree add", &added) {
            Ok(_) => cancel
                .run_until_cancelled(self.build(&tree, &kept.join("target"), &binary))
                .await
                .unwrap_or(Err(RevisionError::Interrupted)),
            Err(error) => Err(error),
        };
        self.remove(&tree).await;
        built.map(|()| binary)
    }

    async fn build(&self, tree: &Path, target: &Path, binary: &Path) -> Result<(), RevisionError> {
        let done = Command::new("cargo")
            .args(["build", "--release", "--locked", "--package", "lanebench", "--bin", "lanebench"])
            .args(["--color", "never"])
            .current_dir(tree)
            .env("CARGO_TARGET_DIR", target)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| tool("cargo build", &error))?;
        if !done.status.success() {
            let (name, commit) = (self.name.clone(), self.short().into());
            return Err(RevisionError::Unbuildable { name, commit, log: complaint(&text(&done.stderr)) });
        }
        let keep = || {
            let directory = binary.parent().unwrap_or(target);
            std::fs::create_dir_all(directory)?;
            let part = directory.join("lanebench.part");
            std::fs::copy(target.join("release/lanebench"), &part)?;
            std::fs::rename(part, binary)
        };
        keep().map_err(|error| tool("keeping the baseline's binary", &error))
    }

    /// Removes a worktree, if it is there.
    async fn remove(&self, tree: &Path) {
        let path = tree.display().to_string();
        if let Err(error) = git(&self.root, &["worktree", "remove", "--force", &path]).await {
            tracing::debug!(%error, "no worktree removed");
        }
        if let Err(error) = git(&self.root, &["worktree", "prune"]).await {
            tracing::debug!(%error, "worktrees not pruned");
        }
    }
}

async fn git(root: &Path, arguments: &[&str]) -> Result<Output, RevisionError> {
    let mut git = Command::new("git");
    git.arg("-C").arg(root).args(arguments).stdin(Stdio::null());
    git.output().await.map_err(|error| tool("git", &error))
}

fn expected(what: &str, output: &Output) -> Result<String, RevisionError> {
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    let why = first_line(&output.stderr).unwrap_or_else(|| output.status.to_string());
    Err(RevisionError::Tool { what: what.into(), why })
}

fn tool(what: &str, error: &std::io::Error) -> RevisionError {
    RevisionError::Tool { what: what.into(), why: error.to_string() }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

fn first_line(bytes: &[u8]) -> Option<String> {
    text(bytes).lines().next().map(str::to_owned)
}

/// What a failed build complains of: from the first error on, and not much of it.
fn complaint(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let first = lines.iter().position(|line| line.starts_with("error")).unwrap_or(0);
    let shown = lines[first..].iter().filter(|line| !line.trim().is_empty()).take(TAIL_LINES);
    shown.map(|line| format!("    {line}\n")).collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_failed_build_the_first_error_is_shown_and_not_much_more() {
        let log = "   Compiling a v1\nwarning: unused\n\nerror[E0425]: cannot find value `x`\n --> src/a.rs:1:1\n\n";
        assert_eq!(complaint(log), "    error[E0425]: cannot find value `x`\n     --> src/a.rs:1:1");
        let long: String =
            std::iter::once("error: x\n".to_owned()).chain((0..99).map(|n| format!("line {n}\n"))).collect();
        assert_eq!(complaint(&long).lines().count(), TAIL_LINES);
        assert_eq!(complaint("cargo: nothing known\n"), "    cargo: nothing known");
    }
}

//! `lanebench stack env`: the settings of a stack that is up, as lines for a shell.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::cmd::exit::Exit;
use crate::cmd::out::{UsageError, print};
use crate::stack::compose;

/// Print where the parts of a running stack are, for `--stack external`.
///
/// `export $(lanebench stack env compose)` sets LANEBENCH_BOOTSTRAP, LANEBENCH_DATABASE_URL and LANEBENCH_REDIS_URL, passwords
/// included. It starts and asks nothing: `lanebench stack check --stack external` does.
#[derive(Args, Debug)]
pub(super) struct EnvArgs {
    /// Which stack.
    #[arg(value_enum)]
    of: Of,
    /// Variables of compose; those of the environment come first, as they do for compose. [default: .env, if there is one]
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Of {
    /// That of docker-compose.yml.
    Compose,
}

pub(super) fn run(args: &EnvArgs) -> anyhow::Result<Exit> {
    let Of::Compose = args.of;
    let file = match &args.env_file {
        Some(path) => read(path)?.ok_or_else(|| UsageError {
            what: format!("there is no {}", path.display()),
            hint: "give the file that compose was given, or leave `--env-file` out".to_owned(),
        })?,
        None => read(Path::new(".env"))?.unwrap_or_default(),
    };
    let endpoints = compose::endpoints(|name| std::env::var(name).ok().or_else(|| file.get(name).cloned()))
        .map_err(|error| UsageError {
        what: error.to_string(),
        hint: "set it to a port, or leave it out, here and for compose".to_owned(),
    })?;
    print(&super::shell_lines(&(&endpoints).into()))?;
    Ok(Exit::Held)
}

/// What the file sets, the last word on each; none if there is no such file.
fn read(path: &Path) -> Result<Option<BTreeMap<String, String>>, UsageError> {
    let refused = |what: &str| UsageError {
        what: format!("{} {what}", path.display()),
        hint: "write NAME=value, one a line; .env.example shows all".to_owned(),
    };
    let variables = match dotenvy::from_path_iter(path) {
        Ok(variables) => variables,
        Err(dotenvy::Error::Io(error)) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(refused(&format!("can't be read: {error}"))),
    };
    // Not in the parser's words, which quote the line: it may hold a password.
    let all: Result<_, _> = variables.collect();
    all.map(Some).map_err(|_| refused("has a line that can't be read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn a_file_is_read_as_compose_reads_it() {
        let file = file("# a comment\n\nA=1\nB=\"two words\"\nexport C='$A'\nA=3\n");
        let found = read(file.path()).unwrap().unwrap();
        let shown: Vec<_> = found.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(shown, ["A=3", "B=two words", "C=$A"]);
    }

    #[test]
    fn a_line_that_can_not_be_read_is_not_quoted() {
        let file = file("LANEBENCH_REDIS_PASSWORD='half-of-a-secret\n");
        let refused = read(file.path()).unwrap_err();
        assert!(refused.what.ends_with("has a line that can't be read"), "{}", refused.what);
        assert!(!refused.to_string().contains("secret"));
    }

    #[test]
    fn no_file_is_no_mistake() {
        assert_eq!(read(Path::new("/nowhere/.env")).unwrap(), None);
    }
}

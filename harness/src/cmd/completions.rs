//! `lanebench completions`: what a shell needs to complete subcommands, flags and values.

use anyhow::Context;
use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::Shell;

use super::Cli;
use super::exit::Exit;
use super::out::print;

const EXAMPLES: &str = "\
Examples:
  lanebench completions bash > ~/.local/share/bash-completion/completions/lanebench
  lanebench completions zsh > ~/.zfunc/_lanebench      with ~/.zfunc in fpath
  lanebench completions fish > ~/.config/fish/completions/lanebench.fish";

/// Flags of `completions`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CompletionsArgs {
    /// Which shell
    #[arg(value_enum)]
    shell: For,
}

/// The shells that are supported.
#[derive(Clone, Copy, ValueEnum)]
enum For {
    /// GNU Bash
    Bash,
    /// The Z shell
    Zsh,
    /// The friendly interactive shell
    Fish,
}

/// Prints the script.
///
/// # Errors
/// What keeps stdout from being written.
pub(super) fn run(args: &CompletionsArgs) -> anyhow::Result<Exit> {
    let shell = match args.shell {
        For::Bash => Shell::Bash,
        For::Zsh => Shell::Zsh,
        For::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "lanebench", &mut script);
    print(&String::from_utf8(script).context("the script is no text")?)?;
    Ok(Exit::Held)
}

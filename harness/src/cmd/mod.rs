//! One subcommand a file.

pub mod stack;

use std::process::ExitCode;

use clap::Parser;

#[derive(Debug, Parser)]
enum Cli {
    Stack(stack::StackArgs),
}

/// Entry point.
pub fn main() -> ExitCode {
    let Cli::Stack(args) = Cli::parse();
    let outcome = tokio::runtime::Runtime::new()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(stack::run(args)));
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error:#}");
            if let Some(hint) = error
                .downcast_ref::<crate::stack::StackError>()
                .and_then(|e| e.hint())
            {
                eprintln!("\nhint: {hint}");
            }
            ExitCode::from(1)
        }
    }
}

//! The one binary: parses, dispatches, prints the error.

fn main() -> std::process::ExitCode {
    lanebench::cmd::main()
}

//! The program: parses arguments, runs the command, ends with its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    mastopatch::cli::main().into()
}

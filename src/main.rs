//! Chooses a mode and sets the exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    stormglass::cli::main()
}

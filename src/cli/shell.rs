//! `completions` and `man`: what a shell and `man` want to know, made from the same table of commands
//! that reads the command line, so that neither can go stale.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use super::output::{Failure, print};

/// `stormglass completions`
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Which shell; its manual says where the output belongs
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the completions of a shell.
pub fn completions(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "stormglass", &mut script);
    print(&String::from_utf8_lossy(&script))
}

/// Prints the manual page; `stormglass man | man -l -` shows it.
pub fn man() -> Result<(), Failure> {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command())
        .render(&mut page)
        .map_err(|error| Failure::new(format!("cannot make the page: {error}")))?;
    print(&String::from_utf8_lossy(&page))
}

//! `completions` and `man`: what a shell and `man` want to know, made from the same table of commands
//! that reads the command line, so that neither can go stale.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use super::output::{Failure, print, safe};

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

/// `stormglass man`
#[derive(Debug, Args)]
pub struct ManArgs {
    /// The page of this command, as `serve` or `incident note`; without one, of the whole program
    command: Vec<String>,
    /// Write a page for every command into this directory, as `man` looks for them
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    into: Option<PathBuf>,
}

/// Prints a manual page, which `stormglass man serve | man -l -` shows, or writes all of them.
pub fn man(args: &ManArgs) -> Result<(), Failure> {
    let cannot = |error: io::Error| Failure::new(format!("cannot write the page: {error}"));
    let mut program = Cli::command().disable_help_subcommand(true);
    // What a command is called in full, and what holds for all of them, is known once it is built.
    program.build();
    if let Some(into) = &args.into {
        let written = fs::create_dir_all(into).and_then(|()| write_pages(&program, into));
        written.map_err(|error| {
            Failure::new(format!("cannot write to {}: {error}", into.display()))
        })?;
        return print(&format!("written to {}\n", into.display()));
    }
    let page = page(command(&program, &args.command)?).map_err(cannot)?;
    print(&page)
}

/// The page of a command, and those of what it has below.
fn write_pages(of: &Command, into: &Path) -> io::Result<()> {
    let file = clap_mangen::Man::new(of.clone()).get_filename();
    fs::write(into.join(file), page(of)?)?;
    let mut below = of.get_subcommands().filter(|below| !below.is_hide_set());
    below.try_for_each(|below| write_pages(below, into))
}

/// The page of a command. Its synopsis says of each option what it takes.
fn page(of: &Command) -> io::Result<String> {
    let mut page = Vec::new();
    clap_mangen::Man::new(of.clone()).render(&mut page)?;
    let mut page = String::from_utf8_lossy(&page).into_owned();
    for option in of.get_opts() {
        let values = option.get_value_names().unwrap_or_default();
        let (Some(long), false) = (option.get_long(), values.is_empty()) else {
            continue;
        };
        // Only there does a bracket close behind the option itself.
        let bare = format!("\\fB\\-\\-{}\\fR]", long.replace('-', "\\-"));
        let values: Vec<String> = values
            .iter()
            .map(|name| format!("\\fI{name}\\fR"))
            .collect();
        let full = bare.replace(']', &format!(" {}]", values.join(" ")));
        page = page.replacen(&bare, &full, 1);
    }
    Ok(page)
}

/// The command of these words.
fn command<'a>(program: &'a Command, words: &[String]) -> Result<&'a Command, Failure> {
    let mut found = program;
    for word in words {
        found = found.find_subcommand(word).ok_or_else(|| {
            let shown = found.get_subcommands().filter(|of| !of.is_hide_set());
            let known: Vec<&str> = shown.map(Command::get_name).collect();
            let (word, of) = (safe(word), found.get_name());
            let known = if known.is_empty() {
                "it has none".to_owned()
            } else {
                format!("it has {}", known.join(", "))
            };
            Failure::usage(format!("{of} has no command {word}: {known}"))
        })?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A command that is not listed, or an option of one that no page names, is not documented at all.
    #[test]
    fn every_command_has_a_page_with_its_options() {
        let folder = tempfile::tempdir().expect("a directory");
        // It is made, and those above it.
        let into = folder.path().join("share/man1");
        let args = ManArgs {
            command: Vec::new(),
            into: Some(into.clone()),
        };
        man(&args).expect("written");
        let read = |name: &str| {
            let page = into.join(format!("stormglass{name}.1"));
            std::fs::read_to_string(page).unwrap_or_else(|error| panic!("{name}: {error}"))
        };
        assert!(read("").contains("stormglass\\-serve(1)"));
        assert!(read("-serve").contains("config"));
        let synopsis = "[\\fB\\-\\-config\\fR \\fIFILE\\fR]";
        assert!(read("-serve").contains(synopsis), "{}", read("-serve"));
        assert!(read("-incidents").contains("\\-\\-filter\\fR \\fITEXT\\fR]"));
        // One of a command alone; what holds for all of them is on every page.
        assert!(read("-wall").contains("\\-\\-quiet"));
        for of in Cli::command()
            .get_subcommands()
            .filter(|of| !of.is_hide_set())
        {
            read(&format!("-{}", of.get_name()));
        }
    }

    #[test]
    fn a_command_that_is_not_there_is_refused_with_those_that_are() {
        let mut program = Cli::command();
        program.build();
        let words = ["incident".to_owned(), "nothing".to_owned()];
        let failure = command(&program, &words).expect_err("no such command");
        assert!(format!("{failure:?}").contains("it has "), "{failure:?}");
    }
}

//! The console: on a daemon that answers, else on an engine of its own in this process.

use std::path::PathBuf;

use clap::Args;
use directories::BaseDirs;

use super::output::Failure;
use super::place::Place;
use super::{Common, serve};
use crate::api::client::{Address, Client, ClientError};
use crate::config::Config;
use crate::daemon::{Daemon, default_data_dir, default_socket};
use crate::model::shown_argv;
use crate::tui::wall::WallOptions;
use crate::tui::{self, Glyphs, TuiOptions};

/// When the operator last looked, below the user's state directory.
const SESSION_FILE: &str = "stormglass/console.json";

/// What the terminal can show, when it does not say so itself.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct GlyphArgs {
    /// Only ASCII on the screen
    #[arg(long)]
    ascii: bool,
    /// Charts in blocks, for a font without braille
    #[arg(long, conflicts_with = "ascii")]
    blocks: bool,
}

impl GlyphArgs {
    /// What somebody says of it; `None` when they say nothing.
    fn said(self) -> Option<Glyphs> {
        match (self.ascii, self.blocks) {
            (true, _) => Some(Glyphs::Ascii),
            (false, true) => Some(Glyphs::Block),
            (false, false) => None,
        }
    }
}

/// How the console looks; every command that opens one takes these.
#[derive(Clone, Debug, Default, Args)]
#[allow(clippy::struct_excessive_bools, reason = "the switches a person types")]
pub struct LookArgs {
    /// Theme by name or path; without it the terminal decides, and `NO_COLOR` is honoured
    #[arg(long, value_name = "NAME")]
    theme: Option<String>,
    /// Keymap by name or path
    #[arg(long, value_name = "NAME")]
    keymap: Option<String>,
    #[command(flatten)]
    glyphs: GlyphArgs,
    /// Times in UTC
    #[arg(long)]
    utc: bool,
    /// Spare a slow link: at most two frames a second
    #[arg(long)]
    slow: bool,
    /// Where to begin: incidents, "incident 12 why", "incidents sort:age /checkout", alerts, sources
    #[arg(long, value_name = "VIEW")]
    view: Option<String>,
    /// Lines that are only appended, for screen readers and pipes; no keys
    #[arg(long)]
    plain: bool,
    /// Set by the program only
    #[arg(skip)]
    forget: bool,
}

impl LookArgs {
    /// A demo leaves nothing behind.
    pub(super) fn without_session(&self) -> Self {
        Self {
            forget: true,
            ..self.clone()
        }
    }

    /// Where it is kept when the operator last looked.
    fn session_file(&self) -> Option<PathBuf> {
        let state = BaseDirs::new()?.state_dir()?.join(SESSION_FILE);
        (!self.forget).then_some(state)
    }
}

/// `stormglass attach`
#[derive(Debug, Args)]
pub struct AttachArgs {
    /// A socket or https://HOST:PORT; the local daemon's socket without it
    #[arg(value_name = "ADDR")]
    address: Option<String>,
    /// The same as ADDR, for a daemon on another machine
    #[arg(long, value_name = "URL", conflicts_with = "address")]
    url: Option<String>,
    #[command(flatten)]
    look: LookArgs,
}

/// `stormglass wall`
#[derive(Debug, Args)]
pub struct WallArgs {
    /// A socket or https://HOST:PORT; the local daemon's socket without it
    #[arg(value_name = "ADDR")]
    address: Option<String>,
    /// Show free text and names of people on the screen too
    #[arg(long)]
    text: bool,
    /// Hours in which only what is bad is shown, in local time
    #[arg(long, value_name = "HH-HH", value_parser = hours)]
    quiet: Option<(u8, u8)>,
    /// Theme by name or path
    #[arg(long, value_name = "NAME")]
    theme: Option<String>,
    #[command(flatten)]
    glyphs: GlyphArgs,
    /// Times in UTC
    #[arg(long)]
    utc: bool,
}

/// Opens a console on a daemon that runs already.
pub async fn attach(common: &Common, args: AttachArgs) -> Result<(), Failure> {
    let common = Common {
        socket: args.address.or(args.url).or_else(|| common.socket.clone()),
        ..common.clone()
    };
    let place = Place::find_for_client(&common)?;
    // A daemon that does not answer is told of before the screen is taken, where it can be read.
    Client::new(place.address.clone())?.view().await?;
    open(place.address.clone(), &place.config, &args.look).await
}

/// Opens the wall on a daemon that runs already.
pub async fn wall(common: &Common, args: WallArgs) -> Result<(), Failure> {
    let common = Common {
        socket: args.address.or_else(|| common.socket.clone()),
        ..common.clone()
    };
    let place = Place::find_for_client(&common)?;
    Client::new(place.address.clone())?.view().await?;
    let options = TuiOptions {
        theme: args.theme.or_else(|| place.config.theme.clone()),
        glyphs: args.glyphs.said(),
        utc: args.utc,
        ..TuiOptions::new(place.address.clone())
    };
    let shown = WallOptions {
        text: args.text,
        quiet: args.quiet,
    };
    let ended = tui::wall::run(options, shown).await;
    ended.map_err(|error| Failure::new(error.to_string()))
}

/// Reads hours like `22-07`.
fn hours(text: &str) -> Result<(u8, u8), String> {
    let hour = |text: &str| text.parse().ok().filter(|hour| *hour < 24);
    text.split_once('-')
        .and_then(|(from, to)| Some((hour(from)?, hour(to)?)))
        .filter(|(from, to)| from != to)
        .ok_or_else(|| "must be two hours of the day, like 22-07".to_owned())
}

/// `stormglass` without a command: attaches if a daemon answers, else brings its own. Where somebody named the
/// daemon, a quiet console of their own is not what they asked for.
pub async fn run(common: &Common, look: &LookArgs) -> Result<(), Failure> {
    let place = Place::find_for_client(common)?;
    let client = Client::new(place.address.clone())?;
    match client.view().await {
        Ok(_) => open(place.address.clone(), &place.config, look).await,
        Err(ClientError::Unreachable { .. })
            if common.socket.is_none() && matches!(place.address, Address::Socket(_)) =>
        {
            // A daemon of its own needs the whole config.
            let place = Place::find(common)?;
            let daemon = serve::start(&place).await?;
            on_own(daemon, &place.config, look).await
        }
        Err(error) => Err(error.into()),
    }
}

/// Opens a console on a daemon in this process, and stops the daemon when the operator leaves.
pub(super) async fn on_own(
    mut daemon: Daemon,
    config: &Config,
    look: &LookArgs,
) -> Result<(), Failure> {
    let address = Address::Socket(daemon.socket().to_owned());
    let left = tokio::select! {
        left = open(address, config, look) => left,
        // The console has shown the banner that says so; the terminal is given back by its guard.
        error = daemon.failed() => return Err(error.into()),
    };
    daemon.stop().await?;
    left
}

/// How the program is called to reach a daemon: without more where it looks by itself.
fn command_to(address: &Address) -> String {
    let usual = default_data_dir().map(|data| Address::Socket(default_socket(&data)));
    let program: Box<str> = Box::from("stormglass");
    if usual.as_ref() == Some(address) {
        return program.into_string();
    }
    let there = address.to_string().into_boxed_str();
    shown_argv(&[program, Box::from("--socket"), there]).text
}

async fn open(address: Address, config: &Config, look: &LookArgs) -> Result<(), Failure> {
    let command = command_to(&address);
    let options = TuiOptions {
        address,
        command,
        theme: look.theme.clone().or_else(|| config.theme.clone()),
        keymap: look
            .keymap
            .clone()
            .or_else(|| config.keymap.clone())
            .unwrap_or_else(|| "default".to_owned()),
        glyphs: look.glyphs.said(),
        utc: look.utc,
        slow: look.slow,
        view: look.view.clone(),
        session: look.session_file(),
    };
    let ended = if look.plain {
        tui::plain::run(options).await
    } else {
        tui::run(options).await
    };
    ended.map_err(|error| Failure::new(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_command_to_be_copied_reaches_the_same_daemon() {
        let socket = |path: &Path| Address::Socket(path.to_owned());
        let usual = default_socket(&default_data_dir().expect("who tests has a home"));
        assert_eq!(command_to(&socket(&usual)), "stormglass");
        assert_eq!(
            command_to(&socket(Path::new("/tmp/a demo/stormglass.sock"))),
            "stormglass --socket '/tmp/a demo/stormglass.sock'"
        );
    }
}

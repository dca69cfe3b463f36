//! Where this invocation finds things: config, data, socket, the daemon.

use std::fmt::Display;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use directories::BaseDirs;

use super::Common;
use super::output::Failure;
use crate::api::client::{Address, Client};
use crate::config::{self, Config, Warning};
use crate::daemon::{default_data_dir, default_socket};
use crate::tui::{Keymap, Theme};

/// The config file below the user's config directory.
const CONFIG_FILE: &str = "stormglass/config.toml";
/// Longest config file that is read, in bytes: a thousand times as much as anybody writes.
const CONFIG_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Holds the token for a daemon that is not reached by a socket.
const TOKEN_VARIABLE: &str = "STORMGLASS_TOKEN";

/// Everything that was found.
#[derive(Clone, Debug)]
pub struct Place {
    /// Settings in force.
    pub config: Config,
    /// What is odd about them.
    pub warnings: Vec<Warning>,
    /// The file they were read from; `None` means defaults.
    pub file: Option<PathBuf>,
    /// Journal, database and recorder.
    pub data_dir: PathBuf,
    /// The daemon's address.
    pub address: Address,
}

impl Place {
    /// Reads the config file, if there is one, and applies the options.
    pub fn find(common: &Common) -> Result<Self, Failure> {
        let file = config_file(common);
        let (config, warnings) = match &file {
            Some(path) => parse(path, &text_of(path)?)?,
            None => (Config::default(), Vec::new()),
        };
        Self::of(common, file, config, warnings)
    }

    /// The same for a client, which needs little of the config: a mistake elsewhere in the file is told,
    /// and does not keep anybody from the daemon that runs.
    pub fn find_for_client(common: &Common) -> Result<Self, Failure> {
        let file = config_file(common);
        let config = match &file {
            Some(path) => {
                let text = text_of(path)?;
                match parse(path, &text) {
                    Ok((config, _)) => config,
                    Err(failure) => match for_client(&text) {
                        Some(config) => {
                            failure.warn(
                                "the config is not used but for socket, data, theme and keys",
                            );
                            config
                        }
                        // Defaults may mean another daemon, and another journal.
                        None if common.socket.is_none() && common.data_dir.is_none() => {
                            return Err(failure);
                        }
                        None => {
                            failure.warn("the config is not used");
                            Config::default()
                        }
                    },
                }
            }
            None => Config::default(),
        };
        Self::of(common, file, config, Vec::new())
    }

    fn of(
        common: &Common,
        file: Option<PathBuf>,
        config: Config,
        warnings: Vec<Warning>,
    ) -> Result<Self, Failure> {
        let data_dir = common
            .data_dir
            .clone()
            .or_else(|| config.data_dir.clone())
            .or_else(default_data_dir)
            .ok_or_else(|| {
                Failure::usage("this user has no home: say where to keep data with --data-dir DIR")
            })?;
        let address = match &common.socket {
            Some(text) => address(text, common)?,
            None => Address::Socket(
                config
                    .socket
                    .clone()
                    .unwrap_or_else(|| default_socket(&data_dir)),
            ),
        };
        Ok(Self {
            config,
            warnings,
            file,
            data_dir,
            address,
        })
    }

    /// The data folder, for a client that reads in it; a socket does not say where that is.
    pub fn data_dir_for_client(common: &Common) -> Result<PathBuf, Failure> {
        let common = Common {
            socket: None,
            ..common.clone()
        };
        Ok(Self::find_for_client(&common)?.data_dir)
    }

    /// The socket to listen on.
    pub fn socket(&self) -> Result<&Path, Failure> {
        match &self.address {
            Address::Socket(path) => Ok(path),
            Address::Http { url, .. } => Err(Failure::usage(format!(
                "a daemon listens on a path, not on {url}: give --socket PATH"
            ))),
        }
    }
}

/// Where a daemon of a command's own listens: where the options say, else in its own folder. What the
/// config says is another daemon's.
pub fn own_socket(common: &Common, folder: &Path) -> Result<PathBuf, Failure> {
    match &common.socket {
        Some(_) => Ok(Place::find(common)?.socket()?.to_owned()),
        None => Ok(folder.join("stormglass.sock")),
    }
}

/// A client of the daemon that the options and the config name.
pub fn client(common: &Common) -> Result<Client, Failure> {
    Ok(Client::new(Place::find_for_client(common)?.address)?)
}

/// An address as written, with the token of the options or the environment.
pub fn address(text: &str, common: &Common) -> Result<Address, Failure> {
    let read = |path: &PathBuf| {
        let name = path.display();
        std::fs::read(path).map_err(|error| Failure::usage(format!("cannot read {name}: {error}")))
    };
    let token = match &common.token_file {
        Some(file) => Some(String::from_utf8_lossy(&read(file)?).trim().to_owned()),
        None => std::env::var(TOKEN_VARIABLE).ok(),
    };
    // A bare file name is a socket in this directory, as everywhere else on a command line.
    if !text.contains(':') && !text.contains('/') {
        return Ok(Address::Socket(PathBuf::from(text)));
    }
    let mut address = Address::parse(text, token)?;
    if let (Address::Http { authority, .. }, Some(file)) = (&mut address, &common.ca_file) {
        *authority = Some(read(file)?);
    }
    Ok(address)
}

/// Where the config is looked for when it is not named.
pub fn default_config_file() -> Option<PathBuf> {
    Some(BaseDirs::new()?.config_dir().join(CONFIG_FILE))
}

fn config_file(common: &Common) -> Option<PathBuf> {
    common
        .config
        .clone()
        .or_else(|| default_config_file().filter(|path| path.exists()))
}

fn text_of(path: &Path) -> Result<String, Failure> {
    let name = path.display();
    let refused = |why: String| Failure::usage(format!("cannot read the config {name}: {why}"));
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(CONFIG_BYTES_MAX + 1).read_to_string(&mut text))
        .map_err(|error| refused(error.to_string()))?;
    if text.len() as u64 > CONFIG_BYTES_MAX {
        return Err(refused(format!(
            "it has more than {CONFIG_BYTES_MAX} bytes"
        )));
    }
    Ok(text)
}

/// What a client needs of a config that is refused as a whole; `None` if it does not say where the daemon
/// is in a way that can be read. A theme or keymap that does not load gives way to the default.
fn for_client(text: &str) -> Option<Config> {
    let table: toml::Table = toml::from_str(text).ok()?;
    let path_at = |key: &str| match table.get(key) {
        None => Some(None),
        Some(value) => value.as_str().map(|path| Some(PathBuf::from(path))),
    };
    let name_at = |key: &str| table.get(key)?.as_str().map(str::to_owned);
    Some(Config {
        socket: path_at("socket")?,
        data_dir: path_at("data_dir")?,
        theme: name_at("theme").filter(|name| loads("theme", Theme::load(name))),
        keymap: name_at("keymap").filter(|name| loads("keymap", Keymap::load(name))),
        ..Config::default()
    })
}

/// Whether it can be used; told if not.
fn loads<T, E: Display>(setting: &str, loaded: Result<T, E>) -> bool {
    loaded
        .map_err(|error| {
            Failure::usage(format!("`{setting}`: {error}")).warn("the default is used instead");
        })
        .is_ok()
}

/// The settings of a config file that is not the one in force.
pub fn settings_of(path: &Path) -> Result<Config, Failure> {
    Ok(parse(path, &text_of(path)?)?.0)
}

fn parse(path: &Path, text: &str) -> Result<(Config, Vec<Warning>), Failure> {
    config::parse(text, &path.display().to_string())
        .map_err(|error| Failure::usage(error.messages.join("\n")))
}

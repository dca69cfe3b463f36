//! `keys`: the key table of a keymap, as the console's help shows it.

use clap::Args;
use serde::Serialize;

use super::Common;
use super::output::{Failure, print, print_json};
use super::place::Place;
use crate::tui::{ACTIONS, Keymap, key_table};

/// The keymap used when nobody says otherwise.
const DEFAULT_KEYMAP: &str = "default";

/// `stormglass keys`
#[derive(Debug, Args)]
pub struct KeysArgs {
    /// Name of the keymap or path of one; default: the one of the config
    keymap: Option<String>,
    /// The same, as the console takes it
    #[arg(long = "keymap", value_name = "NAME|FILE", conflicts_with = "keymap")]
    named: Option<String>,
}

/// One row of `keys --json`.
#[derive(Debug, Serialize)]
struct KeyRow {
    action: &'static str,
    doc: &'static str,
    keys: Vec<String>,
}

pub fn run(common: &Common, args: &KeysArgs) -> Result<(), Failure> {
    let name = match args.keymap.as_ref().or(args.named.as_ref()) {
        Some(name) => name.clone(),
        None => Place::find_for_client(common)?
            .config
            .keymap
            .unwrap_or_else(|| DEFAULT_KEYMAP.to_owned()),
    };
    let keymap = Keymap::load(&name).map_err(|error| Failure::usage(error.to_string()))?;
    if !common.json {
        return print(&key_table(&keymap));
    }
    let rows: Vec<KeyRow> = ACTIONS
        .iter()
        .map(|row| KeyRow {
            action: row.name,
            doc: row.doc,
            keys: keymap.alternatives(row.action),
        })
        .collect();
    print_json(&rows)
}

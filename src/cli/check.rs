//! `check`: is the config right, and what would be used.

use std::path::Path;

use serde::Serialize;

use super::Common;
use super::catalogue::with_catalogue;
use super::named;
use super::output::{Failure, line, print, print_json, safe};
use super::place::Place;
use super::reach::shut_out;
use super::serve::runbooks;
use super::watched::{Watched, unmatched, watched};
use crate::config::{Config, KEYMAPS, THEMES, shipped_like};
use crate::tui::{Keymap, Theme};

/// What `check --json` prints.
#[derive(Debug, Serialize)]
struct Checked {
    file: Option<String>,
    data_dir: String,
    daemon: String,
    listen: String,
    otlp_listen: Option<String>,
    otlp_grpc_listen: Option<String>,
    environment: String,
    runbooks: usize,
    /// Entities that catalogues gave.
    catalogue: usize,
    /// Every source that is on.
    sources: Vec<Watched>,
    warnings: Vec<String>,
}

pub fn run(common: &Common) -> Result<(), Failure> {
    let place = Place::find(common)?;
    let runbooks = runbooks(&place.config)?.len();
    let named = named::look(&place);
    if let Some(wrong) = named.wrong() {
        return Err(Failure::usage(wrong));
    }
    looks(&place.config)?;
    let (_, taken) = with_catalogue(place.config.clone());
    let checked = Checked {
        file: place.file.as_ref().map(|path| path.display().to_string()),
        data_dir: place.data_dir.display().to_string(),
        daemon: place.address.to_string(),
        listen: place.config.listen.to_string(),
        otlp_listen: place.config.otlp_listen.map(|address| address.to_string()),
        otlp_grpc_listen: place
            .config
            .grpc_listener()
            .map(|address| address.to_string()),
        environment: place.config.environment.clone(),
        runbooks,
        catalogue: taken.entities,
        sources: watched(&place.config),
        warnings: warnings(&place, named.warnings, taken.refused),
    };
    if common.json {
        return print_json(&checked);
    }
    let nowhere = || "nowhere".to_owned();
    let rows = [
        (
            "config",
            checked.file.unwrap_or_else(|| "none: defaults".to_owned()),
        ),
        ("environment", safe(&checked.environment)),
        ("data", checked.data_dir),
        ("daemon", checked.daemon),
        ("receivers", checked.listen),
        ("runbooks", checked.runbooks.to_string()),
        ("catalogue", checked.catalogue.to_string()),
        ("OTLP besides", checked.otlp_listen.unwrap_or_else(nowhere)),
        (
            "OTLP by gRPC",
            checked.otlp_grpc_listen.unwrap_or_else(nowhere),
        ),
    ];
    let mut text = String::new();
    for (name, value) in rows {
        line(&mut text, &format!("{name:<13} {value}"));
    }
    for Watched { source, what } in &checked.sources {
        line(
            &mut text,
            &format!("source        {source}: {}", safe(what)),
        );
    }
    for warning in &checked.warnings {
        line(&mut text, &format!("warning: {}", safe(warning)));
    }
    line(&mut text, "the config is right");
    print(&text)
}

/// What is allowed and still worth a word, of the file and of what it names.
fn warnings(place: &Place, named: Vec<String>, left_out: Vec<String>) -> Vec<String> {
    let mut all = lasting_warnings(place);
    all.extend(named);
    all.extend(left_out);
    all.extend(unmatched(place));
    all
}

/// Those that stay true until the daemon starts again.
pub(super) fn lasting_warnings(place: &Place) -> Vec<String> {
    let of_file = place.warnings.iter().map(|warning| warning.0.clone());
    of_file.chain(shut_out(place)).collect()
}

/// Whether the theme and the keymap can be read: names are checked with the file, what paths hold is not.
fn looks(config: &Config) -> Result<(), Failure> {
    if let Some(theme) = &config.theme {
        Theme::load(theme).map_err(|error| unread("theme", theme, THEMES, &error.to_string()))?;
    }
    if let Some(keymap) = &config.keymap {
        let load = Keymap::load(keymap);
        load.map_err(|error| unread("keymap", keymap, KEYMAPS, &error.to_string()))?;
    }
    Ok(())
}

/// Why the file that a setting names is of no use; one that is not there may have meant a name shipped.
fn unread(setting: &str, path: &str, shipped: &[&str], why: &str) -> Failure {
    let near = shipped_like(path, shipped).filter(|_| !Path::new(path).exists());
    let hint = near.map_or_else(String::new, |near| {
        format!(": is `{setting} = \"{near}\"` meant, which is shipped?")
    });
    Failure::usage(format!("`{setting}` in the config: {why}{hint}"))
}

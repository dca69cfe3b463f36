//! `serve`: the daemon without a screen, until it is told to stop.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use super::Common;
use super::catalogue::{self, with_catalogue};
use super::check::lasting_warnings;
use super::named;
use super::output::Failure;
use super::place::Place;
use super::watched::{Watched, unmatched, watched};
use crate::config::{Config, shipped_runbooks, with_own};
use crate::daemon::{self, Clock, Daemon, DaemonOptions, Telemetry};
use crate::model::{Runbook, SafeText};

/// Time between two looks at secrets that are missing, and at a catalogue of which something was left out.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Chooses what is logged, as `tracing` reads it: `info`, `stormglass=debug`, …
const LOG_VARIABLE: &str = "STORMGLASS_LOG";
/// What is logged unless that says otherwise: a library that tries a broker again says so each time, and the
/// source's own row says it once.
const LOG_DEFAULT: &str = "info,rskafka=error";

pub async fn run(common: &Common) -> Result<(), Failure> {
    start_log();
    let place = Place::find(common)?;
    let mut daemon = start(&place).await?;
    for Watched { source, what } in watched(&listening(&place.config, &daemon)) {
        tracing::info!("watches {source}: {}", SafeText::new(&what));
    }
    let shown = |address: Option<SocketAddr>| {
        address.map_or_else(|| "nowhere".to_owned(), |address| address.to_string())
    };
    tracing::info!(
        socket = %daemon.socket().display(),
        listen = %shown(daemon.listen()),
        otlp_listen = %shown(daemon.otlp_listen()),
        otlp_grpc_listen = %shown(daemon.otlp_grpc_listen()),
        data = %place.data_dir.display(),
        "ready"
    );
    tokio::select! {
        error = daemon.failed() => {
            // What can still be put in order is; the failure is what matters.
            let _ = daemon.stop().await;
            Err(error.into())
        }
        stopped = told_to_stop() => {
            tracing::info!(signal = stopped?, "stopping");
            Ok(daemon.stop().await?)
        }
    }
}

/// The settings without the addresses that somebody else has: nothing is taken there yet.
fn listening(config: &Config, daemon: &Daemon) -> Config {
    Config {
        otlp_listen: config
            .otlp_listen
            .filter(|_| daemon.otlp_listen().is_some()),
        otlp_grpc_listen: config
            .otlp_grpc_listen
            .filter(|_| daemon.otlp_grpc_listen().is_some()),
        ..config.clone()
    }
}

/// Starts a daemon on the config, for whoever embeds one. It does without a source or receiver of notifications whose secret
/// is missing, loudly; without what says who may come in, it does not start.
pub(super) async fn start(place: &Place) -> Result<Daemon, Failure> {
    let text = place.file.as_ref().map(std::fs::read_to_string);
    let text = text.and_then(Result::ok).unwrap_or_default();
    let named = named::look_with(place, &text);
    if !named.errors.is_empty() {
        return Err(Failure::usage(named.wrong().unwrap_or_default()));
    }
    let (config, taken) = with_catalogue(place.config.clone());
    for what in &named.lacking {
        tracing::error!("{}", SafeText::new(what));
    }
    let lasting = lasting_warnings(place);
    // A file may come at any moment: to consoles, the source itself says that it found none. Who may read a file, and on which
    // port, is for the log too.
    let odd = lasting.iter().chain(&taken.refused);
    for what in odd.chain(&unmatched(place)).chain(&named.warnings) {
        tracing::warn!("{}", SafeText::new(what));
    }
    let catalogue = catalogue::Watch::new(&place.config, taken.refused.clone());
    // A variable that is lacking stays so: it is told, and nobody looks for it.
    let is_in_order = !named.may_come && !catalogue.is_needed();
    let (told, warnings) = watch::channel([named.lacking, lasting.clone(), taken.refused].concat());
    if !is_in_order {
        tokio::spawn(until_in_order(
            place.clone(),
            text,
            lasting,
            catalogue,
            told,
        ));
    }
    let options = DaemonOptions {
        runbooks: runbooks(&config)?,
        config,
        clock: Clock::real(),
        socket: place.socket()?.to_owned(),
        data_dir: Some(place.data_dir.clone()),
        telemetry: Telemetry::Live,
        warnings,
    };
    Ok(daemon::start(options).await?)
}

/// Looks now and then for the secrets that are missing, and at the catalogue if something of it was left out, and tells
/// consoles what still is. Sources read their secrets again by themselves; what is put right in a catalogue counts from the
/// next start, which is told until then.
async fn until_in_order(
    place: Place,
    text: String,
    lasting: Vec<String>,
    mut catalogue: catalogue::Watch,
    told: watch::Sender<Vec<String>>,
) {
    let (place, text) = (Arc::new(place), Arc::new(text));
    loop {
        let (of, text) = (Arc::clone(&place), Arc::clone(&text));
        let look = move || {
            let of_catalogue = catalogue.look();
            (named::look_with(&of, &text), of_catalogue, catalogue)
        };
        // A search that panicked has told it.
        let Ok((named, of_catalogue, watch)) = tokio::task::spawn_blocking(look).await else {
            return;
        };
        catalogue = watch;
        let is_in_order = !named.may_come && !catalogue.is_needed();
        let before = told.borrow().clone();
        for news in of_catalogue.iter().filter(|line| !before.contains(line)) {
            tracing::warn!("{}", SafeText::new(news));
        }
        let odd = [named.lacking, lasting.clone(), of_catalogue].concat();
        told.send_if_modified(|before| {
            let is_new = *before != odd;
            *before = odd;
            is_new
        });
        if is_in_order {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            // Nobody is told any more.
            () = told.closed() => return,
        }
    }
}

/// The shipped runbooks and the team's own.
pub(super) fn runbooks(config: &Config) -> Result<Vec<Runbook>, Failure> {
    let own = match &config.runbooks_dir {
        Some(dir) => toml_files(dir).map_err(|error| {
            let dir = dir.display();
            Failure::usage(format!(
                "cannot read the runbooks in {dir} (`runbooks_dir`): {error}"
            ))
        })?,
        None => Vec::new(),
    };
    with_own(shipped_runbooks(), &own).map_err(|error| Failure::usage(error.to_string()))
}

/// Names and texts of the TOML files of a directory, in order of name.
fn toml_files(dir: &Path) -> std::io::Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let path = entry.path();
        let is_toml = path.extension().is_some_and(|ending| ending == "toml");
        // What an editor puts beside a file while it is open there is a link to nowhere.
        let is_lock = entry.file_name().as_encoded_bytes().starts_with(b".#");
        if !is_toml || is_lock {
            continue;
        }
        let name = path.display().to_string();
        let named = |error| std::io::Error::other(format!("{name}: {error}"));
        // A pipe of that name would never be read to its end.
        if std::fs::metadata(&path).map_err(named)?.is_file() {
            let text = std::fs::read_to_string(&path).map_err(named)?;
            files.push((name, text));
        }
    }
    files.sort();
    Ok(files)
}

/// Waits for SIGTERM, SIGINT or SIGHUP and says which it was.
async fn told_to_stop() -> Result<&'static str, Failure> {
    let listen = |kind| {
        signal(kind).map_err(|error| Failure::new(format!("cannot wait for signals: {error}")))
    };
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut hang_up = listen(SignalKind::hangup())?;
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
        _ = hang_up.recv() => "SIGHUP",
    })
}

/// Logs to the error stream, without colour where nobody sees it.
fn start_log() {
    let filter =
        EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new(LOG_DEFAULT));
    // A second call finds the log started; that is what it wants.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        // A log that nobody can read any more must not end what it tells of: the attempt to say so would.
        .log_internal_errors(false)
        .try_init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runbook_that_leads_nowhere_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        let link = |name: &str| std::os::unix::fs::symlink("nowhere", dir.join(name)).unwrap();
        std::fs::write(dir.join("a.toml"), "text").unwrap();
        std::fs::create_dir(dir.join("dir.toml")).unwrap();
        link("notes.md");
        link(".#a.toml");
        let own = (dir.join("a.toml").display().to_string(), "text".to_owned());
        assert_eq!(toml_files(dir).unwrap(), [own]);
        link("b.toml");
        let error = toml_files(dir).unwrap_err().to_string();
        assert!(error.contains("b.toml: No such file"), "{error}");
    }
}

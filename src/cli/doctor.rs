//! `doctor`: can every source, command and the terminal do what they should, and what to do if not.
//!
//! It asks the daemon what it sees and is blind on, and never changes anything. Exit code 1 when
//! something does not work.

mod entities;
mod standing;

use clap::Args;
use serde::Serialize;

use super::Common;
use super::output::{Failure, Style, Table, line, print, print_json, safe, styled};
use super::place::Place;
use super::serve::runbooks;
use crate::api::client::Client;
use crate::engine::Refused;
use crate::model::{
    ENTITIES_FULL, LastRefusal, Ledger, SourceHealth, SourceLedger, SourceRow, Time, counted,
};

/// Data that is older than this when it comes is told, in milliseconds.
const LAG_MS_MAX: i64 = 60_000;
/// Clocks may differ by this much, in milliseconds.
const AHEAD_MS_MAX: i64 = 5_000;
/// Times further off than this are no delay: the clock that gave them is wrong, in milliseconds.
const WRONG_MS: i64 = 3_600_000;
/// Silent series of a source that are told, as a part of all of them.
const SILENT_PART_MAX: f64 = 0.1;
/// Advice for a sender whose telemetry cannot be used.
const SET_RIGHT: &str = "set its sender right; docs/sources.md says what is taken";
/// Advice when there is no room for more entities.
const ON_ENTITIES_FULL: &str = "what is told of others counts as of one: let senders name services and hosts, not requests or builds";
/// Entities named of a source.
const NAMED_MAX: usize = 5;

/// `stormglass doctor`
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Only this source, and everybody it tells of; a part of its name that no other has will do
    source: Option<String>,
}

/// What `doctor --json` prints.
#[derive(Debug, Serialize)]
struct Report {
    /// Everything that was looked at.
    checks: Vec<Checked>,
    /// Each source as the daemon sees it.
    sources: Vec<SourceRow>,
    /// What the engine knows of who should speak; `None` without a daemon.
    ledger: Option<Ledger>,
}

/// One thing that was looked at.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Checked {
    /// What was looked at.
    subject: String,
    verdict: Verdict,
    /// What was found, untrusted.
    found: String,
    /// What to do about it; empty when there is nothing to do.
    advice: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    /// It works.
    Well,
    /// It works, and something of it is lost or odd.
    Warning,
    /// It does not work.
    Broken,
}

/// Looks at everything, or at one source.
pub async fn run(common: &Common, args: &DoctorArgs) -> Result<(), Failure> {
    let (report, now) = match &args.source {
        Some(source) => look_at(common, source).await?,
        None => look(common).await?,
    };
    if common.json {
        print_json(&report)?;
    } else {
        let told = report.ledger.iter().flat_map(|ledger| &ledger.sources);
        let told: Vec<&SourceLedger> = told.collect();
        let entities = match told[..] {
            [source] if args.source.is_some() => entities::of_source(source, now),
            _ => entities::troubled(&told, now),
        };
        print(&page(&report, &entities, now))?;
    }
    let count = report
        .checks
        .iter()
        .filter(|c| c.verdict == Verdict::Broken)
        .count();
    match count {
        0 => Ok(()),
        1 => Err(Failure::new("one thing does not work")),
        count => Err(Failure::new(format!("{count} things do not work"))),
    }
}

/// Everything, and when the daemon said it.
async fn look(common: &Common) -> Result<(Report, Time), Failure> {
    let place = Place::find(common)?;
    let mut report = Report {
        checks: vec![config(&place)],
        sources: Vec::new(),
        ledger: None,
    };
    let runbooks = runbooks(&place.config)?;
    report.checks.extend(standing::programs(&runbooks));
    report.checks.push(terminal());
    let client = Client::new(place.address.clone())?;
    let now = match client.view().await {
        Ok(view) => {
            report.checks.push(daemon(&place, &view.banner));
            let (stats, reached) = (client.stats().await?, client.reached().await?);
            report.checks.extend(standing::of(&stats, &reached));
            let ledger = client.ledger().await?;
            report.sources = view.sources.into_values().collect();
            let sources = report
                .sources
                .iter()
                .map(|row| source(row, &ledger, view.at));
            report.checks.extend(sources);
            report.checks.extend(refusals(&ledger));
            report.ledger = Some(ledger);
            view.at
        }
        Err(error) => {
            let advice = "if one runs elsewhere, say where with --socket";
            report
                .checks
                .push(broken("daemon", &error.to_string(), advice));
            Time::ZERO
        }
    };
    Ok((report, now))
}

/// The source that is meant by `asked`, and whom it tells of.
async fn look_at(common: &Common, asked: &str) -> Result<(Report, Time), Failure> {
    let place = Place::find_for_client(common)?;
    let client = Client::new(place.address.clone())?;
    let view = client.view().await?;
    let names: Vec<&str> = view.sources.keys().map(String::as_str).collect();
    let name = meant(asked, &names)?;
    let row = view.sources[name].clone();
    let ledger = client.ledger_of(name).await?;
    let report = Report {
        checks: in_detail(&row, &ledger, view.at),
        sources: vec![row],
        ledger: Some(ledger),
    };
    Ok((report, view.at))
}

/// The name that is asked for, else the only one that it is a part of.
fn meant<'a>(asked: &str, names: &[&'a str]) -> Result<&'a str, Failure> {
    if let Some(name) = names.iter().copied().find(|name| *name == asked) {
        return Ok(name);
    }
    let parts: Vec<&str> = names
        .iter()
        .copied()
        .filter(|n| n.contains(asked))
        .collect();
    match parts[..] {
        [name] => Ok(name),
        [] => Err(Failure::usage(format!(
            "there is no source {asked}; there are: {}",
            names.join(", ")
        ))),
        _ => Err(Failure::usage(format!(
            "{asked} may be any of: {}",
            parts.join(", ")
        ))),
    }
}

/// Whether it answers, and what it says of itself.
fn daemon(place: &Place, banner: &str) -> Checked {
    if banner.is_empty() {
        return well("daemon", &place.address.to_string());
    }
    let advice = "every console shows this until it is put right";
    warn("daemon", banner, advice)
}

fn config(place: &Place) -> Checked {
    let file = place.file.as_ref().map(|file| file.display().to_string());
    let found = file.unwrap_or_else(|| "no file: defaults".to_owned());
    match place.warnings.first() {
        None => well("config", &found),
        Some(warning) => warn(
            "config",
            &warning.0,
            "`stormglass check` lists all warnings",
        ),
    }
}

fn terminal() -> Checked {
    let terminal = std::env::var("TERM").unwrap_or_default();
    match terminal.as_str() {
        "" | "dumb" => warn(
            "terminal",
            "TERM says that nothing can be drawn here",
            "the console needs a terminal; commands with --json do not",
        ),
        name => well("terminal", name),
    }
}

/// A source: does it speak, and is what it says used. The first thing that is wrong with it counts.
fn source(row: &SourceRow, ledger: &Ledger, now: Time) -> Checked {
    let subject = format!("source {}", row.name);
    let silence = row
        .last_seen
        .map_or_else(String::new, |seen| age(now.since(seen)));
    mute(&subject, row, &silence, now)
        .or_else(|| lossy(&subject, row, now))
        .or_else(|| unplaced(&subject, row, ledger))
        .or_else(|| clock(&subject, row, ledger))
        .or_else(|| odd_clocks(&subject, row, ledger))
        .or_else(|| silent_series(&subject, row, ledger))
        .or_else(|| rejected(&subject, row, now))
        .unwrap_or_else(|| well(&subject, &speech(row, &silence)))
}

/// All that is wrong with one source, the worst first: what of it was not taken is told beside what it is like now.
fn in_detail(row: &SourceRow, ledger: &Ledger, now: Time) -> Vec<Checked> {
    let subject = format!("source {}", row.name);
    let mut all = vec![source(row, ledger, now)];
    let counts = [lossy, rejected, sent_back].map(|count| count(&subject, row, now));
    for told in counts.into_iter().flatten() {
        if !all.contains(&told) {
            all.push(told);
        }
    }
    all
}

/// What is said of a source that does what it should.
fn speech(row: &SourceRow, silence: &str) -> String {
    if row.health != SourceHealth::Silent {
        return format!("{} taken, the last {silence} ago", row.taken);
    }
    let pause = row.pace.longest_ms.map_or_else(
        || "it was heard once so far".to_owned(),
        |ms| format!("its longest pause so far: {}", age(ms)),
    );
    format!("{} taken, last heard {silence} ago ({pause})", row.taken)
}

/// What is said of a source from which nothing that can be used comes; `None` when something does.
fn mute(subject: &str, row: &SourceRow, silence: &str, now: Time) -> Option<Checked> {
    Some(match row.health {
        SourceHealth::Failed => {
            let advice = "it tries again by itself: put right what it says";
            let heard = match silence {
                "" => "; nothing came since the daemon was started".to_owned(),
                silence => format!("; last heard {silence} ago"),
            };
            broken(subject, &format!("{}{heard}", row.detail), advice)
        }
        SourceHealth::Blind if row.last_seen.is_none() => {
            let found = "it should speak, and was never heard since the daemon was started";
            let advice = format!("see whether its sender runs and reaches {}", row.detail);
            broken(subject, found, &advice)
        }
        SourceHealth::Blind => {
            let usual = row.pace.usual_ms.map_or_else(String::new, |ms| {
                format!(", usually again within {}", age(ms))
            });
            let found = format!("last heard {silence} ago{usual}: we are blind on it");
            let advice = format!("see whether its sender runs and reaches {}", row.detail);
            broken(subject, &found, &advice)
        }
        SourceHealth::Rejecting => {
            let why = last_refusal(row, None, now);
            let found = format!("nothing of what it sends can be used: {why}");
            broken(subject, &found, SET_RIGHT)
        }
        SourceHealth::Waiting => {
            // What was told before a restart is counted no more.
            let heard = match silence {
                "" => String::new(),
                silence => format!("; last heard {silence} ago"),
            };
            let found = format!(
                "nothing came since the daemon was started, at {}{heard}",
                row.detail
            );
            well(subject, &found)
        }
        SourceHealth::Live | SourceHealth::Silent => return None,
    })
}

/// What was lost because it came faster than it could be taken.
fn lossy(subject: &str, row: &SourceRow, now: Time) -> Option<Checked> {
    let lost = (row.dropped > 0).then(|| counted(row.dropped, "signal was", "signals were"))?;
    let advice = "let it send less, or by a way that waits (TCP instead of UDP)";
    let why = last_refusal(row, row.last_of.dropped.as_ref(), now);
    let found = format!("{lost} lost since the daemon was started: {why}");
    Some(warn(subject, &found, advice))
}

/// Whether it brings more series than there is room for.
fn unplaced(subject: &str, row: &SourceRow, ledger: &Ledger) -> Option<Checked> {
    let worst = ledger.of_source(&row.name)?.unplaced.iter();
    let worst: Vec<String> = worst
        .map(|metric| format!("{} ({})", metric.what, metric.count))
        .collect();
    if worst.is_empty() {
        return None;
    }
    let found = format!(
        "new series of it find no place, most of {}",
        worst.join(", ")
    );
    let advice = "let its senders leave out labels that differ each time, or raise `engine.series_max` or `engine.source_share_max`";
    Some(warn(subject, &found, advice))
}

/// Which of those it tells of have another time than everybody else.
fn odd_clocks(subject: &str, row: &SourceRow, ledger: &Ledger) -> Option<Checked> {
    let odd = &ledger.of_source(&row.name)?.odd_clocks;
    let named = odd.iter().take(NAMED_MAX);
    let named: Vec<String> = named
        .map(|of| match of.skew_ms {
            Some(lag_ms @ ..0) => format!("{} is {} ahead", of.entity, age(-lag_ms)),
            Some(lag_ms) => format!("{} is {} late", of.entity, age(lag_ms)),
            None => of.entity.to_string(),
        })
        .collect();
    if named.is_empty() {
        return None;
    }
    let count = counted(odd.len() as u64, "sender has", "senders have");
    let found = format!("{count} another time: {}", named.join(", "));
    let advice = "set their clocks by NTP; what is late may also wait in a queue";
    Some(warn(subject, &found, advice))
}

/// Whether many of its series went silent.
fn silent_series(subject: &str, row: &SourceRow, ledger: &Ledger) -> Option<Checked> {
    let known = ledger.of_source(&row.name)?;
    if known.silent as f64 <= known.series as f64 * SILENT_PART_MAX {
        return None;
    }
    let missed = known.missed.iter().take(NAMED_MAX);
    let names: Vec<String> = missed.map(|missed| missed.entity.to_string()).collect();
    let found = format!(
        "{} of {} silent, most of {}",
        known.silent,
        counted(known.series, "series is", "series are"),
        names.join(", ")
    );
    let advice = "see whether these are gone for good or cannot be reached";
    Some(warn(subject, &found, advice))
}

/// What of it could not be used.
fn rejected(subject: &str, row: &SourceRow, now: Time) -> Option<Checked> {
    let count = (row.rejected > 0).then(|| counted(row.rejected, "item was", "items were"))?;
    let why = last_refusal(row, row.last_of.rejected.as_ref(), now);
    let found = format!("{count} rejected since the daemon was started: {why}");
    Some(warn(subject, &found, SET_RIGHT))
}

/// What its senders keep and send again.
fn sent_back(subject: &str, row: &SourceRow, now: Time) -> Option<Checked> {
    let signals = (row.refused > 0).then(|| counted(row.refused, "signal", "signals"));
    let requests =
        (row.unread > 0).then(|| counted(row.unread, "unread request", "unread requests"));
    let counts: Vec<String> = signals.into_iter().chain(requests).collect();
    if counts.is_empty() {
        return None;
    }
    let (count, last) = (counts.join(" and "), row.last_of.sent_back.as_ref());
    let why = last_refusal(row, last, now);
    let found = format!("{count} sent back since the daemon was started: {why}");
    let advice = "senders that try again lose nothing; if it goes on, let them send less";
    Some(warn(subject, &found, advice))
}

/// How long ago something was refused last, and why: what happened once last night is another matter than what happens.
/// Of `its` kind, if that is known.
fn last_refusal(row: &SourceRow, its: Option<&LastRefusal>, now: Time) -> String {
    let told = its.or(row.last_refusal.as_ref());
    told.map_or_else(String::new, |refusal| {
        format!(
            "the last {} ago, {}",
            age(now.since(refusal.at)),
            refusal.why
        )
    })
}

/// How late its data is, as far as it is taken: what was refused may have any time, and is told apart.
fn lag_ms(ledger: Option<&Ledger>, row: &SourceRow) -> Option<i64> {
    let known = ledger.and_then(|ledger| ledger.of_source(&row.name));
    row.pace.lag_ms(known.and_then(|known| known.lag_ms))
}

/// Whether its times are ours; `None` when they are.
fn clock(subject: &str, row: &SourceRow, ledger: &Ledger) -> Option<Checked> {
    let lag_ms = lag_ms(Some(ledger), row)?;
    let (found, advice) = if lag_ms >= WRONG_MS {
        let found = format!(
            "what it sends is dated {} or more ago when it comes: its clock is wrong, or it sends what it kept",
            age(lag_ms)
        );
        let advice = "set its clock by NTP, and look at the queue of its sender";
        (found, advice)
    } else if lag_ms <= -WRONG_MS {
        let found = format!(
            "its clock is wrong: what it sends is dated {} or more from now",
            age(-lag_ms)
        );
        let advice = "set its clock by NTP, and look at the unit of the times it sends";
        (found, advice)
    } else if lag_ms > LAG_MS_MAX {
        let found = format!("its data is {} old when it comes", age(lag_ms));
        let advice = "compare its clock (NTP), and look at the queue of its sender";
        (found, advice)
    } else if lag_ms < -AHEAD_MS_MAX {
        let found = format!("its clock is {} ahead of ours", age(-lag_ms));
        (found, "set both clocks by NTP")
    } else {
        return None;
    };
    Some(warn(subject, &found, advice))
}

/// What the engine could not use.
fn refusals(ledger: &Ledger) -> Vec<Checked> {
    let told = ledger.refused.iter().map(|refused| {
        let reason = Refused::ALL.into_iter();
        let reason = reason.filter(|reason| reason.as_str() == refused.what);
        // A newer daemon may have reasons that are not known here.
        let advice = match &*refused.what {
            ENTITIES_FULL => ON_ENTITIES_FULL,
            _ => reason.map(on_refused).next().unwrap_or(SET_RIGHT),
        };
        let found = format!(
            "{} refused since the daemon was started: {}",
            refused.count, refused.what
        );
        warn("engine", &found, advice)
    });
    told.collect()
}

/// What to do about what the engine refuses for a reason.
const fn on_refused(reason: Refused) -> &'static str {
    match reason {
        Refused::Skew => "set the senders' clocks by NTP, or raise `engine.clock_skew_s_max`",
        Refused::Late | Refused::Duplicate => {
            "nothing, if it is little: senders repeat what was not confirmed in time"
        }
        Refused::NotFinite => "let its sender leave the value out: infinity cannot be judged",
        Refused::SeriesMax => {
            "raise `engine.series_max`, or send less of what is named with its source"
        }
        Refused::SourceSeriesMax => {
            "raise `engine.source_share_max`, or send less of what is named with its source"
        }
        Refused::AlertsMax => {
            "these alerts are lost: raise `engine.alerts_max`, or group them where they are made"
        }
        Refused::NoEntity => "name a service or a host in its labels; docs/sources.md lists which",
        Refused::SpansMax => {
            "these spans are lost: let their senders keep fewer traces (sample), and send each trace's spans together"
        }
    }
}

fn page(report: &Report, entities: &str, now: Time) -> String {
    let mut text = String::new();
    if !report.sources.is_empty() {
        let mut table = Table::new([
            "SOURCE", "STATE", "LAST", "USUALLY", "PER MIN", "LAG", "GAPS", "TAKEN", "REJECTED",
            "DROPPED",
        ]);
        for row in &report.sources {
            let or_none = |ms: Option<i64>| ms.map_or_else(|| "-".to_owned(), age);
            table.row([
                safe(&row.name),
                format!("{:?}", row.health).to_lowercase(),
                or_none(row.last_seen.map(|seen| now.since(seen))),
                or_none(row.pace.usual_ms),
                row.pace
                    .per_minute
                    .map_or_else(|| "-".to_owned(), |n| n.to_string()),
                or_none(lag_ms(report.ledger.as_ref(), row)),
                row.pace.gaps.to_string(),
                row.taken.to_string(),
                row.rejected.to_string(),
                row.dropped.to_string(),
            ]);
        }
        text.push_str(&table.render());
        line(&mut text, "");
    }
    if !entities.is_empty() {
        text.push_str(entities);
        line(&mut text, "");
    }
    let mut checks: Vec<&Checked> = report.checks.iter().collect();
    checks.sort_by_key(|check| std::cmp::Reverse(check.verdict));
    for check in checks {
        let (word, style) = match check.verdict {
            Verdict::Well => ("well   ", Style::Green),
            Verdict::Warning => ("warning", Style::Yellow),
            Verdict::Broken => ("BROKEN ", Style::Red),
        };
        let found = safe(&check.found);
        line(
            &mut text,
            &format!("{}  {}: {found}", styled(word, style), safe(&check.subject)),
        );
        if !check.advice.is_empty() {
            line(&mut text, &format!("         {}", safe(&check.advice)));
        }
    }
    text
}

/// A length of time, to two digits or so.
fn age(ms: i64) -> String {
    if ms <= -1_000 {
        // A clock ahead of ours.
        return format!("-{}", age(ms.saturating_neg()));
    }
    match ms {
        ..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{} s", ms / 1_000),
        60_000..3_600_000 => format!("{} min", ms / 60_000),
        _ => format!("{} h", ms / 3_600_000),
    }
}

fn well(subject: &str, found: &str) -> Checked {
    checked(subject, Verdict::Well, found, "")
}

fn warn(subject: &str, found: &str, advice: &str) -> Checked {
    checked(subject, Verdict::Warning, found, advice)
}

fn broken(subject: &str, found: &str, advice: &str) -> Checked {
    checked(subject, Verdict::Broken, found, advice)
}

fn checked(subject: &str, verdict: Verdict, found: &str, advice: &str) -> Checked {
    let [subject, found, advice] = [subject, found, advice].map(str::to_owned);
    Checked {
        subject,
        verdict,
        found,
        advice,
    }
}

#[cfg(test)]
mod tests;

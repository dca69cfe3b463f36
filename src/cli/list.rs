//! Lists: incidents, alerts, runbooks, and the raw watch stream.

use clap::Args;

use super::Common;
use super::output::{
    Failure, Style, Table, age, clock, incident_number, line, print, print_json, print_json_on,
    priority, safe, styled,
};
use super::place::client;
use crate::api::client::IncidentQuery;
use crate::api::filter::{Filter, INCIDENT_FIELDS};
use crate::api::{Page, View, WatchMessage};
use crate::model::{
    AlertRow, Fingerprint, HeldBack, IncidentId, IncidentRow, Phase, SourceRow, Time,
};

/// Alerts on one page.
const ALERTS_PAGE: usize = 200;
/// Receivers that take alerts, by their names.
const ALERT_SOURCES: [&str; 3] = ["alerts", "notifications", "pagerduty"];
/// A suspect less likely than this is none, as on the console.
const SUSPECT_MIN: f32 = 0.05;

/// `stormglass incidents`
#[derive(Debug, Args)]
pub struct IncidentsArgs {
    /// Resolved ones too
    #[arg(long)]
    all: bool,
    /// Only those that pass this filter, as the console takes it: words any of which may name a field,
    /// `service:cart !owner:mia`; an incident is found by every entity it touches
    #[arg(long, short, value_name = "TEXT")]
    filter: Option<String>,
}

/// `stormglass alerts`
#[derive(Debug, Args)]
pub struct AlertsArgs {
    /// Only those of this incident
    #[arg(long, value_name = "ID", value_parser = incident_number)]
    incident: Option<u64>,
    /// Only those held back
    #[arg(long)]
    held: bool,
    /// At most this many
    #[arg(long, default_value_t = ALERTS_PAGE)]
    limit: usize,
}

/// Lists incidents, the most urgent first.
pub async fn incidents(common: &Common, args: &IncidentsArgs) -> Result<(), Failure> {
    let client = client(common)?;
    let now = client.view().await?.at;
    let filter = Filter::parse(args.filter.as_deref().unwrap_or_default());
    if let Some(advice) = filter.advice(&INCIDENT_FIELDS) {
        let failure = Failure::new(format!("--filter: there is {advice}"));
        failure.warn("what was given is looked for as it stands");
    }
    let mut query = IncidentQuery {
        all: args.all,
        contains: args.filter.clone(),
        after: None,
        limit: None,
    };
    let mut rows: Vec<IncidentRow> = Vec::new();
    loop {
        let page = client.incidents(&query).await?;
        query.after = page.items.last().map(|row| row.id);
        rows.extend(page.items);
        if page.next.is_none() {
            break;
        }
    }
    rows.sort_by(IncidentRow::by_urgency);
    if common.json {
        return print_json(&rows);
    }
    if rows.is_empty() {
        return print("no incidents\n");
    }
    print(&incident_table(&rows, now).render_cut())
}

fn incident_table(rows: &[IncidentRow], now: Time) -> Table {
    let mut table = Table::new([
        "ID", "P", "STATE", "WHERE", "AGE", "OWNER", "SUSPECT", "PLAN", "WHAT",
    ]);
    for row in rows {
        let named = row
            .suspect
            .as_ref()
            .filter(|(_, sure)| *sure >= SUSPECT_MIN);
        let suspect = named.map(|(entity, confidence)| {
            format!("{} {:.0}%", safe(entity.as_str()), confidence * 100.0)
        });
        let plan = row
            .plan
            .as_ref()
            .map(|(id, state)| format!("{} {}", id.0, safe(state)));
        let phase = match row.phase {
            Phase::Open => Style::Bold,
            Phase::Acknowledged | Phase::Mitigated => Style::Plain,
            Phase::Resolved => Style::Dim,
        };
        table.row([
            row.id.0.to_string(),
            priority(row.severity),
            styled(row.state_word(), phase),
            safe(row.entity.as_str()),
            age(row.began, row.resolved.unwrap_or(now)),
            row.owner.as_deref().map_or_else(dash, safe),
            suspect.unwrap_or_else(dash),
            plan.unwrap_or_else(dash),
            safe(&row.title),
        ]);
    }
    table
}

/// Lists alerts.
pub async fn alerts(common: &Common, args: &AlertsArgs) -> Result<(), Failure> {
    let client = client(common)?;
    let incident = args.incident.map(IncidentId);
    let mut rows: Vec<AlertRow> = Vec::new();
    let mut after: Option<Fingerprint> = None;
    let total = loop {
        let wanted = args.limit.saturating_sub(rows.len()).clamp(1, ALERTS_PAGE);
        let Page { items, next, total } = client.alerts(incident, after, wanted).await?;
        after = items.last().map(|row| row.fingerprint);
        let is_wanted = |row: &AlertRow| !args.held || row.held.is_some();
        rows.extend(items.into_iter().filter(is_wanted));
        if next.is_none() || rows.len() >= args.limit {
            break total;
        }
    };
    if common.json {
        return print_json(&rows);
    }
    let view = client.view().await?;
    if rows.is_empty() {
        return print(&no_alerts(args, &view));
    }
    let now = view.at;
    let mut table = Table::new(["ALERT", "P", "STATE", "WHERE", "AGE", "INCIDENT", "WHAT"]);
    for row in &rows {
        let state = match &row.held {
            Some(held) => held.stage.as_str(),
            None if row.flapping => "flapping",
            None if row.firing && row.unheard.is_some() => "stale",
            None if row.firing => "firing",
            None => "resolved",
        };
        let held = row.held.as_ref().map(|held| held_words(held, now));
        let unheard = row.unheard.as_ref().map(|unheard| safe(&unheard.why));
        let more = held.or(unheard);
        let more = more.map_or_else(String::new, |more| format!(" [{more}]"));
        let what = format!("{}{more}", safe(&row.summary));
        table.row([
            safe(row.labels.get("alertname").unwrap_or("unnamed alert")),
            priority(row.severity),
            state.to_owned(),
            safe(row.entity.as_str()),
            age(row.starts_at, now),
            row.incident.map_or_else(dash, |id| id.to_string()),
            what,
        ]);
    }
    let mut text = table.render_cut();
    if (rows.len() as u64) < total && !args.held {
        let shown = rows.len();
        line(
            &mut text,
            &format!("{shown} of {total}; see more with --limit"),
        );
    }
    print(&text)
}

/// That there is nothing to list, and where alerts would come from.
fn no_alerts(args: &AlertsArgs, view: &View) -> String {
    match (args.incident, args.held) {
        (Some(id), false) => return format!("no alerts in {}\n", IncidentId(id)),
        (Some(id), true) => return format!("no alerts of {} are held back\n", IncidentId(id)),
        (None, true) => return "no alerts are held back\n".to_owned(),
        (None, false) => {}
    }
    let mut text = "no alerts\n".to_owned();
    let takes_alerts = |row: &&SourceRow| ALERT_SOURCES.contains(&&*row.name);
    for row in view.sources.values().filter(takes_alerts) {
        let heard = row.last_seen.map_or_else(
            || "nothing was sent since the daemon was started".to_owned(),
            |at| format!("the last came {} ago", age(at, view.at)),
        );
        let (name, place) = (safe(&row.name), safe(&row.detail));
        line(&mut text, &format!("{name}: {heard}; send to {place}"));
    }
    text
}

/// Why an alert is held back, and until when.
pub(super) fn held_words(held: &HeldBack, now: Time) -> String {
    let until = held.until.map_or_else(String::new, |until| {
        format!(", until {}", clock(until, now))
    });
    format!("{}{until}", safe(&held.why))
}

/// Lists runbooks.
pub async fn runbooks(common: &Common) -> Result<(), Failure> {
    let rows = client(common)?.runbooks(None).await?;
    if common.json {
        return print_json(&rows);
    }
    let mut table = Table::new(["RUNBOOK", "RISK", "WHAT IT DOES"]);
    for row in &rows {
        table.row([
            safe(&row.name),
            row.risk.as_str().to_owned(),
            safe(&row.title),
        ]);
    }
    print(&table.render())
}

/// Prints the watch stream as it comes.
pub async fn watch(common: &Common) -> Result<(), Failure> {
    let mut watch = client(common)?.watch().await?;
    while let Some(message) = watch.next().await? {
        if matches!(message, WatchMessage::Heartbeat { .. }) && !common.json {
            continue;
        }
        if !print_json_on(&message)? {
            return Ok(());
        }
    }
    Err(Failure::new("the daemon ended the stream"))
}

pub(super) fn dash() -> String {
    "-".to_owned()
}

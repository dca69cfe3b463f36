//! What need not be told: silences, maintenance windows, and the stages that hold alerts back.
//!
//! Before anything is silenced it is said what that hides now, and would have hidden in the last week.

use clap::{Args, Subcommand};

use super::Common;
use super::act::give;
use super::output::{Failure, Table, age, clock, line, print, print_json, safe};
use super::place::client;
use super::replay::moment;
use crate::api::client::Client;
use crate::model::{
    Command, LabelFilter, MaintenanceRow, Severity, Silence, SilenceId, SilenceKind,
    SilencePreview, SilenceSpec, SilenceState, StageRow, Time, counted, spelled,
};

/// How long a silence lasts when nothing is said.
const LASTS_MS: i64 = 3_600_000;
/// A day, in milliseconds.
const DAY_MS: i64 = 24 * 3_600_000;

/// `stormglass silence`
#[derive(Debug, Args)]
pub struct SilenceArgs {
    #[command(subcommand)]
    what: SilenceCmd,
}

#[derive(Debug, Subcommand)]
enum SilenceCmd {
    /// Hold back alerts whose labels fit every matcher
    Add(AddArgs),
    /// List silences: what, until when, by whom, why, and what they hide
    List(ListArgs),
    /// End a silence
    Expire(ExpireArgs),
    /// Say what a silence would hide now, and would have hidden in the last week
    Preview(PreviewArgs),
}

/// `stormglass maintenance`
#[derive(Debug, Args)]
pub struct MaintenanceArgs {
    #[command(subcommand)]
    what: MaintenanceCmd,
}

#[derive(Debug, Subcommand)]
enum MaintenanceCmd {
    /// Open a window by hand
    Open(AddArgs),
    /// Close one that was opened by hand
    Close(ExpireArgs),
    /// List windows: those of the config and those opened by hand
    List(ListArgs),
}

/// A new silence, or a change of one.
#[derive(Debug, Args)]
struct AddArgs {
    /// Matchers as Alertmanager writes them: service=cart, env!=prod, pod=~"web-.*"
    #[arg(required = true, value_name = "MATCHER", value_parser = matchers)]
    matchers: Vec<Matchers>,
    /// Why
    #[arg(long, short)]
    reason: String,
    /// How long, such as 90m, 2h or 1d12h; default: 1h
    #[arg(long = "for", value_name = "TIME", value_parser = duration_ms, conflicts_with = "until")]
    lasts_ms: Option<i64>,
    /// Until when, like 2026-11-21T03:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Time>,
    /// From when, like 2026-11-21T03:00:00Z; default: now
    #[arg(long, value_name = "TIME", value_parser = moment)]
    starts: Option<Time>,
    /// End it once everything it hid has resolved
    #[arg(long)]
    until_resolved: bool,
    /// Change this one instead of making another
    #[arg(long, value_name = "ID", value_parser = silence_number)]
    change: Option<u64>,
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Those over as well
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Args)]
struct ExpireArgs {
    /// Number of the silence
    #[arg(value_parser = silence_number)]
    id: u64,
}

#[derive(Debug, Args)]
struct PreviewArgs {
    /// Matchers as Alertmanager writes them: service=cart, env!=prod, pod=~"web-.*"
    #[arg(required = true, value_name = "MATCHER", value_parser = matchers)]
    matchers: Vec<Matchers>,
}

/// What one argument holds: one matcher, or several with commas.
type Matchers = std::sync::Arc<[LabelFilter]>;

fn matchers(text: &str) -> Result<Matchers, String> {
    LabelFilter::parse_all(text).map(Into::into)
}

fn silence_number(text: &str) -> Result<u64, String> {
    let id = SilenceId::parse(text);
    id.map(|id| id.0).ok_or_else(|| {
        "that is no silence: give its number, as `stormglass silence list` lists it".to_owned()
    })
}

/// Reads `90m`, `2h`, `1d12h`.
fn duration_ms(text: &str) -> Result<i64, String> {
    let unknown = || format!("{text:?} is no length of time: write 90m, 2h or 1d12h");
    let mut total_ms: i64 = 0;
    let mut number = String::new();
    for c in text.chars() {
        let unit_ms = match c {
            '0'..='9' => {
                number.push(c);
                continue;
            }
            's' => 1_000,
            'm' => 60_000,
            'h' => 3_600_000,
            'd' => DAY_MS,
            'w' => 7 * DAY_MS,
            _ => return Err(unknown()),
        };
        let count: i64 = number.parse().map_err(|_| unknown())?;
        let part_ms = count.checked_mul(unit_ms).ok_or_else(unknown)?;
        total_ms = total_ms.checked_add(part_ms).ok_or_else(unknown)?;
        number.clear();
    }
    if total_ms == 0 || !number.is_empty() {
        return Err(unknown());
    }
    Ok(total_ms)
}

pub async fn silence(common: &Common, args: &SilenceArgs) -> Result<(), Failure> {
    match &args.what {
        SilenceCmd::Add(args) => add(common, args, SilenceKind::Silence).await,
        SilenceCmd::List(args) => list(common, args).await,
        SilenceCmd::Expire(args) => expire(common, args).await,
        SilenceCmd::Preview(args) => preview(common, args).await,
    }
}

pub async fn maintenance(common: &Common, args: &MaintenanceArgs) -> Result<(), Failure> {
    match &args.what {
        MaintenanceCmd::Open(args) => add(common, args, SilenceKind::Maintenance).await,
        MaintenanceCmd::Close(args) => expire(common, args).await,
        MaintenanceCmd::List(args) => windows(common, args).await,
    }
}

/// Lists the stages that signals go through.
pub async fn stages(common: &Common) -> Result<(), Failure> {
    let rows = client(common)?.stages().await?;
    if common.json {
        return print_json(&rows);
    }
    print(&stage_table(&rows).render())
}

fn stage_table(rows: &[StageRow]) -> Table {
    let mut table = Table::new(["STAGE", "TOTAL", "NOW", "TOLD LATE", "OF", "WHAT IT DOES"]);
    let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
    for row in rows {
        table.row([
            row.name.to_string(),
            row.total.to_string(),
            number(row.now),
            number(row.told_late),
            row.of.to_string(),
            row.what.to_string(),
        ]);
    }
    table
}

async fn add(common: &Common, args: &AddArgs, kind: SilenceKind) -> Result<(), Failure> {
    let client = client(common)?;
    let now = client.view().await?.at;
    let starts_at = args.starts;
    let from = starts_at.unwrap_or(now).max(now);
    let ends_at = args
        .until
        .unwrap_or_else(|| from.plus_ms(args.lasts_ms.unwrap_or(LASTS_MS)));
    let matchers = flat(&args.matchers);
    let preview = client.preview_silence(&matchers).await?;
    let spec = SilenceSpec {
        id: args.change.map(SilenceId),
        kind,
        matchers,
        starts_at,
        ends_at,
        until_resolved: args.until_resolved,
        reason: args.reason.clone(),
    };
    let (spec, twin) = (Box::new(spec), None);
    let reply = client.command(&Command::Silence { spec, twin }).await?;
    if common.json {
        print_json(&reply)?;
    }
    match (reply.refused, reply.silence) {
        (Some(refusal), _) => Err(Failure::new(format!("refused: {refusal}"))),
        _ if common.json => Ok(()),
        (None, id) => {
            let id = id.map_or_else(String::new, |id| format!(" {}", id.0));
            let (kind, until) = (kind.as_str(), clock(ends_at, now));
            let left = spelled(ends_at.since(now));
            let resolved = if args.until_resolved {
                ", or until what it hides has resolved"
            } else {
                ""
            };
            let mut text = format!("{kind}{id} holds back until {until} (in {left}){resolved}\n");
            line(&mut text, &preview_text(&preview));
            print(&text)
        }
    }
}

async fn expire(common: &Common, args: &ExpireArgs) -> Result<(), Failure> {
    let silence = SilenceId(args.id);
    let done = format!("{silence} is over: people are told of its alerts that still fire");
    give(common, Command::Expire { silence }, &done).await
}

async fn preview(common: &Common, args: &PreviewArgs) -> Result<(), Failure> {
    let preview = client(common)?
        .preview_silence(&flat(&args.matchers))
        .await?;
    if common.json {
        return print_json(&preview);
    }
    print(&format!("{}\n", preview_text(&preview)))
}

fn flat(matchers: &[Matchers]) -> Vec<LabelFilter> {
    matchers
        .iter()
        .flat_map(|some| some.iter().cloned())
        .collect()
}

/// What is hidden now and in hindsight, in a few lines.
fn preview_text(preview: &SilencePreview) -> String {
    let alerts = |alerts: &[(Severity, u32)]| {
        let total: u32 = alerts.iter().map(|(_, count)| count).sum();
        let said = counted(u64::from(total), "alert", "alerts");
        let critical = critical(alerts).map_or_else(String::new, |n| match total {
            1 => ", which is critical".to_owned(),
            _ => format!(", {n} of them critical"),
        });
        said + &critical
    };
    let mut lines = vec![format!("now it hides {}", alerts(&preview.now))];
    if preview.incidents > 0 {
        let many = u64::from(preview.incidents);
        let incidents = counted(many, "open incident", "open incidents");
        lines.push(format!("and with that all that is known of {incidents}"));
    }
    let back = spelled(preview.looked_back_ms);
    let past = alerts(&preview.past);
    lines.push(format!("in the last {back} it would have hidden {past}"));
    if let Some(count) = critical(&preview.past) {
        let past = counted(
            u64::from(count),
            "past critical alert",
            "past critical alerts",
        );
        lines.push(format!("WARNING: hides {past}"));
    }
    if preview.findings_now > 0 || preview.findings_past > 0 {
        let [now, past] = [preview.findings_now, preview.findings_past].map(u64::from);
        let now = counted(now, "finding", "findings");
        lines.push(format!(
            "and keeps {now} from opening incidents now, {past} in the last {back}"
        ));
    }
    if !preview.names.is_empty() {
        let names: Vec<String> = preview.names.iter().map(|name| safe(name)).collect();
        lines.push(format!("alerts: {}", names.join(", ")));
    }
    lines.join("\n")
}

/// How many alerts are critical, if any are.
fn critical(alerts: &[(Severity, u32)]) -> Option<u32> {
    let of =
        |(severity, count): &(Severity, u32)| (*severity == Severity::Critical).then_some(*count);
    alerts.iter().find_map(of)
}

/// A length of time, coarsely: `45s`, `12m`, `3h`, `4d`.
fn span(ms: i64) -> String {
    age(Time::ZERO, Time::from_ms(ms))
}

async fn list(common: &Common, args: &ListArgs) -> Result<(), Failure> {
    let client = client(common)?;
    let rows = shown(&client, args, None).await?;
    if common.json {
        return print_json(&rows);
    }
    if rows.is_empty() {
        return print("no silences\n");
    }
    let now = client.view().await?.at;
    print(&silence_table(&rows, now).render())
}

/// Silences, of a kind if given; those over only when asked for.
async fn shown(
    client: &Client,
    args: &ListArgs,
    kind: Option<SilenceKind>,
) -> Result<Vec<Silence>, Failure> {
    let mut rows = client.silences().await?;
    rows.retain(|silence| {
        (args.all || silence.state != SilenceState::Expired)
            && kind.is_none_or(|kind| silence.kind == kind)
    });
    rows.sort_by_key(|silence| (silence.state, silence.ends_at));
    Ok(rows)
}

fn silence_table(rows: &[Silence], now: Time) -> Table {
    let mut table = Table::new(["ID", "STATE", "ENDS", "HIDES", "WHO", "MATCHERS", "WHY"]);
    for silence in rows {
        let ends = match silence.state {
            SilenceState::Expired => format!("{} ago", age(silence.ends_at, now)),
            SilenceState::Pending => format!("begins in {}", span(silence.starts_at.since(now))),
            SilenceState::Active if silence.ends_soon => {
                format!("in {} ENDS SOON", span(silence.ends_at.since(now)))
            }
            SilenceState::Active => format!("in {}", span(silence.ends_at.since(now))),
        };
        let ends = if silence.until_resolved && silence.state != SilenceState::Expired {
            format!("{ends} or resolved")
        } else {
            ends
        };
        let kind = match silence.kind {
            SilenceKind::Silence => silence.state.as_str().to_owned(),
            SilenceKind::Maintenance => format!("{} maintenance", silence.state.as_str()),
        };
        let twins: Vec<String> = silence
            .twins
            .iter()
            .map(|twin| format!(" (also in {})", safe(&twin.alertmanager)))
            .collect();
        table.row([
            silence.id.0.to_string(),
            kind,
            ends,
            hidden(silence),
            safe(&silence.author),
            safe(&silence.matchers_text()),
            format!("{}{}", safe(&silence.reason), twins.concat()),
        ]);
    }
    table
}

/// What it holds back now, of all it ever did: alerts, and findings that would open incidents.
fn hidden(silence: &Silence) -> String {
    let (alerts, findings) = (silence.hides, silence.hides_findings);
    let all = alerts + findings;
    let of_those = match (alerts, findings) {
        (_, 0) => String::new(),
        (0, _) => " (findings)".to_owned(),
        _ => format!(" ({})", counted(u64::from(findings), "finding", "findings")),
    };
    format!("{all} of {}{of_those}", silence.hidden_total)
}

async fn windows(common: &Common, args: &ListArgs) -> Result<(), Failure> {
    let client = client(common)?;
    let configured = client.maintenance().await?;
    let by_hand = shown(&client, args, Some(SilenceKind::Maintenance)).await?;
    if common.json {
        return print_json(&serde_json::json!({ "configured": configured, "by_hand": by_hand }));
    }
    if configured.is_empty() && by_hand.is_empty() {
        return print("no maintenance windows\n");
    }
    let now = client.view().await?.at;
    let mut text = String::new();
    if !configured.is_empty() {
        text.push_str(&window_table(&configured, now).render());
    }
    if !by_hand.is_empty() {
        text.push_str(&silence_table(&by_hand, now).render());
    }
    print(&text)
}

fn window_table(rows: &[MaintenanceRow], now: Time) -> Table {
    let mut table = Table::new(["WINDOW", "STATE", "HELD", "MATCHERS", "WHY"]);
    for row in rows {
        let state = match (row.open_until, row.next_opening) {
            (Some(until), _) => format!("open until {}", clock(until, now)),
            (None, Some(next)) => format!("opens {}", clock(next, now)),
            (None, None) => "over".to_owned(),
        };
        let matchers: Vec<String> = row.matchers.iter().map(ToString::to_string).collect();
        table.row([
            safe(&row.name),
            state,
            row.held_total.to_string(),
            safe(&matchers.join(", ")),
            safe(&row.reason),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_as_people_write_them() {
        let cases = [
            ("90s", Some(90_000)),
            ("90m", Some(5_400_000)),
            ("1d12h", Some(36 * 3_600_000)),
            ("1w", Some(7 * DAY_MS)),
            ("2", None),
            ("h", None),
            ("2 h", None),
            ("0m", None),
            ("99999999999999w", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(duration_ms(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn a_preview_warns_in_hindsight() {
        let preview = SilencePreview {
            now: vec![(Severity::Warning, 1)],
            past: vec![(Severity::Critical, 2), (Severity::Warning, 38)],
            looked_back_ms: 7 * DAY_MS,
            names: vec!["SlowCart".into()],
            incidents: 1,
            findings_now: 1,
            findings_past: 4,
        };
        let expected = "now it hides 1 alert\n\
                        and with that all that is known of 1 open incident\n\
                        in the last 7 days it would have hidden 40 alerts, 2 of them critical\n\
                        WARNING: hides 2 past critical alerts\n\
                        and keeps 1 finding from opening incidents now, 4 in the last 7 days\n\
                        alerts: SlowCart";
        assert_eq!(preview_text(&preview), expected);
        let one = SilencePreview {
            now: Vec::new(),
            past: vec![(Severity::Critical, 1)],
            looked_back_ms: 60_000,
            names: Vec::new(),
            incidents: 0,
            findings_now: 0,
            findings_past: 0,
        };
        let expected = "now it hides 0 alerts\n\
                        in the last 1 minute it would have hidden 1 alert, which is critical\n\
                        WARNING: hides 1 past critical alert";
        assert_eq!(preview_text(&one), expected);
    }
}

//! Everything about one incident, on one page.

use clap::Args;
use serde_json::Value;

use super::Common;
use super::output::{
    Failure, Style, age, clock, incident_number, line, print, print_json, priority, safe, styled,
};
use super::place::client;
use crate::api::{IncidentDetail, narrative};
use crate::model::{
    HeldBack, Hypothesis, Incident, IncidentId, PathNode, Phase, Plan, Similar, SuspectRole, Time,
    Told, counted, told,
};
use crate::tui::lasted;

/// Findings printed.
const FINDINGS_SHOWN: usize = 20;
/// Timeline entries printed: how it began …
const TIMELINE_FIRST: usize = 15;
/// … and the latest.
const TIMELINE_LAST: usize = 25;
/// Of many of whom the same is said, so many are named.
const NAMES_MAX: usize = 5;
/// Suspects printed.
const SUSPECTS_SHOWN: usize = 5;

/// `stormglass show`
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Number of the incident
    #[arg(value_parser = incident_number)]
    id: u64,
    /// The whole timeline, however long
    #[arg(long)]
    all: bool,
}

pub async fn run(common: &Common, args: &ShowArgs) -> Result<(), Failure> {
    let client = client(common)?;
    let detail = client.incident(IncidentId(args.id)).await?;
    let now = client.view().await?.at;
    if common.json {
        return print_json(&as_json(&detail)?);
    }
    print(&page(&detail, now, args.all))
}

/// The incident as the API gives it, with the summary in plain words beside it.
fn as_json(detail: &IncidentDetail) -> Result<Value, Failure> {
    let unreadable = |error: serde_json::Error| Failure::new(error.to_string());
    let mut whole = serde_json::to_value(detail).map_err(unreadable)?;
    let words = narrative(&detail.incident, &detail.plans, &|at| at.to_string());
    whole["narrative"] = serde_json::to_value(words).map_err(unreadable)?;
    Ok(whole)
}

fn page(detail: &IncidentDetail, now: Time, all: bool) -> String {
    let mut text = head(&detail.incident, now);
    let told = narrative(&detail.incident, &detail.plans, &|at| clock(at, now));
    section(&mut text, "In words", told.iter(), |words| safe(words));
    let why = (!detail.incident.priority_why.is_empty()).then_some(&detail.incident.priority_why);
    let priority = priority(detail.incident.severity);
    section(&mut text, "Priority", why.into_iter(), |why| {
        format!("{priority} because of {}", safe(why))
    });
    let home = detail.incident.merged_into;
    // Of what is part of another, that one tells why and what is done.
    let plans: &[Plan] = if home.is_some() {
        &[]
    } else {
        suspects(&mut text, &detail.incident, now);
        &detail.plans
    };
    section(&mut text, "Plans", plans.iter(), |plan| {
        format!(
            "{} {} · {} risk · {} · {} of {} approvals",
            plan.id,
            safe(&plan.title),
            plan.risk.as_str(),
            plan.state.as_str(),
            plan.approvals.len(),
            plan.approvals_needed
        )
    });
    let incident = &detail.incident;
    let findings = incident.findings.iter().take(FINDINGS_SHOWN);
    section(&mut text, "Findings", findings, |finding| {
        let state = match (finding.is_open(), &finding.accepted, home) {
            (true, _, Some(home)) => format!(" (told in {home})"),
            (true, _, None) => String::new(),
            (false, None, _) => " (over)".to_owned(),
            (false, Some(_), _) => " (accepted as normal)".to_owned(),
        };
        format!(
            "{} {}: {}{state} [finding {}]",
            clock(finding.since, now),
            safe(finding.entity.as_str()),
            safe(&finding.text),
            finding.id.0
        ) + &finding
            .explain
            .as_ref()
            .map_or_else(String::new, |why| format!("\n      {}", safe(&why.unusual)))
    });
    section(
        &mut text,
        "Grouped because",
        incident.grouping.iter(),
        |why| safe(why),
    );
    let timeline = timeline(incident, now, all);
    section(&mut text, "Timeline", timeline.iter(), String::clone);
    text
}

/// How it began and what came last, what is said alike of many once; what is left out between is said.
fn timeline(incident: &Incident, now: Time, all: bool) -> Vec<String> {
    let line = |told: &Told<'_>| {
        let (entry, text) = (told.first, told.text());
        let text = if told.is_many() {
            let until = clock(told.until(), now);
            format!("{text} ({}, until {until})", told.names(NAMES_MAX))
        } else {
            text
        };
        format!(
            "{} {:<10} {} {}",
            clock(entry.at, now),
            entry.lane.as_str(),
            safe(&told.whom()),
            safe(&text)
        )
    };
    let mut lines: Vec<String> = told(&incident.timeline).iter().map(line).collect();
    let last = lines.len().saturating_sub(TIMELINE_LAST);
    // The note takes a line as well: one entry is shown rather than left out.
    if !all && last > TIMELINE_FIRST + 1 {
        let left_out = last - TIMELINE_FIRST;
        let note = format!(
            "… {} left out here: --all / --json",
            counted(left_out as u64, "entry", "entries")
        );
        lines.splice(TIMELINE_FIRST..last, [note]);
    }
    if incident.timeline_dropped > 0 {
        lines.push(format!(
            "and {} that did not fit",
            incident.timeline_dropped
        ));
    }
    lines
}

/// Its phase, and since when that is so: an incident that is over did not begin to be over when it began.
fn stood(incident: &Incident, now: Time) -> String {
    if let Some(home) = incident.merged_into {
        let at = incident.resolved.unwrap_or(incident.updated);
        return format!("merged into {home} at {}", clock(at, now));
    }
    if let Some(held) = incident.hidden() {
        let (since, until) = (
            clock(held.since, now),
            held.until_words(|at| clock(at, now)),
        );
        let (how, why) = (held.as_str(), safe(&held.why));
        return format!("{how} since {since}{until} ({why})");
    }
    match (incident.phase, incident.mitigated, incident.resolved) {
        (Phase::Resolved, _, Some(at)) => format!(
            "resolved {} ({} ago, after {})",
            clock(at, now),
            age(at, now),
            lasted(at.since(incident.began))
        ),
        (Phase::Mitigated, Some(at), _) => {
            format!("mitigated since {} ({})", clock(at, now), age(at, now))
        }
        (phase, ..) => phase.as_str().to_owned(),
    }
}

fn head(incident: &Incident, now: Time) -> String {
    let mut text = String::new();
    let title = styled(&safe(&incident.title), Style::Bold);
    line(
        &mut text,
        &format!("{} {} {title}", incident.id, priority(incident.severity)),
    );
    let owner = incident
        .owner
        .as_deref()
        .map_or_else(|| "nobody".to_owned(), safe);
    let (before, over) = if incident.began_before {
        ("before ", "over ")
    } else {
        ("", "")
    };
    line(
        &mut text,
        &format!(
            "{} · on {} · began {before}{} ({over}{} ago) · owner {owner}",
            stood(incident, now),
            safe(incident.entity.as_str()),
            clock(incident.began, now),
            age(incident.began, now)
        ),
    );
    let impact = &incident.impact;
    if incident.merged_into.is_some() {
        return text;
    }
    line(
        &mut text,
        &format!(
            "{} · alerts {} firing of {} · findings {} open of {}",
            counted(impact.entities.into(), "entity", "entities"),
            impact.alerts_firing,
            all_alerts(incident),
            impact.findings_open,
            impact.findings_total
        ),
    );
    text
}

/// A past incident that looked alike, with what was done and whether it helped.
fn before(past: &Similar, now: Time) -> String {
    let cause = match &past.cause {
        Some(cause) => format!(", caused by {}", safe(cause.as_str())),
        None => String::new(),
    };
    let done = past.done.iter().map(|done| {
        let helped = if done.helped {
            "helped"
        } else {
            "did not help"
        };
        format!("; {} {helped}", safe(&done.title))
    });
    format!(
        "{} on {}, {:.0} % alike: {}{cause}{}",
        past.incident,
        clock(past.began, now),
        past.likeness * 100.0,
        safe(&past.title),
        done.collect::<String>()
    )
}

/// What the catalogue says of a suspect: its team, how much it matters, and its pages.
fn whom(node: &PathNode) -> String {
    let owner = node.owner.as_deref().map(safe);
    let tier = node.tier.map(|tier| format!("tier {tier}"));
    let links = node.links.iter();
    let links = links.map(|(what, page)| format!("{} {}", safe(what), safe(page)));
    let facts: Vec<String> = owner.into_iter().chain(tier).chain(links).collect();
    format!("{}: {}", safe(node.entity.as_str()), facts.join(" · "))
}

fn suspects(text: &mut String, incident: &Incident, now: Time) {
    let diagnosis = &incident.diagnosis;
    section(
        text,
        "Suspects",
        diagnosis.hypotheses.iter().take(SUSPECTS_SHOWN),
        suspect,
    );
    section(text, "Changes", incident.changes.iter().rev(), |change| {
        let (id, state) = (safe(&change.id), change.state.as_str());
        let (at, on) = (clock(change.at, now), change.entity.as_str());
        format!(
            "{at} {} on {} · {state} · {id}",
            safe(&change.named()),
            safe(on)
        )
    });
    let known = incident.path_nodes.iter().filter(|node| {
        node.suspicion > 0.0
            && (node.owner.is_some() || node.tier.is_some() || !node.links.is_empty())
    });
    section(text, "Who to ask", known.take(SUSPECTS_SHOWN), whom);
    if let Some(cause) = &incident.cause {
        let changes = incident.changes.iter();
        let confirmed = changes.filter(|change| cause.change.as_ref() == Some(&change.id));
        let by = { confirmed }
            .next()
            .map_or_else(String::new, |change| format!(", by {}", change.named()));
        let line = format!(
            "{}{}, as {} found",
            safe(cause.entity.as_str()),
            safe(&by),
            safe(&cause.by)
        );
        section(text, "Cause", std::iter::once(line), |line| line);
    }
    section(text, "Seen before", diagnosis.similar.iter(), |past| {
        before(past, now)
    });
    section(
        text,
        "First suspects so far",
        diagnosis.hit_rates.iter(),
        |rate| {
            let kind = safe(&rate.kind).replace('_', " ");
            format!("{kind}: right in {} of {}", rate.right, rate.of)
        },
    );
    let weights = diagnosis.weights;
    let title =
        format!("First suspects so far, by the method that led to them (weights {weights})");
    section(text, &title, diagnosis.method_rates.iter(), |rate| {
        let method = rate.method.as_str();
        format!("{method}: right in {} of {}", rate.right, rate.of)
    });
    section(text, "Not seen so far", diagnosis.not_seen.iter(), |what| {
        safe(what)
    });
}

fn suspect(hypothesis: &Hypothesis) -> String {
    let role = match hypothesis.role {
        SuspectRole::Trigger => "trigger",
        SuspectRole::FirstSymptom => "first symptom",
        SuspectRole::Impact => "impact",
    };
    let mut text = format!(
        "{:.0}% {} ({}, {role})",
        hypothesis.confidence * 100.0,
        safe(hypothesis.suspect.as_str()),
        hypothesis.cause.as_str()
    );
    let marked = |sign, evidence: &crate::model::Evidence| {
        format!("\n      {sign} {}", safe(&evidence.text))
    };
    text.extend(hypothesis.evidence_for.iter().map(|e| marked('+', e)));
    text.extend(hypothesis.evidence_against.iter().map(|e| marked('-', e)));
    text
}

/// A heading and its items, or nothing when there are none.
fn section<T>(
    text: &mut String,
    heading: &str,
    items: impl Iterator<Item = T>,
    show: impl Fn(T) -> String,
) {
    let mut items = items.peekable();
    if items.peek().is_none() {
        return;
    }
    line(text, &format!("\n{}", styled(heading, Style::Bold)));
    for item in items {
        line(text, &format!("  {}", show(item)));
    }
}

/// How many alerts there were, and how many of them fire and are not told, or are not heard of any more.
fn all_alerts(incident: &Incident) -> String {
    let impact = &incident.impact;
    let how = incident
        .held
        .as_deref()
        .map_or("held back", HeldBack::as_str);
    let told = [
        (impact.alerts_held, how),
        (
            impact.alerts_unheard,
            "not heard of any more: the sender fell silent",
        ),
    ];
    let told = told.into_iter().filter(|(count, _)| *count > 0);
    let told: Vec<String> = told
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    if told.is_empty() {
        return impact.alerts_total.to_string();
    }
    format!("{} ({})", impact.alerts_total, told.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EntityId, Lane, TimelineEntry};

    #[test]
    fn what_was_merged_leads_to_its_home() {
        let at = Time::from_secs(1_768_392_000);
        let entity = EntityId::parse("cart");
        let mut incident = Incident::opened(IncidentId(2), entity, at, at);
        // As journals of before keep it.
        incident.impact.alerts_firing = 1;
        incident.impact.alerts_total = 1;
        incident.phase = Phase::Resolved;
        incident.resolved = Some(at.plus_ms(60_000));
        incident.merged_into = Some(IncidentId(1));
        let detail = IncidentDetail {
            incident,
            plans: Vec::new(),
        };
        let shown = page(&detail, at.plus_ms(120_000), false);
        assert!(shown.contains("merged into #1 at "), "{shown}");
        for claim in ["resolved", "fire", "firing", "last", "Plans", "approval"] {
            assert!(!shown.contains(claim), "{claim}: {shown}");
        }
    }

    #[test]
    fn a_storm_of_one_alert_is_one_line_and_json_has_each() {
        let at = Time::from_secs(1_768_392_000);
        let mut incident = Incident::opened(IncidentId(1), EntityId::parse("cart"), at, at);
        let entry = |n: i64| TimelineEntry {
            at: at.plus_ms(n * 1_000),
            lane: Lane::Alert,
            entity: Some(EntityId::parse(&format!("s{n:03}"))),
            text: format!("Storm fires: no answer of s{n:03}").into(),
        };
        incident.timeline = (0..400).map(entry).collect();
        for all in [false, true] {
            let lines = timeline(&incident, at, all);
            assert_eq!(lines.len(), 1, "{lines:?}");
            let said = "400 entities Storm fires: no answer of … (s000, s001, s002, s003, s004 and 395 more, until";
            assert!(lines[0].contains(said), "{lines:?}");
        }
        let detail = IncidentDetail {
            incident,
            plans: Vec::new(),
        };
        let json = as_json(&detail).unwrap()["incident"]["timeline"].to_string();
        assert_eq!(json.matches("Storm fires").count(), 400);
    }

    #[test]
    fn a_long_timeline_keeps_its_beginning_and_says_what_it_leaves_out() {
        let at = Time::from_secs(1_768_392_000);
        let mut incident = Incident::opened(IncidentId(1), EntityId::parse("cart"), at, at);
        let entry = |n: usize| TimelineEntry {
            at,
            lane: Lane::Person,
            entity: None,
            text: format!("note {n}.").into(),
        };
        let cases = [
            (40, 40, None),
            (41, 41, None),
            (42, 41, Some("2 entries")),
            (90, 41, Some("50 entries")),
        ];
        for (count, lines, left_out) in cases {
            incident.timeline = (0..count).map(entry).collect();
            let told = timeline(&incident, at, false);
            assert_eq!(told.len(), lines, "{count}");
            assert!(told[0].ends_with("note 0."), "{told:?}");
            assert!(told[lines - 1].ends_with(&format!("note {}.", count - 1)));
            let note = left_out.map(|n| format!("… {n} left out here: --all / --json"));
            assert_eq!(
                told.iter().find(|line| line.starts_with('…')),
                note.as_ref()
            );
            assert_eq!(timeline(&incident, at, true).len(), count);
        }
        let detail = IncidentDetail {
            incident,
            plans: Vec::new(),
        };
        let json = as_json(&detail).unwrap()["incident"]["timeline"].to_string();
        assert!((0..90).all(|n| json.contains(&format!("note {n}."))));
    }
}

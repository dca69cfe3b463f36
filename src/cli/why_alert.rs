//! Why an alert is told or held back: the stages it went through, in order.

use super::Common;
use super::list::held_words;
use super::output::{Failure, age, print, print_json, safe};
use super::place::client;
use crate::model::{AlertRow, HoldStage, IncidentId, Time};

/// Alerts on one page.
const ALERTS_PAGE: usize = 1_000;
/// Alerts of one name explained.
const SHOWN_MAX: usize = 20;

/// What a stage says of an alert that it lets pass.
const PASSED: [(HoldStage, &str); 5] = [
    (
        HoldStage::Maintenance,
        "no maintenance window is open for it",
    ),
    (HoldStage::Silence, "nobody silenced it"),
    (HoldStage::Inhibition, "no other alert says it already"),
    (
        HoldStage::Blindness,
        "it says more than that nothing is heard, or its source is not blind",
    ),
    (
        HoldStage::Transience,
        "it does not wait for itself to clear",
    ),
];

/// Explains the alerts called `wanted`, or the one with that fingerprint.
pub async fn run(common: &Common, wanted: &str) -> Result<(), Failure> {
    let client = client(common)?;
    let mut found: Vec<AlertRow> = Vec::new();
    let mut after = None;
    while found.len() < SHOWN_MAX {
        let page = client.alerts(None, after, ALERTS_PAGE).await?;
        after = page.items.last().map(|row| row.fingerprint);
        let is_meant = |row: &AlertRow| {
            row.labels.get("alertname") == Some(wanted) || row.fingerprint.to_string() == wanted
        };
        found.extend(page.items.into_iter().filter(is_meant));
        if page.next.is_none() {
            break;
        }
    }
    found.truncate(SHOWN_MAX);
    if common.json {
        return print_json(&found);
    }
    if found.is_empty() {
        return Err(Failure::new(format!("no alert is called {wanted:?}")));
    }
    let now = client.view().await?.at;
    for row in &found {
        let grouped = match row.incident {
            Some(id) if row.held.is_none() => grouping(&client, id).await?,
            _ => None,
        };
        print(&page(row, grouped.as_deref(), now))?;
    }
    Ok(())
}

/// Why the signals of an incident are one.
async fn grouping(
    client: &crate::api::client::Client,
    id: IncidentId,
) -> Result<Option<String>, Failure> {
    let detail = client.incident(id).await?;
    let reasons: Vec<String> = detail
        .incident
        .grouping
        .iter()
        .map(|why| safe(why))
        .collect();
    Ok((!reasons.is_empty()).then(|| reasons.join("; ")))
}

fn page(row: &AlertRow, grouped: Option<&str>, now: Time) -> String {
    let name = safe(row.labels.get("alertname").unwrap_or("unnamed alert"));
    let state = if row.flapping {
        "goes on and off"
    } else if row.firing {
        "fires"
    } else {
        "is over, began"
    };
    let (place, since) = (safe(row.entity.as_str()), age(row.starts_at, now));
    let mut lines = vec![format!(
        "{name} on {place} {state} since {since} ago ({})",
        row.fingerprint
    )];
    if let Some(unheard) = &row.unheard {
        lines.push(format!("- it {}", safe(&unheard.why)));
    }
    for (stage, passed) in PASSED {
        match row.held.as_deref().filter(|held| held.stage == stage) {
            Some(held) => {
                lines.push(format!(
                    "- HELD BACK, {}: {}",
                    stage.as_str(),
                    held_words(held, now)
                ));
                break;
            }
            None if row.firing => lines.push(format!("- {passed}")),
            None => {}
        }
    }
    match (row.incident, &row.held) {
        (Some(id), None) => {
            let why = grouped.map_or_else(String::new, |why| format!(": {why}"));
            lines.push(format!("- it is part of {id}{why}"));
        }
        (Some(id), Some(_)) => lines.push(format!("- {id} knows of it and does not count it")),
        (None, None) => lines.push("- it is part of no incident: it only informs".to_owned()),
        (None, Some(_)) => lines.push("- no incident knows of it".to_owned()),
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EntityId, Fingerprint, HeldBack, Labels, Severity, Unheard};

    #[test]
    fn the_stage_that_holds_it_ends_the_list() {
        let row = AlertRow {
            fingerprint: Fingerprint(7),
            labels: Labels::from_pairs([("alertname", "Slow")]).unwrap(),
            summary: "slow".into(),
            generator_url: None,
            entity: EntityId::parse("cart"),
            severity: Severity::Warning,
            starts_at: Time::ZERO,
            ends_at: Time::from_secs(900),
            firing: true,
            flapping: false,
            incident: Some(IncidentId(4)),
            held: None,
            unheard: None,
        };
        let now = Time::from_secs(120);
        let told = "Slow on service/cart fires since 2m ago (0000000000000007)\n\
                    - no maintenance window is open for it\n\
                    - nobody silenced it\n\
                    - no other alert says it already\n\
                    - it says more than that nothing is heard, or its source is not blind\n\
                    - it does not wait for itself to clear\n\
                    - it is part of #4: opened by cart at 12:00\n";
        assert_eq!(page(&row, Some("opened by cart at 12:00"), now), told);
        let unheard = Unheard {
            since: Time::from_secs(60),
            why: "is not heard of since 00:01: its sender fell silent".into(),
        };
        let lost = AlertRow {
            unheard: Some(Box::new(unheard)),
            ..row.clone()
        };
        let page_of_lost = page(&lost, None, now);
        let second = page_of_lost.lines().nth(1);
        let expected = "- it is not heard of since 00:01: its sender fell silent";
        assert_eq!(second, Some(expected));
        let held = HeldBack {
            stage: HoldStage::Silence,
            by: "silence 3".into(),
            why: "silence 3 of mia: a deploy".into(),
            since: Time::ZERO,
            until: None,
            silence: None,
            inhibited_by: None,
        };
        let row = AlertRow {
            held: Some(Box::new(held)),
            ..row
        };
        let told = "Slow on service/cart fires since 2m ago (0000000000000007)\n\
                    - no maintenance window is open for it\n\
                    - HELD BACK, silenced: silence 3 of mia: a deploy\n\
                    - #4 knows of it and does not count it\n";
        assert_eq!(page(&row, None, now), told);
    }
}

//! Hostile incidents in both documents.

use super::*;
use crate::model::{EntityId, HeldBack, HoldStage, Incident, Lane, TimelineEntry};

/// Markup, an escape sequence and a secret.
const HOSTILE: &str = "<script>alert(1)</script> | [x](javascript:1) \u{1b}[31m password=hunter2";

pub(super) fn detail() -> IncidentDetail {
    let at = Time::from_secs(60);
    IncidentDetail {
        incident: Incident {
            title: Box::from(HOSTILE),
            owner: Some(HOSTILE.to_owned()),
            timeline: vec![TimelineEntry {
                at,
                lane: Lane::Alert,
                entity: None,
                text: Box::from(HOSTILE),
            }],
            timeline_dropped: 3,
            ..Incident::opened(IncidentId(7), EntityId::parse("gateway"), at, at)
        },
        plans: Vec::new(),
    }
}

#[test]
fn hostile_text_stays_text_and_secrets_stay_out() {
    let (detail, panels) = (detail(), Panels::default());
    let document = Document {
        detail: &detail,
        panels: &panels,
        environment: "test".to_owned(),
        now: Time::from_secs(120),
    };
    let (page, text) = (html::render(&document), markdown::render(&document));
    for rendered in [&page, &text] {
        // Markdown escapes with a backslash, HTML with an entity.
        assert!(
            !rendered.replace("\\<", "").contains("<script"),
            "{rendered}"
        );
        assert!(!rendered.contains("hunter2"), "{rendered}");
        assert!(!rendered.contains('\u{1b}'), "{rendered}");
        assert!(rendered.contains("3 entries were not kept"));
    }
    assert!(text.contains("\\[x\\](javascript:1)"), "{text}");
    // One circle for the one entry, in its own lane.
    assert_eq!(page.matches("<circle").count(), 1);
    assert!(text.contains("| 1970-01-01T00:01:00.000Z | alert |"));
}

/// A storm of one alert is one line with its number in each document, and the drawing has every entry.
#[test]
fn what_is_said_alike_of_many_is_one_line() {
    let mut detail = detail();
    let entry = |n: i64| TimelineEntry {
        at: Time::from_secs(60 + n),
        lane: Lane::Alert,
        entity: Some(EntityId::parse(&format!("shop-{n:03}"))),
        text: Box::from("Storm fires: no answer"),
    };
    detail.incident.timeline = (0..400).map(entry).collect();
    let panels = Panels::default();
    let document = Document {
        detail: &detail,
        panels: &panels,
        environment: "test".to_owned(),
        now: Time::from_secs(900),
    };
    let (page, text) = (html::render(&document), markdown::render(&document));
    let table = page.split("</svg>").last().unwrap_or_default();
    for rendered in [table, &text] {
        assert_eq!(rendered.matches("Storm fires").count(), 1, "{rendered}");
        assert!(rendered.contains("400 entities"), "{rendered}");
        let plain = rendered.replace('\\', "");
        assert!(plain.contains("shop-019 and 380 more, until"), "{rendered}");
    }
    assert_eq!(page.matches("<circle").count(), 400);
}

#[test]
fn what_is_silenced_is_not_back_to_normal() {
    let mut detail = detail();
    let incident = &mut detail.incident;
    incident.phase = Phase::Mitigated;
    incident.mitigated = Some(Time::from_secs(90));
    incident.impact.alerts_held = 1;
    incident.held = Some(Box::new(HeldBack {
        stage: HoldStage::Silence,
        by: "silence 3".into(),
        why: "silence 3 of mia: a deploy".into(),
        since: Time::from_secs(70),
        until: Some(Time::from_secs(3_600)),
        silence: None,
        inhibited_by: None,
    }));
    let render = |detail: &IncidentDetail| {
        let document = Document {
            detail,
            panels: &Panels::default(),
            environment: "test".to_owned(),
            now: Time::from_secs(120),
        };
        [html::render(&document), markdown::render(&document)]
    };
    let state = "silenced until 1970-01-01T01:00:00.000Z: silence 3 of mia: a deploy";
    for rendered in render(&detail) {
        assert!(rendered.contains(state), "{rendered}");
        assert!(!rendered.contains("Back to normal"), "{rendered}");
    }
    // Called over, it goes on all the same.
    detail.incident.phase = Phase::Resolved;
    detail.incident.resolved = Some(Time::from_secs(100));
    for rendered in render(&detail) {
        assert!(
            rendered.contains("resolved, though 1 alert still fires"),
            "{rendered}"
        );
        assert!(!rendered.contains("Back to normal"), "{rendered}");
    }
    detail.incident.impact.alerts_held = 0;
    for rendered in render(&detail) {
        assert!(rendered.contains("Back to normal"), "{rendered}");
    }
}

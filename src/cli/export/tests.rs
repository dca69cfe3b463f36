//! Hostile incidents in both documents.

use super::*;
use crate::model::{EntityId, Incident, Lane, TimelineEntry};

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

//! What people are told of incidents, wherever they are: that one is bad, worse, or over.
//!
//! Each is told once. After a restart, what was bad before counts as told.

use std::collections::BTreeMap;

use super::explain;
use crate::model::{Incident, IncidentId, Notification, NotifyEvent, Phase, Severity, counted};

/// Incidents milder than this are nobody's phone call.
const TOLD_FROM: Severity = Severity::Error;

/// What was told of the incidents that are not over.
#[derive(Debug, Default)]
pub(super) struct Told(BTreeMap<IncidentId, Severity>);

impl Told {
    /// What is new about an incident, if anything.
    pub fn news(&mut self, incident: &Incident) -> Option<Notification> {
        let before = self.0.get(&incident.id).copied();
        let is_over = incident.phase == Phase::Resolved;
        let event = match before {
            None if !is_over && incident.severity >= TOLD_FROM => NotifyEvent::Opened,
            Some(before) if !is_over && incident.severity > before => NotifyEvent::Raised,
            Some(_) if is_over => NotifyEvent::Resolved,
            _ => return None,
        };
        if is_over {
            self.0.remove(&incident.id);
        } else {
            self.0.insert(incident.id, incident.severity);
        }
        Some(Notification {
            incident: incident.id,
            event,
            // Whoever heard how bad it was hears the end of it.
            severity: before.unwrap_or(incident.severity).max(incident.severity),
            text: words(incident),
        })
    }

    /// An incident left the view.
    pub fn forget(&mut self, id: IncidentId) {
        self.0.remove(&id);
    }

    /// An incident of before a restart: what was bad was told.
    pub fn restore(&mut self, incident: &Incident) {
        let _ = self.news(incident);
    }
}

/// What it is about; that something of it fires all the same does not go without saying.
fn words(incident: &Incident) -> Box<str> {
    let title = &incident.title;
    let fires = u64::from(incident.fires());
    if incident.phase != Phase::Resolved || fires == 0 {
        return title.clone();
    }
    let fires = counted(fires, "alert of it still fires", "alerts of it still fire");
    let held = incident.held.as_deref();
    let held = held.map_or_else(String::new, |held| {
        format!(
            ", {} {}",
            incident.impact.alerts_held,
            held.words(explain::clock)
        )
    });
    format!("{title}; it was called over, and {fires}{held}").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EntityId, HeldBack, HoldStage, Time};

    #[test]
    fn what_fires_on_when_it_is_called_over_is_told() {
        let gateway = EntityId::parse("gateway");
        let mut incident = Incident::opened(IncidentId(1), gateway, Time::ZERO, Time::ZERO);
        incident.title = "gateway: Slow".into();
        incident.severity = Severity::Error;
        let mut told = Told::default();
        let text = |note: Option<Notification>| note.map(|note| note.text.to_string());
        assert_eq!(text(told.news(&incident)).as_deref(), Some("gateway: Slow"));
        incident.phase = Phase::Resolved;
        incident.impact.alerts_held = 1;
        incident.held = Some(Box::new(HeldBack {
            stage: HoldStage::Silence,
            by: "silence 3".into(),
            why: "silence 3 of mia: a deploy".into(),
            since: Time::ZERO,
            until: None,
            silence: None,
            inhibited_by: None,
        }));
        let expected = "gateway: Slow; it was called over, and 1 alert of it still fires, 1 silenced: silence 3 of mia: a deploy";
        assert_eq!(text(told.news(&incident)).as_deref(), Some(expected));
    }

    #[test]
    fn each_thing_is_told_once() {
        use NotifyEvent::{Opened, Raised, Resolved};
        use Severity::{Critical, Error, Warning};
        let gateway = EntityId::parse("gateway");
        let incident = Incident::opened(IncidentId(1), gateway, Time::ZERO, Time::ZERO);
        let mut told = Told::default();
        let steps = [
            (Phase::Open, Warning, None),
            (Phase::Open, Error, Some((Opened, Error))),
            (Phase::Acknowledged, Error, None),
            (Phase::Acknowledged, Critical, Some((Raised, Critical))),
            (Phase::Mitigated, Error, None),
            (Phase::Open, Critical, None),
            (Phase::Resolved, Warning, Some((Resolved, Critical))),
            (Phase::Resolved, Critical, None),
            (Phase::Open, Critical, Some((Opened, Critical))),
        ];
        for (phase, severity, expected) in steps {
            let incident = Incident {
                phase,
                severity,
                ..incident.clone()
            };
            let news = told.news(&incident);
            assert_eq!(
                news.map(|note| (note.event, note.severity)),
                expected,
                "{phase:?} {severity:?}"
            );
        }
    }
}

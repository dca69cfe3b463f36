//! The changes that may have set an incident off: what senders told, surges of work that the engine found,
//! and what the calendar had for then. What is thought of each follows from the suspects; only a person
//! confirms one.
//!
//! Never forgets a change that stood there, but for want of room, and then none that is suspected or confirmed.

use std::collections::BTreeSet;

use super::Engine;
use super::entities::EntityIx;
use crate::model::{
    ChangeKind, ChangeOf, ChangeState, Direction, Finding, IncidentId, Lane, MetricRole,
    SuspectKind, Time, TimelineEntry,
};

/// Changes this long before an incident began are listed, in milliseconds; older ones if they are suspected.
const BEFORE_MS: i64 = 60 * 60_000;
/// Changes older than this are not suspected either, in milliseconds.
const SUSPECTED_BEFORE_MS: i64 = 6 * 3_600_000;
/// Changes listed with one incident.
const LISTED_MAX: usize = 40;
/// Members looked at.
const MEMBERS_MAX: usize = 200;

impl Engine {
    /// Brings the changes of an incident up to date, as its diagnosis is now.
    pub(super) fn list_changes(&mut self, id: IncidentId) {
        let Some(held) = self.correlator.book.get(id) else {
            return;
        };
        let mut found = self.told_changes(id);
        found.extend(held.incident.findings.iter().filter_map(surge));
        found.extend(self.calendar(id));
        let Some(held) = self.correlator.book.peek_mut(id) else {
            return;
        };
        let before = held.incident.changes.clone();
        let listed = &mut held.incident.changes;
        for change in found {
            match listed.iter_mut().find(|known| known.id == change.id) {
                Some(known) => *known = change,
                None => listed.push(change),
            }
        }
        listed.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
        held.incident.judge_changes();
        held.incident.drop_changes(LISTED_MAX);
        if held.incident.changes == before {
            return;
        }
        let Some(held) = self.correlator.book.get_mut(id) else {
            return;
        };
        let listed = held.incident.changes.iter();
        let told: Vec<ChangeOf> = listed.filter(|change| is_told(change)).cloned().collect();
        for change in told {
            let text = change.named();
            let mut timeline = held.incident.timeline.iter();
            // What a surge is in numbers goes on changing.
            let is_it = |entry: &TimelineEntry| match change.kind {
                ChangeKind::Traffic => {
                    entry.at == change.at && entry.entity.as_ref() == Some(&change.entity)
                }
                _ => *entry.text == *text,
            };
            if !timeline.any(|entry| entry.lane == Lane::Change && is_it(entry)) {
                held.tell(change.at, Lane::Change, Some(change.entity), &text);
            }
        }
    }

    /// What senders told of who is in it, or suspected.
    fn told_changes(&self, id: IncidentId) -> Vec<ChangeOf> {
        let Some(held) = self.correlator.book.get(id) else {
            return Vec::new();
        };
        let hypotheses = &held.incident.diagnosis.hypotheses;
        let suspects = hypotheses.iter();
        let suspects = suspects.filter_map(|hypothesis| self.entities.find(&hypothesis.suspect));
        let members = held.members.iter().copied().take(MEMBERS_MAX);
        let places: BTreeSet<EntityIx> = members.chain(suspects).collect();
        let began = held.incident.began;
        let is_near = |at: Time| began.since(at) <= BEFORE_MS;
        let is_suspected = |change: &str| {
            hypotheses.iter().any(|hypothesis| match &hypothesis.cause {
                SuspectKind::Change { id, .. } => **id == *change,
                _ => false,
            })
        };
        let from = began.plus_ms(-SUSPECTED_BEFORE_MS);
        let told = places
            .into_iter()
            .flat_map(|place| self.changes.between(place, from, self.now));
        told.filter(|change| is_near(change.at) || is_suspected(&change.id))
            .map(ChangeOf::from)
            .collect()
    }

    /// Windows that were open when it began for who is in it or what that depends on: of the config, and those
    /// that people opened.
    fn calendar(&self, id: IncidentId) -> Vec<ChangeOf> {
        let Some(held) = self.correlator.book.get(id) else {
            return Vec::new();
        };
        if !self.has_maintenance() {
            return Vec::new();
        }
        let members = held.members.iter().copied().take(MEMBERS_MAX);
        let near = members.flat_map(|member| {
            let callees = self.topology.callees(member).iter().copied();
            std::iter::once(member).chain(callees)
        });
        let places: BTreeSet<EntityIx> = near.take(2 * MEMBERS_MAX).collect();
        let began = held.incident.began;
        let mut found: Vec<ChangeOf> = Vec::new();
        for place in places {
            let change = |id: String, at: Time, title: String| ChangeOf {
                id: id.into_boxed_str(),
                at,
                kind: ChangeKind::Calendar,
                entity: self.entities.id(place).clone(),
                title: title.into_boxed_str(),
                state: ChangeState::None,
            };
            let (window, opened) = self.maintenance_at(place, began);
            let window = window.map(|(name, from)| {
                let title = format!("maintenance window {name}");
                change(format!("window {name} {}", from.ms()), from, title)
            });
            let opened = opened.map(|silence| {
                let title = format!("maintenance: {}", silence.reason);
                change(silence.id.to_string(), silence.starts_at, title)
            });
            for change in window.into_iter().chain(opened) {
                if found.iter().all(|known| known.id != change.id) {
                    found.push(change);
                }
            }
        }
        found
    }
}

/// A demand surge that the engine found.
fn surge(finding: &Finding) -> Option<ChangeOf> {
    let is_surge = finding.role == MetricRole::Traffic && finding.direction == Direction::Up;
    is_surge.then(|| ChangeOf {
        id: format!("finding {}", finding.id.0).into_boxed_str(),
        at: finding.since,
        kind: ChangeKind::Traffic,
        entity: finding.entity.clone(),
        title: finding.text.clone(),
        state: ChangeState::None,
    })
}

/// Whether the timeline is to tell it as a change. What senders told stands there, and surges that nobody
/// suspects are told as what is odd.
fn is_told(change: &ChangeOf) -> bool {
    match change.kind {
        ChangeKind::Calendar => true,
        ChangeKind::Traffic => change.state != ChangeState::None,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{DeclaredEdge, EngineConfig, MaintenanceConfig};
    use crate::engine::Engine;
    use crate::model::{
        Alert, Band, Batch, ChangeKind, ChangeOf, ChangeState, Check, Direction, EntityId, Finding,
        FindingId, Fingerprint, Hypothesis, Incident, IncidentId, Input, Labels, Lane, MetricRole,
        Signal, SourceId, Stamped, SuspectKind, SuspectRole, Time, Unit,
    };

    /// 2026-01-14T12:00:00Z.
    const NOON: Time = Time::from_secs(1_768_392_000);

    #[test]
    fn a_surge_is_a_change_and_told_as_one_only_when_it_is_suspected() {
        let finding = |role, direction| Finding {
            id: FindingId(7),
            entity: EntityId::parse("cart"),
            callee: None,
            check: Check::LevelShift,
            series: None,
            subject: "http_requests_total".into(),
            role,
            unit: Unit::PerSecond,
            since: NOON,
            last_seen: NOON,
            ended: None,
            expected: Band {
                low: 90.0,
                high: 110.0,
            },
            seen: 300.0,
            direction,
            score: 9.0,
            pages: false,
            text: "300/s, expected 90–110/s".into(),
            explain: None,
            accepted: None,
        };
        let less = finding(MetricRole::Traffic, Direction::Down);
        let slower = finding(MetricRole::Latency, Direction::Up);
        assert_eq!([&less, &slower].map(super::surge), [None, None]);

        let surge = super::surge(&finding(MetricRole::Traffic, Direction::Up)).unwrap();
        let told = (surge.kind, surge.at, &*surge.title);
        let expected = (ChangeKind::Traffic, NOON, "300/s, expected 90–110/s");
        assert_eq!(told, expected);
        // Of whom more work is suspected, and of whom something else is.
        let cases = [
            ("cart", SuspectKind::Traffic, ChangeState::Suspect),
            ("pay", SuspectKind::Traffic, ChangeState::None),
            ("cart", SuspectKind::Unknown, ChangeState::None),
        ];
        for (suspect, cause, state) in cases {
            let cart = EntityId::parse("cart");
            let mut incident = Incident::opened(IncidentId(1), cart, NOON, NOON);
            incident.changes = vec![surge.clone()];
            incident.diagnosis.hypotheses = vec![Hypothesis {
                suspect: EntityId::parse(suspect),
                cause,
                role: SuspectRole::Trigger,
                confidence: 0.8,
                limit: 0.97,
                evidence_for: Vec::new(),
                evidence_against: Vec::new(),
            }];
            incident.judge_changes();
            let change = &incident.changes[0];
            let is_suspected = state == ChangeState::Suspect;
            assert_eq!(
                (change.state, super::is_told(change)),
                (state, is_suspected)
            );
        }
    }

    /// A deploy before it began that is suspected, one that is not, and two after it began.
    #[test]
    fn what_is_suspected_or_came_before_stays_in_a_full_list() {
        let cart = EntityId::parse("cart");
        let mut incident = Incident::opened(IncidentId(1), cart.clone(), NOON, NOON);
        let change = |id: &str, minutes: i64, state| ChangeOf {
            id: id.into(),
            at: NOON.plus_ms(minutes * 60_000),
            kind: ChangeKind::Deploy,
            entity: cart.clone(),
            title: "v8".into(),
            state,
        };
        incident.changes = vec![
            change("suspected", -9, ChangeState::Suspect),
            change("before", -5, ChangeState::None),
            change("after", 3, ChangeState::None),
            change("long after", 900, ChangeState::None),
        ];
        for left in [
            &["suspected", "before", "after"][..],
            &["suspected", "before"],
            &["suspected"],
        ] {
            incident.drop_changes(left.len());
            let ids: Vec<&str> = incident.changes.iter().map(|change| &*change.id).collect();
            assert_eq!(ids, left);
        }
    }

    /// An alert on `cart`, which depends on `db`, whose maintenance began ten minutes before.
    #[test]
    fn open_maintenance_is_a_change_of_who_depends_on_it() {
        let config = EngineConfig {
            dependencies: vec![DeclaredEdge {
                from: "cart".to_owned(),
                to: "database/db".to_owned(),
            }],
            maintenance: vec![MaintenanceConfig {
                name: "new disks".to_owned(),
                matchers: vec!["database=db".to_owned()],
                from: Some("2026-01-14T11:50:00Z".to_owned()),
                until: Some("2026-01-14T13:00:00Z".to_owned()),
                ..MaintenanceConfig::default()
            }],
            ..EngineConfig::default()
        };
        let mut engine = Engine::new(config, Vec::new());
        let labels = Labels::from_pairs([("alertname", "Slow"), ("service", "cart")]).unwrap();
        let alert = Signal::Alert(Box::new(Alert {
            fingerprint: Fingerprint::of(&labels),
            labels,
            annotations: Labels::empty(),
            starts_at: NOON,
            ends_at: NOON.plus_ms(3_600_000),
            generator_url: None,
        }));
        let (source, signals) = (SourceId::new("test"), vec![alert]);
        let batch = Input::Signals(Batch { source, signals });
        for (seq, input) in (1..).zip([batch, Input::Tick, Input::Tick]) {
            let at = NOON.plus_ms(seq as i64 * 1_000);
            engine.step(&Stamped { seq, at, input }, &mut Vec::new());
        }
        let incident = engine.incident(IncidentId(1)).unwrap();
        let [change] = &incident.changes[..] else {
            panic!("{:?}", incident.changes)
        };
        assert_eq!(
            (change.kind, change.state, change.entity.as_str()),
            (ChangeKind::Calendar, ChangeState::None, "database/db")
        );
        assert_eq!(change.at, NOON.plus_ms(-600_000));
        let told = incident
            .timeline
            .iter()
            .filter(|entry| entry.lane == Lane::Change);
        let told: Vec<&str> = told.map(|entry| &*entry.text).collect();
        assert_eq!(told, ["calendar: maintenance window new disks"]);
    }
}

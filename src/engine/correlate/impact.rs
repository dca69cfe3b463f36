//! Where users feel an incident, and how it is put into a line.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::World;
use super::condition::Conditions;
use super::held::Held;
use crate::engine::alerts::AlertState;
use crate::engine::diagnose::words;
use crate::engine::entities::{Entities, EntityIx};
use crate::engine::explain;
use crate::engine::topology::Topology;
use crate::model::{
    Beside, Check, Direction, EntityId, Finding, Health, IncidentId, MetricRole, PathEdge, PathNode,
};

/// Nodes drawn on a path; the rest is counted in the impact.
const PATH_NODES_MAX: usize = 24;
/// Longest way followed from a suspect to those it hurts.
const PATH_DEPTH_MAX: usize = 8;
/// Entities searched for where users feel it.
const MEMBERS_SEARCHED_MAX: usize = 400;
/// Alerts of one incident looked at for its title.
const ALERTS_MAX: usize = 1_024;

/// What impact is read from.
pub struct Sight<'a> {
    /// The entities.
    pub entities: &'a Entities,
    /// The dependencies.
    pub topology: &'a Topology,
    /// What is odd where.
    pub conditions: &'a Conditions,
}

/// The member where users feel it most: harmed, with no harmed member depending on it, and the
/// most of the incident below it.
pub fn target(held: &Held, sight: &Sight<'_>) -> EntityIx {
    let harmed: BTreeSet<EntityIx> = held
        .members
        .iter()
        .copied()
        .filter(|member| {
            sight
                .conditions
                .get(*member)
                .is_some_and(|c| c.sum.is_harmed || c.alerts_firing > 0)
        })
        .take(MEMBERS_SEARCHED_MAX)
        .collect();
    let is_top = |member: &EntityIx| {
        !sight
            .topology
            .callers(*member)
            .iter()
            .any(|caller| harmed.contains(caller))
    };
    harmed
        .iter()
        .copied()
        .filter(is_top)
        .max_by_key(|top| {
            let onset = sight
                .conditions
                .get(*top)
                .map(|c| std::cmp::Reverse(c.onset));
            (
                below(*top, &harmed, sight.topology),
                onset,
                std::cmp::Reverse(*top),
            )
        })
        .unwrap_or(held.root)
}

/// Members below `top`, itself included.
fn below(top: EntityIx, members: &BTreeSet<EntityIx>, topology: &Topology) -> usize {
    let mut seen = BTreeSet::from([top]);
    let mut stack = vec![top];
    while let Some(at) = stack.pop() {
        for &callee in topology.callees(at) {
            if members.contains(&callee) && seen.insert(callee) {
                stack.push(callee);
            }
        }
    }
    seen.len()
}

/// Stands before a sentence that was true then.
const OVER: &str = "over: ";

/// One line: the worst symptom, and where. Values are those of the worst moment and are called so; what is
/// over never reads as if it went on.
pub fn title(
    held: &Held,
    target: EntityIx,
    sight: &Sight<'_>,
    alert: Option<(&EntityId, &AlertState)>,
) -> Box<str> {
    let id = sight.entities.id(target);
    let symptom = headlined(held, id);
    match (symptom, alert) {
        (Some(finding), _) => return titled(finding),
        (None, Some((place, alert))) => {
            let spell = match held.incident.impact.alerts_firing {
                0 => Spell::Over,
                _ => Spell::Lasts,
            };
            alert_title(place.name(), alert.name(), &alert.summary, spell)
        }
        (None, None) => format!("{} is sick", id.name()),
    }
    .into_boxed_str()
}

/// Whether what a title tells goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spell {
    Lasts,
    Over,
}

/// An alert as a title: where, and what. Nothing is said twice: what has no entity is known by its alert's name, and an alert
/// without a summary is told by its name.
fn alert_title(place: &str, name: &str, summary: &str, spell: Spell) -> String {
    let mut words = vec![place, name, summary];
    words.dedup_by(|a, b| a.eq_ignore_ascii_case(b));
    let over = match spell {
        Spell::Over => OVER,
        Spell::Lasts => "",
    };
    match words[..] {
        [what] => format!("{over}{what}"),
        [place, ref what @ ..] => format!("{place}: {over}{}", what.join(": ")),
        [] => String::new(),
    }
}

/// A finding as a title: where, and what. That a source is missed names it already.
fn titled(finding: &Finding) -> Box<str> {
    if finding.check == Check::BlindSource {
        return told(finding).into();
    }
    let place = finding.callee.as_ref().unwrap_or(&finding.entity);
    format!("{}: {}", place.name(), told(finding)).into_boxed_str()
}

/// The alert that says most of an incident, with where: one that fires before one that is over, one about
/// `target` before others, the gravest, the first.
pub fn worst_alert<'a>(
    id: IncidentId,
    target: EntityIx,
    world: &'a World<'_>,
) -> Option<(&'a EntityId, &'a AlertState)> {
    let of_incident = world.alerts.of_incident(id, None).take(ALERTS_MAX);
    let known = of_incident.filter_map(|alert| Some((alert, world.alerts.get(alert)?)));
    let (_, worst) = known.max_by_key(|(fingerprint, alert)| {
        let first = std::cmp::Reverse((alert.starts_at, *fingerprint));
        let fires = world.alerts.fires(*fingerprint);
        (fires, alert.entity == target, alert.severity, first)
    })?;
    Some((world.entities.id(worst.entity), worst))
}

/// The finding that the title tells of an incident that hurts `place` most.
pub fn headlined<'a>(held: &'a Held, place: &EntityId) -> Option<&'a Finding> {
    worst_symptom(held, place).or_else(|| {
        let paging = held.incident.findings.iter().filter(|f| f.pages);
        paging.max_by(|a, b| rank(a).cmp(&rank(b)))
    })
}

fn worst_symptom<'a>(held: &'a Held, id: &EntityId) -> Option<&'a Finding> {
    held.incident
        .findings
        .iter()
        .filter(|finding| finding.entity == *id && finding.role != MetricRole::Traffic)
        .max_by(|a, b| rank(a).cmp(&rank(b)))
}

/// A finding as part of a title.
fn told(finding: &Finding) -> String {
    if finding.check.is_metric() {
        return format!(
            "{} {} {}, {}",
            explain::subject(&finding.subject),
            extreme(finding),
            words::value(finding.seen, finding.unit),
            explain::against(finding.seen, finding.expected, finding.unit)
        );
    }
    let over = if finding.is_open() { "" } else { OVER };
    format!("{over}{}", finding.text)
}

/// What the value at the worst point told of a finding is to one who reads it now or later: it may be worse by
/// now, and another finding may be the one told next.
fn extreme(finding: &Finding) -> &'static str {
    let lasts = finding.is_open();
    match (finding.check, finding.direction) {
        (Check::FlatLine, _) if lasts => "stuck at",
        (Check::FlatLine, _) => "was stuck at",
        (_, Direction::Up) if lasts => "reached",
        (_, Direction::Up) => "had reached",
        (_, Direction::Down) if lasts => "fell to",
        (_, Direction::Down) => "had fallen to",
    }
}

/// What users notice first, then what lasts before what is over, as of an incident that came back, then
/// what stands out most.
fn rank(finding: &Finding) -> (bool, bool, u8, bool, i64) {
    let measured = finding.check.is_metric() && finding.series.is_some();
    (
        finding.pages,
        measured,
        felt(finding.role),
        finding.is_open(),
        (finding.score * 100.0) as i64,
    )
}

/// How much users feel what a metric of this role measures.
pub fn felt(role: MetricRole) -> u8 {
    match role {
        MetricRole::Availability => 5,
        MetricRole::Errors => 4,
        MetricRole::Latency => 3,
        MetricRole::Saturation => 2,
        MetricRole::Other => 1,
        MetricRole::Traffic => 0,
    }
}

/// The path from suspects to those hurt, suspects first.
pub fn path(held: &Held, target: EntityIx, sight: &Sight<'_>) -> (Vec<PathNode>, Vec<PathEdge>) {
    let suspects: Vec<EntityIx> = held
        .incident
        .diagnosis
        .hypotheses
        .iter()
        .filter_map(|h| sight.entities.find(&h.suspect))
        .collect();
    let mut chosen: Vec<EntityIx> = Vec::new();
    let mut add = |entity: EntityIx| {
        if chosen.len() < PATH_NODES_MAX && !chosen.contains(&entity) {
            chosen.push(entity);
        }
    };
    suspects.iter().copied().for_each(&mut add);
    for &suspect in suspects.iter().take(2) {
        way_up(suspect, target, sight.topology)
            .into_iter()
            .for_each(&mut add);
    }
    add(target);
    add(held.root);
    held.members.iter().copied().for_each(&mut add);
    let nodes = chosen.iter().map(|&ix| node(ix, held, sight)).collect();
    let mut edges = Vec::new();
    for (from, &caller) in chosen.iter().enumerate() {
        for (to, &callee) in chosen.iter().enumerate() {
            if let Some(edge) = sight.topology.edge(caller, callee) {
                edges.push(PathEdge {
                    from: from as u32,
                    to: to as u32,
                    provenance: edge.provenance,
                    last_seen: edge.last_seen,
                    // Fades as it is told: what is kept does not change with time alone.
                    confidence: edge.provenance.confidence(None) as f32,
                });
            }
        }
    }
    (nodes, edges)
}

/// An incident whose signals are all over: its title reads as over, and each node of its path as it is now.
pub fn calm(held: &mut Held, sight: &Sight<'_>) {
    let told = headlined(held, &held.incident.entity);
    if let Some(title) = told.map(titled) {
        held.incident.title = title;
    }
    for node in &mut held.incident.path_nodes {
        let place = sight.entities.find(&node.entity);
        let place = place.filter(|place| sight.conditions.get(*place).is_some());
        node.health = place.map_or(Health::Ok, |place| sight.entities.health(place));
    }
}

fn node(ix: EntityIx, held: &Held, sight: &Sight<'_>) -> PathNode {
    let id = sight.entities.id(ix);
    let suspicion = held
        .incident
        .diagnosis
        .hypotheses
        .iter()
        .filter(|h| h.suspect == *id)
        .map(|h| h.confidence)
        .fold(0.0, f32::max);
    let condition = sight.conditions.get(ix);
    let known = sight.entities.entity(ix);
    PathNode {
        entity: id.clone(),
        owner: known.owner.map(String::into_boxed_str),
        tier: known.tier,
        links: known.links,
        health: condition.map_or(Health::Ok, |_| sight.entities.health(ix)),
        suspicion,
        onset: condition
            .filter(|_| held.members.contains(&ix))
            .map(|c| c.onset),
        is_beside: false,
        beside: Beside::default(),
    }
}

/// The shortest way from `from` up its dependents to `to`, both ends left out; empty when none.
fn way_up(from: EntityIx, to: EntityIx, topology: &Topology) -> Vec<EntityIx> {
    let mut came_from: BTreeMap<EntityIx, EntityIx> = BTreeMap::new();
    let mut queue = VecDeque::from([(from, 0)]);
    while let Some((at, depth)) = queue.pop_front() {
        if at == to {
            break;
        }
        if depth == PATH_DEPTH_MAX {
            continue;
        }
        for &caller in topology.callers(at) {
            if caller != from && !came_from.contains_key(&caller) {
                came_from.insert(caller, at);
                queue.push_back((caller, depth + 1));
            }
        }
    }
    let mut way = Vec::new();
    let mut at = to;
    while let Some(&before) = came_from.get(&at) {
        if before == from {
            break;
        }
        way.push(before);
        at = before;
    }
    way.reverse();
    way
}

#[cfg(test)]
mod tests {
    use super::{Spell, told};
    use crate::config::{DeclaredEntity, EngineConfig};
    use crate::engine::Engine;
    use crate::model::{
        Alert, Band, Batch, Check, Direction, EntityId, EntityKind, Finding, FindingId,
        Fingerprint, Input, Labels, MetricRole, Severity, Signal, SourceId, Stamped, Time, Unit,
    };

    /// What an alert of this severity on `pay` becomes, and whether the timeline says why.
    fn judged(tier: Option<u8>, severity: &str) -> (Severity, bool) {
        let pay = DeclaredEntity {
            name: "pay".to_owned(),
            tier,
            ..DeclaredEntity::default()
        };
        let config = EngineConfig {
            entities: vec![pay],
            ..EngineConfig::default()
        };
        let mut engine = Engine::new(config, Vec::new());
        let at = Time::from_secs(1_768_392_000);
        let labels = [
            ("alertname", "Slow"),
            ("service", "pay"),
            ("severity", severity),
        ];
        let labels = Labels::from_pairs(labels).unwrap();
        let alert = Signal::Alert(Box::new(Alert {
            fingerprint: Fingerprint::of(&labels),
            labels,
            annotations: Labels::empty(),
            starts_at: at,
            ends_at: at.plus_ms(3_600_000),
            generator_url: None,
        }));
        let (source, signals) = (SourceId::new("test"), vec![alert]);
        let batch = Input::Signals(Batch { source, signals });
        for (seq, input) in (1..).zip([batch, Input::Tick, Input::Tick]) {
            engine.step(&Stamped { seq, at, input }, &mut Vec::new());
        }
        let row = engine.incident_rows().next().unwrap();
        let told = engine.incident(row.id).unwrap().timeline.iter();
        let says = told.filter(|entry| entry.text.contains("tier 1")).count();
        assert!(says <= 1, "told once");
        (row.severity, says == 1)
    }

    #[test]
    fn a_title_says_nothing_of_an_alert_twice() {
        let cases = [
            (
                "cart",
                "Down",
                "no answer",
                Spell::Lasts,
                "cart: Down: no answer",
            ),
            ("cart", "Down", "Down", Spell::Lasts, "cart: Down"),
            ("cart", "Down", "Down", Spell::Over, "cart: over: Down"),
            (
                "heartbeatmissing",
                "HeartbeatMissing",
                "backup is late",
                Spell::Lasts,
                "heartbeatmissing: backup is late",
            ),
            ("Down", "Down", "Down", Spell::Lasts, "Down"),
            ("Down", "Down", "Down", Spell::Over, "over: Down"),
        ];
        for (place, name, summary, spell, expected) in cases {
            assert_eq!(super::alert_title(place, name, summary, spell), expected);
        }
    }

    #[test]
    fn a_title_says_of_when_its_value_is() {
        let up = Finding {
            id: FindingId(1),
            entity: EntityId::new(EntityKind::Service, "pay"),
            callee: None,
            check: Check::LevelShift,
            series: None,
            subject: "http_request_errors_total".into(),
            role: MetricRole::Errors,
            unit: Unit::PerSecond,
            since: Time::ZERO,
            last_seen: Time::ZERO,
            ended: None,
            expected: Band {
                low: 0.0,
                high: 2.0,
            },
            seen: 8.0,
            direction: Direction::Up,
            score: 9.0,
            pages: true,
            text: "3 lines a minute".into(),
            explain: None,
            accepted: None,
        };
        let cases = [
            (Check::LevelShift, Direction::Up, ["reached", "had reached"]),
            (
                Check::LevelShift,
                Direction::Down,
                ["fell to", "had fallen to"],
            ),
            (
                Check::FlatLine,
                Direction::Down,
                ["stuck at", "was stuck at"],
            ),
        ];
        for (check, direction, words) in cases {
            for (ended, word) in [None, Some(Time::ZERO)].into_iter().zip(words) {
                let finding = Finding {
                    check,
                    ended,
                    direction,
                    ..up.clone()
                };
                let expected = format!("http request errors {word} 8/s, expected 0–2/s");
                assert_eq!(told(&finding), expected);
            }
        }
        let burst = Finding {
            check: Check::LogBurst,
            ..up
        };
        assert_eq!(told(&burst), "3 lines a minute");
        let ended = Some(Time::ZERO);
        assert_eq!(told(&Finding { ended, ..burst }), "over: 3 lines a minute");
    }

    #[test]
    fn the_first_tier_counts_more() {
        use Severity::{Critical, Error, Warning};
        let cases = [
            (None, "error", (Error, false)),
            (Some(2), "error", (Error, false)),
            (Some(1), "error", (Critical, true)),
            (Some(1), "warning", (Warning, false)),
            (Some(1), "critical", (Critical, false)),
        ];
        for (tier, severity, expected) in cases {
            assert_eq!(judged(tier, severity), expected, "{tier:?} {severity}");
        }
    }
}

//! Past incidents: which looked alike, what was done about them, and how often suspects were right.
//!
//! Likeness is a weighted Jaccard index over what incidents show (entities, findings, edges): what both
//! show over what either shows, where a thing that few incidents show counts more (inverse document
//! frequency, Spärck Jones 1972). What people say of causes moves a confidence within bounds only, and
//! never what was measured.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64;

use crate::model::{
    Diagnosis, Done, EntityId, Evidence, HitRate, Hypothesis, Incident, IncidentId, Method,
    MethodRate, Plan, PlanState, Similar, SuspectKind, Time, Weights,
};

/// Past incidents remembered; the oldest goes first.
const PAST_MAX: usize = 500;
/// Things remembered of one incident.
const TRAITS_MAX: usize = 256;
/// Plans remembered of one incident.
const DONE_MAX: usize = 4;
/// Suspects remembered of one incident.
const SUSPECTS_MAX: usize = 3;
/// Past incidents told of.
const SIMILAR_MAX: usize = 3;
/// Less alike than this is not alike.
const LIKENESS_MIN: f32 = 0.3;
/// The formula by which hit rates become weights: whoever changes it counts it up, so that it is known by
/// which one an old incident was diagnosed.
const FORMULA: u32 = 1;
/// Labels that a kind of suspect is credited with before the first one.
const CREDIT: f32 = 4.0;
/// However often a kind was wrong, its confidence keeps this share.
const TRUST_MIN: f32 = 0.7;
/// Log odds that a suspect gains when the same entity caused an incident just like this one.
const CAUSE_LOG_ODDS: f32 = 1.0;
/// And when acting on it helped, but nobody said that it was the cause.
const HELPED_LOG_ODDS: f32 = 0.5;
/// The log odds that count as full weight.
const CLUE_FULL_LOG_ODDS: f32 = 3.0;
/// Nobody is ever certain.
const CONFIDENCE_MAX: f32 = 0.97;

/// One past incident.
#[derive(Debug)]
struct Past {
    title: Box<str>,
    began: Time,
    /// Hashes of what it showed, ascending.
    traits: Vec<u64>,
    /// Its suspects when it was last seen, most likely first, with the kind of cause.
    suspects: Vec<(EntityId, &'static str)>,
    /// The method that spoke loudest for the first of them.
    led_by: Option<Method>,
    done: Vec<Done>,
    cause: Option<EntityId>,
}

/// Past incidents, by id.
#[derive(Debug, Default)]
pub struct Memory {
    past: BTreeMap<IncidentId, Past>,
    /// How many past incidents show a thing.
    shown_by: BTreeMap<u64, u32>,
}

impl Memory {
    /// Remembers an incident that is over, with the plans that were made for it. Again is in its place.
    pub fn note<'a>(&mut self, incident: &Incident, plans: impl Iterator<Item = &'a Plan>) {
        let cause = self.forget(incident.id).and_then(|old| old.cause);
        let traits = traits(incident);
        for seen in &traits {
            *self.shown_by.entry(*seen).or_default() += 1;
        }
        let suspects = incident.diagnosis.hypotheses.iter().take(SUSPECTS_MAX);
        let mut done: Vec<Done> = plans.filter_map(done).collect();
        done.drain(..done.len().saturating_sub(DONE_MAX));
        let said = incident.cause.as_ref().map(|cause| cause.entity.clone());
        self.past.insert(
            incident.id,
            Past {
                title: incident.title.clone(),
                began: incident.began,
                traits,
                suspects: suspects
                    .map(|h| (h.suspect.clone(), h.cause.as_str()))
                    .collect(),
                led_by: incident.diagnosis.hypotheses.first().and_then(leader),
                done,
                cause: said.or(cause),
            },
        );
        while self.past.len() > PAST_MAX
            && let Some(oldest) = self.past.keys().next().copied()
        {
            self.forget(oldest);
        }
    }

    fn forget(&mut self, id: IncidentId) -> Option<Past> {
        let old = self.past.remove(&id)?;
        for seen in &old.traits {
            if let Some(count) = self.shown_by.get_mut(seen) {
                *count -= 1;
                if *count == 0 {
                    self.shown_by.remove(seen);
                }
            }
        }
        Some(old)
    }

    /// Whether an incident is remembered.
    pub fn remembers(&self, id: IncidentId) -> bool {
        self.past.contains_key(&id)
    }

    /// Notes what a person says caused it, or takes that back. Whether the incident is remembered.
    pub fn label(&mut self, id: IncidentId, cause: Option<&EntityId>) -> bool {
        let past = self.past.get_mut(&id);
        past.map(|past| past.cause = cause.cloned()).is_some()
    }

    /// The past incidents most like this one, the likest first.
    pub fn like(&self, incident: &Incident) -> Vec<Similar> {
        let traits = traits(incident);
        let mut alike: Vec<(f32, IncidentId, &Past)> = self
            .past
            .iter()
            .filter(|(id, past)| **id != incident.id && past.began <= incident.began)
            .map(|(id, past)| (self.likeness(&traits, &past.traits), *id, past))
            .filter(|(likeness, ..)| *likeness >= LIKENESS_MIN)
            .collect();
        // Of equally alike ones the latest says more about today.
        alike.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
        alike.truncate(SIMILAR_MAX);
        let similar = |(likeness, incident, past): (f32, IncidentId, &Past)| Similar {
            incident,
            likeness,
            title: past.title.clone(),
            began: past.began,
            cause: past.cause.clone(),
            done: past.done.clone(),
        };
        alike.into_iter().map(similar).collect()
    }

    /// Weighted Jaccard index of two ascending lists.
    fn likeness(&self, a: &[u64], b: &[u64]) -> f32 {
        let all = self.past.len() as f32 + 1.0;
        let weight = |seen: u64| {
            let shown_by = self.shown_by.get(&seen).copied().unwrap_or(0) as f32;
            (1.0 + all / (1.0 + shown_by)).ln()
        };
        let (mut both, mut either) = (0.0, 0.0);
        let (mut at_a, mut at_b) = (0, 0);
        while at_a < a.len() || at_b < b.len() {
            let (left, right) = (a.get(at_a).copied(), b.get(at_b).copied());
            let seen = match (left, right) {
                (Some(left), Some(right)) => left.min(right),
                (Some(one), None) | (None, Some(one)) => one,
                (None, None) => break,
            };
            let weight = weight(seen);
            either += weight;
            if left == right {
                both += weight;
            }
            at_a += usize::from(left == Some(seen));
            at_b += usize::from(right == Some(seen));
        }
        if either > 0.0 { both / either } else { 0.0 }
    }

    /// How often the first suspect of each kind was right, by kind.
    pub fn hit_rates(&self) -> Vec<HitRate> {
        let mut rates: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
        for past in self.past.values() {
            if let (Some(cause), Some((suspect, kind))) = (&past.cause, past.suspects.first())
                && *kind != SuspectKind::Unknown.as_str()
            {
                let rate = rates.entry(kind).or_default();
                rate.0 += u32::from(suspect == cause);
                rate.1 += 1;
            }
        }
        let rate = |(kind, (right, of)): (&str, (u32, u32))| HitRate {
            kind: kind.into(),
            right,
            of,
        };
        rates.into_iter().map(rate).collect()
    }

    /// How often the first suspect was right that a method led to, by method.
    pub fn method_rates(&self) -> Vec<MethodRate> {
        let mut rates: BTreeMap<Method, (u32, u32)> = BTreeMap::new();
        for past in self.past.values() {
            if let (Some(cause), Some((suspect, _)), Some(method)) =
                (&past.cause, past.suspects.first(), past.led_by)
            {
                let rate = rates.entry(method).or_default();
                rate.0 += u32::from(suspect == cause);
                rate.1 += 1;
            }
        }
        let rate = |(method, (right, of))| MethodRate { method, right, of };
        rates.into_iter().map(rate).collect()
    }

    /// Which weights follow from what people said so far.
    pub fn weights(&self) -> Weights {
        let labelled = self.past.values().filter(|past| past.cause.is_some());
        Weights {
            formula: FORMULA,
            labelled: labelled.count() as u32,
        }
    }

    /// Tells a fresh diagnosis of what the past says, and weighs it by that: kinds of suspects and methods that
    /// people often found wrong count less, entities that caused incidents like this one count more. No
    /// confidence passes the limit of its evidence, nor do all together pass one.
    pub fn recall(&self, incident: &Incident, diagnosis: &mut Diagnosis) {
        diagnosis.similar = self.like(incident);
        diagnosis.hit_rates = self.hit_rates();
        diagnosis.method_rates = self.method_rates();
        diagnosis.weights = self.weights();
        for hypothesis in &mut diagnosis.hypotheses {
            distrust(hypothesis, &diagnosis.hit_rates, &diagnosis.method_rates);
            if let Some((log_odds, why)) = remembered(&hypothesis.suspect, &diagnosis.similar) {
                let lifted = lift(hypothesis.confidence, log_odds).min(hypothesis.limit);
                hypothesis.confidence = lifted.max(hypothesis.confidence);
                hypothesis.evidence_for.push(Evidence {
                    text: why.into_boxed_str(),
                    weight: log_odds / CLUE_FULL_LOG_ODDS,
                    method: Some(Method::Past),
                });
            }
        }
        let all: f32 = diagnosis.hypotheses.iter().map(|h| h.confidence).sum();
        for hypothesis in diagnosis.hypotheses.iter_mut().filter(|_| all > 1.0) {
            hypothesis.confidence /= all;
        }
        diagnosis
            .hypotheses
            .sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    }
}

/// The method whose evidence speaks loudest for a suspect. What the past says is none: it only repeats what others found.
fn leader(hypothesis: &Hypothesis) -> Option<Method> {
    let evidence = hypothesis.evidence_for.iter();
    evidence
        .filter(|evidence| evidence.method != Some(Method::Past))
        .max_by(|a, b| a.weight.total_cmp(&b.weight))?
        .method
}

/// A kind that people found wrong before is believed less, and so is what a method led to that was: by what
/// was wrong more often, down to [`TRUST_MIN`].
fn distrust(hypothesis: &mut Hypothesis, kinds: &[HitRate], methods: &[MethodRate]) {
    let kind = hypothesis.cause.as_str();
    let is_known = hypothesis.cause != SuspectKind::Unknown;
    let of_kind = kinds.iter().find(|rate| is_known && *rate.kind == *kind);
    let of_kind = of_kind.map(|rate| {
        let what = format!("of this kind ({})", kind.replace('_', " "));
        (what, rate.right, rate.of)
    });
    let led_by = leader(hypothesis);
    let of_method = methods.iter().find(|rate| Some(rate.method) == led_by);
    let of_method = of_method.map(|rate| {
        let what = format!("that this method led to ({})", rate.method.as_str());
        (what, rate.right, rate.of)
    });
    let rates = of_kind.into_iter().chain(of_method);
    let trusts = rates.map(|(what, right, of)| (trust(right, of), what, right, of));
    // Of two that say the same the kind is told.
    let Some((trust, what, right, of)) = trusts.reduce(|a, b| if b.0 < a.0 { b } else { a }) else {
        return;
    };
    if trust < 1.0 {
        hypothesis.confidence *= trust;
        hypothesis.evidence_against.push(Evidence {
            text: format!(
                "first suspects {what} were right in {right} of {of} incidents whose cause people named"
            )
            .into_boxed_str(),
            weight: 1.0 - trust,
            method: Some(Method::Past),
        });
    }
}

/// The share of its confidence that is left to what was right so often.
fn trust(right: u32, of: u32) -> f32 {
    ((right as f32 + CREDIT) / (of as f32 + CREDIT)).max(TRUST_MIN)
}

/// What past incidents say of an entity: log odds it gains, and why.
fn remembered(entity: &EntityId, similar: &[Similar]) -> Option<(f32, String)> {
    similar.iter().find_map(|past| {
        let percent = past.likeness * 100.0;
        if past.cause.as_ref() == Some(entity) {
            let why = format!("it caused {}, {percent:.0} % alike", past.incident);
            return Some((CAUSE_LOG_ODDS * past.likeness, why));
        }
        let helped = past.done.iter().find(|d| d.helped && d.target == *entity)?;
        // What a person said goes before what can be guessed from a plan.
        past.cause.is_none().then(|| {
            let why = format!(
                "acting on it helped in {}, {percent:.0} % alike: {}",
                past.incident, helped.title
            );
            (HELPED_LOG_ODDS * past.likeness, why)
        })
    })
}

fn lift(confidence: f32, log_odds: f32) -> f32 {
    let chance = confidence.clamp(0.001, 0.999);
    let odds = chance / (1.0 - chance) * log_odds.exp();
    (odds / (1.0 + odds)).min(CONFIDENCE_MAX)
}

/// What was done and whether it helped. Of what people stopped, and of what never ran to its end, that is not
/// known.
fn done(plan: &Plan) -> Option<Done> {
    let helped = match plan.state {
        PlanState::Succeeded => true,
        PlanState::RolledBack { .. } | PlanState::Failed { .. } => plan.helped,
        _ => return None,
    };
    if !helped && (plan.by_hand || plan.stopped_short()) {
        return None;
    }
    Some(Done {
        title: plan.title.clone(),
        target: plan.target.clone(),
        helped,
    })
}

/// What an incident shows, as hashes in ascending order: who is odd, how, where it is passed on, and
/// the shape of it whoever it is.
fn traits(incident: &Incident) -> Vec<u64> {
    let mut seen = Vec::new();
    let mut add = |parts: &[&str]| seen.push(xxh3_64(parts.join("\u{1f}").as_bytes()));
    for finding in incident.findings.iter().take(TRAITS_MAX) {
        let how = format!("{:?} {:?}", finding.check, finding.role);
        let entity = finding.entity.as_str();
        add(&["odd", entity]);
        add(&["how", entity, &how, &finding.subject]);
        add(&["shape", finding.entity.kind().as_str(), &how]);
        if let Some(callee) = &finding.callee {
            add(&["edge", entity, callee.as_str()]);
        }
    }
    add(&["felt", incident.entity.as_str()]);
    seen.sort_unstable();
    seen.dedup();
    seen.truncate(TRAITS_MAX);
    seen
}

#[cfg(test)]
mod tests;

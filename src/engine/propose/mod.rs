//! Runbooks that fit an incident's suspects, rendered into plans and ranked.
//!
//! Nothing here decides or runs. Telemetry is hostile: a value taken from it fills a hole inside one
//! argument and can neither split it, add one, nor look like an option.

mod digest;
mod fit;
mod render;

use super::govern;
use crate::config::PolicyConfig;
use crate::model::{
    Action, CHOSEN_BY_A_PERSON, Change, DOWN, EntityId, EntityKind, ExecutorKind, Hypothesis,
    Incident, Labels, Plan, PlanId, PlanState, Runbook, SuspectKind, SuspectRole, Suspicion, Time,
    Verification,
};

pub use digest::digest;
pub use render::RenderError;

/// Most proposals waiting for a decision on one incident: more is not a choice but a list.
pub const PROPOSALS_PER_INCIDENT_MAX: usize = 3;
/// Suspects looked at, from the most likely one.
const SUSPECTS_MAX: usize = 3;
/// Suspects less likely than this get no proposal: the engine would be guessing.
pub const CONFIDENCE_MIN: f32 = 0.1;
/// What each condition of a rule that holds adds to a candidate's rank, in units of confidence.
const FIT_WEIGHT: f32 = 0.05;
/// What a perfect record adds, and an all-failing one takes away, in units of confidence.
const RECORD_WEIGHT: f32 = 0.3;
/// Sentences of evidence quoted, for and against each.
const EVIDENCE_QUOTED_MAX: usize = 2;
/// Longest sentence kept in `because`, in characters.
const BECAUSE_CHARS_MAX: usize = 240;
/// The verification check is killed after this long, in milliseconds.
const CHECK_TIMEOUT_MS: i64 = 60_000;

/// What the engine knows of the world that is not in the incident.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// Labels of an entity as an incident shows it.
    pub labels: &'a dyn Fn(&Incident, &EntityId) -> Labels,
    /// A change of an entity: by id if given, else the newest deploy.
    pub change: &'a dyn Fn(&EntityId, Option<&str>) -> Option<Change>,
    /// How often a runbook was tried on a target before, and how often it helped.
    pub record: &'a dyn Fn(&str, &EntityId) -> (u32, u32),
}

/// A runbook that fits a suspect of an incident.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate<'a> {
    /// The runbook.
    pub runbook: &'a Runbook,
    /// The suspect; `None` when a person chose a target that is none.
    pub suspect: Option<&'a Hypothesis>,
    /// The entity to act upon.
    pub target: &'a EntityId,
    /// Who thought of it.
    pub by: ProposedBy,
    /// Conditions of the best rule that hold, in words.
    pub conditions: Vec<String>,
    /// What candidates are ranked by, the higher the better.
    pub rank: f32,
}

/// Who thought of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProposedBy {
    /// The engine, from its diagnosis.
    Engine,
    /// A person, who chose the runbook and the target.
    Person,
}

/// Runbooks that fit the likely suspects, best first; one candidate per runbook and target.
pub fn candidates<'a>(
    runbooks: &'a [Runbook],
    incident: &'a Incident,
    around: Surroundings<'_>,
) -> Vec<Candidate<'a>> {
    let mut found: Vec<Candidate<'a>> = Vec::new();
    let suspects = incident
        .diagnosis
        .hypotheses
        .iter()
        .filter(|h| h.role != SuspectRole::Impact && h.confidence >= CONFIDENCE_MIN)
        .filter(|h| is_ours_or_called(incident, &h.suspect))
        .take(SUSPECTS_MAX);
    for suspect in suspects {
        let seen = fit::Seen::new(incident, suspect, around);
        for runbook in runbooks {
            let Some(conditions) = fit::best_rule(runbook, &seen) else {
                continue;
            };
            let (tried, worked) = (around.record)(&runbook.name, &suspect.suspect);
            let rank = rank(suspect.confidence, conditions.len(), tried, worked);
            let same =
                |c: &Candidate<'_>| c.runbook.name == runbook.name && *c.target == suspect.suspect;
            if let Some(known) = found.iter_mut().find(|c| same(c)) {
                if rank > known.rank {
                    known.rank = rank;
                    known.suspect = Some(suspect);
                    known.conditions = conditions;
                }
                continue;
            }
            found.push(Candidate {
                runbook,
                suspect: Some(suspect),
                target: &suspect.suspect,
                by: ProposedBy::Engine,
                conditions,
                rank,
            });
        }
    }
    // Stable, so that equal ranks keep the order of suspects and of the runbook files.
    found.sort_by(|a, b| b.rank.total_cmp(&a.rank));
    found
}

/// Whether acting upon an entity can change anything: what is outside and called by nobody we know, as
/// the subject of an alert about prices, is no place to act.
fn is_ours_or_called(incident: &Incident, suspect: &EntityId) -> bool {
    let is_callee = |at: u32| {
        let node = incident.path_nodes.get(at as usize);
        node.is_some_and(|node| node.entity == *suspect)
    };
    suspect.kind() != EntityKind::External
        || incident.path_edges.iter().any(|edge| is_callee(edge.to))
        || (incident.findings.iter()).any(|finding| finding.callee.as_ref() == Some(suspect))
}

/// Confidence first; a closer fit and a good record move a candidate up, a bad record down.
fn rank(confidence: f32, conditions: usize, tried: u32, worked: u32) -> f32 {
    // Laplace's rule of succession: one success in one try is not certainty.
    let success = (worked as f32 + 1.0) / (tried as f32 + 2.0);
    confidence + FIT_WEIGHT * conditions as f32 + RECORD_WEIGHT * (2.0 * success - 1.0)
}

/// A person's choice of runbook and target: refused, with the reason, when it has rules and none is
/// for that kind of entity. One without rules is only ever chosen by a person, for anything.
pub fn chosen<'a>(
    runbook: &'a Runbook,
    incident: &'a Incident,
    target: &'a EntityId,
) -> Result<Candidate<'a>, String> {
    let kind = target.kind();
    let fits_kind = |wanted: Option<_>| wanted.is_none_or(|wanted| wanted == kind);
    let mut rules = runbook.rules.iter();
    if !runbook.rules.is_empty() && !rules.any(|rule| fits_kind(rule.entity)) {
        return Err(format!("it is not for {}", fit::thing(kind)));
    }
    let mut suspects = incident.diagnosis.hypotheses.iter();
    Ok(Candidate {
        runbook,
        suspect: suspects.find(|h| h.suspect == *target),
        target,
        by: ProposedBy::Person,
        conditions: Vec::new(),
        rank: 0.0,
    })
}

/// Renders a candidate into a plan that waits for approval.
pub fn plan(
    id: PlanId,
    now: Time,
    policy: &PolicyConfig,
    incident: &Incident,
    candidate: &Candidate<'_>,
    around: Surroundings<'_>,
) -> Result<Plan, RenderError> {
    let Candidate {
        runbook, target, ..
    } = candidate;
    let change_id = match candidate.suspect.map(|suspect| &suspect.cause) {
        Some(SuspectKind::Change { id, .. }) => Some(&**id),
        _ => None,
    };
    let values = render::Values::new(
        runbook,
        target,
        incident.id,
        &(around.labels)(incident, target),
        (around.change)(target, change_id).as_ref(),
    )?;
    let check = |argv: &Vec<String>| -> Action {
        Action {
            title: Box::from("check that it helped"),
            executor: ExecutorKind::Command,
            argv: values.argv(argv),
            timeout_ms: CHECK_TIMEOUT_MS,
        }
    };
    let (tried, worked) = (around.record)(&runbook.name, target);
    let mut plan = Plan {
        id,
        incident: incident.id,
        runbook: Box::from(runbook.name.as_str()),
        title: values.text(&runbook.title),
        target: (*target).clone(),
        risk: runbook.risk,
        because: because(candidate, values.assumed(), tried, worked),
        suspicion: candidate.suspect.map(|suspect| Suspicion {
            cause: suspect.cause.clone(),
            confidence: suspect.confidence,
        }),
        preconditions: runbook
            .preconditions
            .iter()
            .map(|p| Action {
                title: values.text(&p.title),
                executor: ExecutorKind::Command,
                argv: values.argv(&p.argv),
                timeout_ms: i64::from(p.timeout_s) * 1_000,
            })
            .collect(),
        steps: Vec::new(),
        rollback: Vec::new(),
        verify: Verification {
            recover_within_ms: i64::from(runbook.verify.recover_within_s) * 1_000,
            watch: incident.entity.clone(),
            check: runbook.verify.argv.as_ref().map(check),
        },
        digest: Box::from(""),
        approvals_needed: govern::approvals_for(policy, runbook),
        approvals: Vec::new(),
        created: now,
        expires: now.plus_ms(i64::from(policy.proposal_expires_s) * 1_000),
        state: PlanState::Proposed,
        tried,
        worked,
        before: Vec::new(),
        results: Vec::new(),
        process: None,
        undo_approvals: Vec::new(),
        helped: false,
        by_hand: false,
    };
    for step in &runbook.steps {
        let action = Action {
            title: values.text(&step.title),
            executor: step.executor,
            argv: values.argv(&step.argv),
            timeout_ms: i64::from(step.timeout_s) * 1_000,
        };
        plan.rollback
            .push(step.rollback.as_ref().map(|argv| Action {
                title: Box::from(format!("undo: {}", action.title)),
                argv: values.argv(argv),
                ..action.clone()
            }));
        plan.steps.push(action);
    }
    plan.digest = Box::from(digest(&plan));
    Ok(plan)
}

/// Why it is proposed, in sentences.
fn because(
    candidate: &Candidate<'_>,
    assumed: &[String],
    tried: u32,
    worked: u32,
) -> Vec<Box<str>> {
    let mut sentences = Vec::new();
    if candidate.by == ProposedBy::Person {
        sentences.push(CHOSEN_BY_A_PERSON.to_owned());
    }
    if let Some(suspect) = candidate.suspect {
        sentences.push(format!(
            "{} is suspected ({:.0} %): {}",
            suspect.suspect,
            suspect.confidence * 100.0,
            cause_in_words(&suspect.cause)
        ));
        let quoted = suspect.evidence_for.iter().take(EVIDENCE_QUOTED_MAX);
        sentences.extend(quoted.map(|e| e.text.to_string()));
        let quoted = suspect.evidence_against.iter().take(EVIDENCE_QUOTED_MAX);
        sentences.extend(quoted.map(|e| format!("against: {}", e.text)));
    }
    if !candidate.conditions.is_empty() {
        sentences.push(format!("it fits: {}", candidate.conditions.join(", ")));
    }
    sentences.push(match tried {
        0 => format!("not tried on {} before", candidate.target),
        _ => format!("helped {worked} of {tried} times on {}", candidate.target),
    });
    sentences.extend(assumed.iter().cloned());
    sentences
        .into_iter()
        .map(|sentence| sentence.chars().take(BECAUSE_CHARS_MAX).collect::<String>())
        .map(String::into_boxed_str)
        .collect()
}

fn cause_in_words(cause: &SuspectKind) -> String {
    match cause {
        SuspectKind::Change { title, .. } => format!("a change, {title}"),
        SuspectKind::Resource { metric } if **metric == *DOWN => "it is down".to_owned(),
        SuspectKind::Resource { metric } => format!("a limited resource, {metric}"),
        SuspectKind::Traffic => "more work than usual".to_owned(),
        SuspectKind::InstanceLoss => "an instance is gone".to_owned(),
        SuspectKind::Dependency => "it is slow or fails by itself".to_owned(),
        SuspectKind::Unknown => "the cause is not known".to_owned(),
    }
}

#[cfg(test)]
mod shipped_tests;
#[cfg(test)]
pub(in crate::engine) mod tests;

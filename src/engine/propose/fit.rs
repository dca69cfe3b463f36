//! Does a runbook fit a suspect? Every condition a rule gives must hold.

use super::Surroundings;
use crate::model::{
    Change, EntityKind, Hypothesis, Incident, Labels, MatchRule, MetricRole, Runbook, SuspectKind,
    with_article,
};

/// What is known of one suspect, gathered once for all runbooks.
pub struct Seen<'a> {
    suspect: &'a Hypothesis,
    kind: EntityKind,
    labels: Labels,
    change: Option<Change>,
    /// Names of the metrics and log templates in evidence at the suspect, in lower case.
    subjects: Vec<String>,
    roles: Vec<MetricRole>,
}

impl<'a> Seen<'a> {
    /// Gathers what the incident and its surroundings say of `suspect`.
    pub fn new(incident: &Incident, suspect: &'a Hypothesis, around: Surroundings<'_>) -> Self {
        let entity = &suspect.suspect;
        let mut subjects = Vec::new();
        let mut change = None;
        match &suspect.cause {
            SuspectKind::Resource { metric } => subjects.push(metric.to_lowercase()),
            SuspectKind::Change { id, .. } => change = (around.change)(entity, Some(id)),
            SuspectKind::Traffic
            | SuspectKind::InstanceLoss
            | SuspectKind::Dependency
            | SuspectKind::Unknown => {}
        }
        let mut roles = Vec::new();
        let about =
            |f: &&crate::model::Finding| f.entity == *entity || f.callee.as_ref() == Some(entity);
        for finding in incident.findings.iter().filter(about) {
            subjects.push(finding.subject.to_lowercase());
            roles.push(finding.role);
        }
        Self {
            suspect,
            kind: entity.kind(),
            labels: (around.labels)(incident, entity),
            change,
            subjects,
            roles,
        }
    }
}

/// The conditions, in words, of the rule that fits most closely; `None` when no rule fits.
pub fn best_rule(runbook: &Runbook, seen: &Seen<'_>) -> Option<Vec<String>> {
    let fitting = runbook.rules.iter().filter_map(|rule| holds(rule, seen));
    // `max_by_key` would take the last of equals; the first one written is the author's first thought.
    fitting.reduce(|best, rule| if rule.len() > best.len() { rule } else { best })
}

/// The conditions of a rule, in words, if all of them hold.
fn holds(rule: &MatchRule, seen: &Seen<'_>) -> Option<Vec<String>> {
    let mut conditions = Vec::new();
    if let Some(cause) = &rule.cause {
        (cause == seen.suspect.cause.as_str()).then_some(())?;
        conditions.push(format!("the cause is {}", article(cause)));
    }
    if let Some(kind) = &rule.change {
        let change = seen.change.as_ref()?;
        (kind == change.kind.as_str()).then_some(())?;
        conditions.push(format!("the change is {}", with_article(kind)));
    }
    if !rule.subject.is_empty() {
        let in_evidence = |part: &&String| {
            seen.subjects
                .iter()
                .any(|s| s.contains(&part.to_lowercase()))
        };
        let part = rule.subject.iter().find(in_evidence)?;
        conditions.push(format!("{part} is in evidence"));
    }
    if let Some(role) = rule.role {
        seen.roles.contains(&role).then_some(())?;
        conditions.push(format!("{} is abnormal", role_word(role)));
    }
    if let Some(kind) = rule.entity {
        (kind == seen.kind).then_some(())?;
        conditions.push(format!("it is {}", thing(kind)));
    }
    for (name, wanted) in &rule.labels {
        let value = seen.labels.get(name)?;
        (wanted == "*" || wanted == value).then_some(())?;
        conditions.push(format!("{name} is {wanted}"));
    }
    Some(conditions)
}

/// A kind of entity with its article.
pub(super) fn thing(kind: EntityKind) -> String {
    match kind {
        EntityKind::External => "something outside".to_owned(),
        kind => with_article(kind.as_str()),
    }
}

fn article(cause: &str) -> &str {
    match cause {
        "change" => "a change",
        "resource" => "a limited resource",
        "instance_loss" => "a lost instance",
        "dependency" => "at the suspect itself",
        "unknown" => "not known",
        other => other,
    }
}

const fn role_word(role: MetricRole) -> &'static str {
    match role {
        MetricRole::Latency => "latency",
        MetricRole::Errors => "the error rate",
        MetricRole::Availability => "availability",
        MetricRole::Traffic => "traffic",
        MetricRole::Saturation => "saturation",
        MetricRole::Other => "a metric",
    }
}

//! `w` on a node of the path: what depends on it and what it depends on, by everything the engine knows; until
//! that has come, and in the past, by what the incident itself tells.

use std::collections::BTreeSet;

use crate::model::{
    Dependence, Edge, EntityId, Finding, Health, Incident, PathEdge, Provenance, Reach, Reached,
    SafeText, Time,
};

use super::explain::{bullet, findings, section, width};
use super::format;
use super::glyph;
use super::paint::Row;
use super::state::{Awaited, Overlay, State, Tab};
use super::theme::Role;

/// A dependency is taken for certain from here on, in percent.
const SURE_PERCENT: f64 = 95.0;

/// Entities named in each direction; the rest are counted.
const NAMED_MAX: usize = 20;

/// What is known beyond the incident.
#[derive(Clone, Copy)]
pub(super) enum Told<'a> {
    /// What the engine answered.
    All(&'a Dependence),
    /// Nothing yet.
    Asked,
    /// Nothing: this is the past.
    Past,
    /// Nothing, for this reason.
    Failed(&'a str),
}

/// The node under the cursor of the path, when that has the keys.
pub(super) fn here(state: &State) -> Option<EntityId> {
    let incident = &state.detail()?.incident;
    let is_path = state.place.tab == Tab::Path
        && matches!(state.place.screen, super::state::Screen::Incident(_));
    let rows = super::view::path_rows(state, incident);
    let at = state.cursor(Tab::Path).at(rows.len());
    Some(rows.get(at).filter(|_| is_path)?.entity.clone())
}

/// Everything told of a node.
pub(super) fn rows(
    state: &State,
    incident: &Incident,
    entity: &EntityId,
    told: Told<'_>,
) -> Vec<Row> {
    let width = width(state);
    let mut rows = Vec::new();
    if let Told::All(told) = told {
        section(&mut rows, "What depends on it");
        reach(&mut rows, state, &told.dependents, Side::Dependents, width);
        section(&mut rows, "What it depends on");
        reach(
            &mut rows,
            state,
            &told.dependencies,
            Side::Dependencies,
            width,
        );
    } else {
        match told {
            Told::Asked => {
                let text = "Asking the engine for what is no part of the incident …";
                bullet(&mut rows, Role::Muted, text, width);
            }
            Told::Failed(why) => {
                let text = format!("What is no part of the incident cannot be told: {why}");
                bullet(&mut rows, Role::Crit, &text, width);
            }
            Told::Past | Told::All(_) => {}
        }
        callers(&mut rows, state, incident, entity, width);
        callees(&mut rows, state, incident, entity, width);
    }
    whose(&mut rows, incident, entity, width);
    section(&mut rows, "What was noticed of it");
    let is_of = |f: &&Finding| f.entity == *entity || f.callee.as_ref() == Some(entity);
    let found: Vec<Finding> = incident.findings.iter().filter(is_of).cloned().collect();
    if found.is_empty() {
        bullet(&mut rows, Role::Muted, "nothing", width);
    }
    findings(&mut rows, state, &found, width);
    rows
}

/// Shows what the engine answered, if it is still waited for.
pub(super) fn answered(state: &mut State, entity: &EntityId, told: &Dependence) {
    put(state, entity, Told::All(told));
}

/// Says why it did not.
pub(super) fn failed(state: &mut State, entity: &EntityId, why: &str) {
    put(state, entity, Told::Failed(why));
}

/// The connection it was asked on is gone: nothing comes any more.
pub(super) fn lost(state: &mut State) {
    if let Some(Overlay::Why {
        asked: Some(Awaited::Dependence(entity)),
        ..
    }) = &state.overlay
    {
        let entity = entity.clone();
        failed(state, &entity, "the connection broke; ask again.");
    }
}

fn put(state: &mut State, entity: &EntityId, told: Told<'_>) {
    let Some(detail) = state.detail() else { return };
    let fresh = rows(state, &detail.incident, entity, told);
    let Some(Overlay::Why { rows, asked, .. }) = &mut state.overlay else {
        return;
    };
    let awaited = Awaited::Dependence(entity.clone());
    if asked.take_if(|asked| *asked == awaited).is_some() {
        *rows = fresh;
    }
}

/// Which of those that an entity has to do with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Who depends on it.
    Dependents,
    /// What it depends on.
    Dependencies,
}

fn reach(rows: &mut Vec<Row>, state: &State, reach: &Reach, side: Side, width: usize) {
    if reach.count() == 0 {
        let text = match side {
            Side::Dependents => {
                "nothing that is known: none is declared, traced or read off labels"
            }
            Side::Dependencies => "nothing that is known",
        };
        return bullet(rows, Role::Muted, text, width);
    }
    bullet(rows, Role::Title, &counted(reach), width);
    for line in shares(reach) {
        bullet(rows, Role::Body, &line, width);
    }
    for reached in reach.named.iter().take(NAMED_MAX) {
        let role = if reached.health == Health::Ok {
            Role::Body
        } else {
            Role::Warn
        };
        bullet(rows, role, &sentence(state, reached, side), width);
    }
    let more = reach
        .count()
        .saturating_sub(reach.named.len().min(NAMED_MAX) as u32);
    if more > 0 {
        let text = format!("and {} more", format::count(more.into()));
        bullet(rows, Role::Muted, &text, width);
    }
}

/// `17 entities: 3 directly, 9 two steps away, 5 further; 2 not well`
fn counted(reach: &Reach) -> String {
    let steps = |at: usize| reach.by_step.get(at).copied().unwrap_or(0);
    let further: u32 = reach.by_step.iter().skip(2).sum();
    let parts = [
        (steps(0), "directly"),
        (steps(1), "two steps away"),
        (further, "further"),
    ];
    let parts = parts.into_iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = parts
        .map(|(count, how)| format!("{} {how}", format::count(count.into())))
        .collect();
    let least = if reach.is_cut { "at least " } else { "" };
    let all = format::counted(reach.count().into(), "entity", "entities");
    let well = match reach.unwell {
        0 => "all are well".to_owned(),
        unwell => format!("{} not well", format::count(unwell.into())),
    };
    format!("{least}{all}: {}; {well}", parts.join(", "))
}

/// Of which tiers and whose they are, as far as that is known.
fn shares(reach: &Reach) -> Vec<String> {
    let tiers = reach.tiers.iter();
    let tiers: Vec<String> = tiers
        .map(|(tier, count)| format!("{count} of tier {tier}"))
        .collect();
    let owners = reach.owners.iter();
    let owners: Vec<String> = owners
        .map(|(owner, count)| format!("{count} of {owner}"))
        .collect();
    let mut lines = Vec::new();
    if !tiers.is_empty() {
        lines.push(format!("by tier: {}", tiers.join(", ")));
    }
    if !owners.is_empty() {
        lines.push(format!("by owner: {}", owners.join(", ")));
    }
    lines
}

/// `web calls it: traced, last confirmed 3s ago; bad, tier 1, owned by shop`
fn sentence(state: &State, reached: &Reached, side: Side) -> String {
    let (entity, via) = (&reached.entity, &reached.via);
    let mut text = match (side, reached.steps) {
        (Side::Dependents, 1) => format!("{} {} it", entity.name(), Edge::verb(via)),
        (Side::Dependents, _) => format!("{} {} {}", entity.name(), Edge::verb(via), via.name()),
        (Side::Dependencies, 1) => format!("it {} {}", Edge::verb(entity), entity.name()),
        (Side::Dependencies, _) => {
            format!("{} {} {}", via.name(), Edge::verb(entity), entity.name())
        }
    };
    text.push_str(": ");
    text.push_str(&known(state, reached.provenance, reached.last_seen));
    let (_, health, _) = glyph::health(reached.health);
    let health = (reached.health != Health::Ok).then(|| health.to_owned());
    let tier = reached.tier.map(|tier| format!("tier {tier}"));
    let owner = reached
        .owner
        .as_ref()
        .map(|owner| format!("owned by {owner}"));
    let facts: Vec<String> = health.into_iter().chain(tier).chain(owner).collect();
    if !facts.is_empty() {
        text.push_str("; ");
        text.push_str(&facts.join(", "));
    }
    text
}

/// Whose it is.
fn whose(rows: &mut Vec<Row>, incident: &Incident, entity: &EntityId, width: usize) {
    let Some(node) = incident.path_nodes.iter().find(|n| &n.entity == entity) else {
        return;
    };
    let tier = node.tier.map(|tier| format!("tier {tier}"));
    let owner = node.owner.as_ref().map(|owner| format!("owned by {owner}"));
    let links = node.links.iter().map(|(what, at)| format!("{what}: {at}"));
    let facts: Vec<String> = owner.into_iter().chain(tier).chain(links).collect();
    if !facts.is_empty() {
        section(rows, "Whose it is");
    }
    for fact in &facts {
        bullet(rows, Role::Body, fact, width);
    }
}

/// What it depends on of the incident.
fn callees(
    rows: &mut Vec<Row>,
    state: &State,
    incident: &Incident,
    entity: &EntityId,
    width: usize,
) {
    section(rows, "What it depends on");
    let name = |ix: u32| incident.path_nodes.get(ix as usize).map(|n| &n.entity);
    let mut none = true;
    for edge in &incident.path_edges {
        if let (true, Some(callee)) = (name(edge.from) == Some(entity), name(edge.to)) {
            none = false;
            let text = format!("{}: {}", callee.name(), of_edge(state, edge));
            bullet(rows, Role::Body, &text, width);
        }
    }
    if none {
        let text = "nothing of this incident; what is well is not part of it";
        bullet(rows, Role::Muted, text, width);
    }
}

/// Who of the incident calls an entity, and who calls those.
fn callers(
    rows: &mut Vec<Row>,
    state: &State,
    incident: &Incident,
    entity: &EntityId,
    width: usize,
) {
    let name = |ix: u32| incident.path_nodes.get(ix as usize).map(|n| &n.entity);
    let of = |ix: u32| name(ix) == Some(entity);
    section(rows, "What depends on it");
    let mut reached: BTreeSet<u32> = BTreeSet::new();
    for edge in incident.path_edges.iter().filter(|edge| of(edge.to)) {
        if let Some(caller) = name(edge.from).filter(|_| reached.insert(edge.from)) {
            let (caller, verb) = (caller.name(), Edge::verb(entity));
            let text = format!("{caller} {verb} it: {}", of_edge(state, edge));
            bullet(rows, Role::Body, &text, width);
        }
    }
    let direct = reached.clone();
    // Each round adds those who call somebody reached before; there are no more rounds than nodes.
    for _ in &incident.path_nodes {
        let edges = incident.path_edges.iter();
        let more = edges.filter(|edge| reached.contains(&edge.to) && !of(edge.from));
        let more: Vec<u32> = more.map(|edge| edge.from).collect();
        reached.extend(more);
    }
    let through = reached.difference(&direct).filter_map(|ix| name(*ix));
    let through: Vec<&str> = through.map(EntityId::name).collect();
    if !through.is_empty() {
        let text = format!("through them: {}", through.join(", "));
        bullet(rows, Role::Body, &text, width);
    }
    if reached.is_empty() {
        let text = "nobody of this incident; who is well is not part of it";
        bullet(rows, Role::Muted, text, width);
    }
}

fn of_edge(state: &State, edge: &PathEdge) -> String {
    known(state, edge.provenance, edge.last_seen)
}

/// How a dependency is known, how old that is, and how far it is believed.
fn known(state: &State, provenance: Provenance, last_seen: Time) -> String {
    let (how, now) = (provenance.as_str(), state.engine_now());
    let percent = provenance.confidence_at(last_seen, now) * 100.0;
    let sure = if percent < SURE_PERCENT {
        format!(", {percent:.0} % sure")
    } else {
        String::new()
    };
    // Read off labels or the config, it was never confirmed by anything.
    if last_seen == Time::ZERO {
        return format!("{how}{sure}");
    }
    let age = format::age(now.since(last_seen));
    format!("{how}, last confirmed {age} ago{sure}")
}

/// What stands over it.
pub(super) fn title(entity: &EntityId) -> SafeText {
    SafeText::new(entity.name())
}

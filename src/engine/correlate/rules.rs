//! What the team knows better: alerts that a rule of the config makes one incident.
//!
//! Remembers on which entities the alerts of a rule began of late, by the values of the labels in which
//! they must agree. Must never look at more than [`MEMBERS_MAX`] of them for one more alert, and never
//! touches what comes without an alert.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::merge::Merger;
use super::{Correlator, Lane, World};
use crate::config::RuleConfig;
use crate::engine::entities::EntityIx;
use crate::engine::hold::matching::{MatchIndex, all_fit};
use crate::engine::set_back::SetBack;
use crate::model::{IncidentId, LabelFilter, Labels, Time};

/// Between the values of labels in which alerts must agree.
const SEPARATOR: char = '\u{1f}';
/// Groups of alerts that agree, remembered; of more, those are forgotten that would be soonest.
const GROUPS_MAX: usize = 4_096;
/// Entities remembered in a group, the latest: more than any rule may ask for, and of a storm the others
/// are in one incident with these.
const MEMBERS_MAX: usize = 64;
/// Alerts come this long after they began and still find their group, in milliseconds.
const LATE_MS: i64 = 10 * 60_000;

/// A rule of the config, ready for use.
#[derive(Debug)]
struct Rule {
    name: Box<str>,
    what: Box<str>,
    subjects: Vec<LabelFilter>,
    leaders: Option<Vec<LabelFilter>>,
    same: Vec<Box<str>>,
    within_ms: i64,
    at_least: usize,
    /// Entities it placed, and incidents it merged.
    joined: u64,
}

/// An entity on which an alert of a rule began.
#[derive(Clone, Copy, Debug)]
struct Member {
    entity: EntityIx,
    onset: Time,
}

/// Alerts of one rule that agree in its labels.
#[derive(Debug, Default)]
struct Group {
    subjects: VecDeque<Member>,
    leaders: VecDeque<Member>,
    /// When it is forgotten.
    due: Time,
}

/// An alert is one of a rule's.
#[derive(Clone, Debug)]
pub struct Hit {
    /// Which rule, in order of the config.
    pub rule: usize,
    key: Box<str>,
    onset: Time,
    is_subject: bool,
    is_leader: bool,
}

/// How an alert belongs with another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tie {
    /// Both are alike.
    Alike,
    /// It follows the other.
    Follows,
    /// It began before the other.
    Leads,
}

/// The rules, and the alerts of late that they are about.
#[derive(Debug, Default)]
pub struct Rules {
    all: Vec<Rule>,
    subjects: MatchIndex,
    leaders: MatchIndex,
    /// By rule.
    groups: Vec<BTreeMap<Box<str>, Group>>,
    dues: BTreeSet<(Time, usize, Box<str>)>,
    /// Groups for which there was no room.
    forgotten: u64,
}

impl Rules {
    /// The enabled rules of the config; what `config::parse` would refuse does not apply.
    pub fn new(config: &[RuleConfig]) -> Self {
        let mut rules = Self::default();
        let enabled = config.iter().filter(|rule| rule.enabled);
        for rule in enabled.filter_map(Rule::read) {
            let key = rules.all.len() as u64;
            rules.subjects.add(key, &rule.subjects);
            if let Some(leaders) = &rule.leaders {
                rules.leaders.add(key, leaders);
            }
            rules.all.push(rule);
            rules.groups.push(BTreeMap::new());
        }
        rules
    }

    /// An alert fires on `entity`: remembers it in the groups of its rules, and says which those are.
    pub fn note(&mut self, labels: &Labels, entity: EntityIx, onset: Time, now: Time) -> Vec<Hit> {
        let mut parts: BTreeMap<usize, (bool, bool)> = BTreeMap::new();
        for rule in self.subjects.candidates(labels).map(|key| key as usize) {
            parts.entry(rule).or_default().0 = all_fit(&self.all[rule].subjects, labels);
        }
        for rule in self.leaders.candidates(labels).map(|key| key as usize) {
            let leaders = self.all[rule].leaders.as_ref();
            parts.entry(rule).or_default().1 = leaders.is_some_and(|all| all_fit(all, labels));
        }
        let mut hits = Vec::new();
        for (rule, (is_subject, is_leader)) in parts {
            if !is_subject && !is_leader {
                continue;
            }
            let Some(key) = self.all[rule].key(labels) else {
                continue;
            };
            let hit = Hit {
                rule,
                key,
                onset,
                is_subject,
                is_leader,
            };
            self.remember(&hit, entity, now);
            hits.push(hit);
        }
        hits
    }

    fn remember(&mut self, hit: &Hit, entity: EntityIx, now: Time) {
        let due = now.plus_ms(self.all[hit.rule].within_ms + LATE_MS);
        let group = self.groups[hit.rule].entry(hit.key.clone()).or_default();
        self.dues.remove(&(group.due, hit.rule, hit.key.clone()));
        group.due = due;
        let onset = hit.onset;
        if hit.is_subject {
            put(&mut group.subjects, Member { entity, onset });
        }
        if hit.is_leader {
            put(&mut group.leaders, Member { entity, onset });
        }
        self.dues.insert((due, hit.rule, hit.key.clone()));
        if self.dues.len() > GROUPS_MAX
            && let Some((_, rule, key)) = self.dues.pop_first()
        {
            self.groups[rule].remove(&key);
            self.forgotten += 1;
        }
    }

    /// The entities that a rule makes one with `entity`, on which an alert of its began.
    pub fn mates(&self, hit: &Hit, entity: EntityIx) -> Vec<(EntityIx, Tie)> {
        let rule = &self.all[hit.rule];
        let Some(group) = self.groups[hit.rule].get(&hit.key) else {
            return Vec::new();
        };
        let others = |members: &VecDeque<Member>| {
            let others = members.iter().filter(|member| member.entity != entity);
            others.copied().collect::<Vec<Member>>()
        };
        let at = hit.onset;
        let mut mates = Vec::new();
        if rule.leaders.is_none() {
            let near = |m: &Member| at.since(m.onset).abs() <= rule.within_ms;
            let alike = others(&group.subjects).into_iter().filter(near);
            if rule.are_enough(group, at) {
                mates.extend(alike.map(|m| (m.entity, Tie::Alike)));
            }
            return mates;
        }
        if hit.is_subject {
            let leads = |m: &Member| rule.is_led(m.onset, at) && rule.leads_enough(group, m);
            let leaders: Vec<Member> = others(&group.leaders).into_iter().filter(leads).collect();
            mates.extend(leaders.iter().map(|m| (m.entity, Tie::Follows)));
            // Those that followed before there were enough are where they would be without the rule.
            if rule.at_least > 2 {
                let follows = |m: &Member| leaders.iter().any(|l| rule.is_led(l.onset, m.onset));
                let followers = others(&group.subjects).into_iter().filter(follows);
                mates.extend(followers.map(|m| (m.entity, Tie::Alike)));
            }
        }
        let ours = Member { entity, onset: at };
        if hit.is_leader && rule.leads_enough(group, &ours) {
            let follows = |m: &Member| rule.is_led(at, m.onset);
            let followers = others(&group.subjects).into_iter().filter(follows);
            mates.extend(followers.map(|m| (m.entity, Tie::Leads)));
        }
        mates
    }

    /// Why one entity belongs with another, in words that name the rule.
    pub fn why(&self, hit: &Hit, one: &str, other: &str, tie: Tie) -> String {
        let Rule { name, what, .. } = &self.all[hit.rule];
        let how = match tie {
            Tie::Alike => format!("{one} and {other} belong together"),
            Tie::Follows => format!("{one} follows {other}"),
            Tie::Leads => format!("{other} follows {one}"),
        };
        format!("{how} by the rule {name:?}: {what}")
    }

    /// A rule placed an entity, or merged two incidents.
    pub fn count(&mut self, rule: usize) {
        self.all[rule].joined += 1;
    }

    /// Forgets what is too long ago for anything that comes now.
    pub fn expire(&mut self, now: Time) {
        while let Some((due, ..)) = self.dues.first()
            && *due <= now
            && let Some((_, rule, key)) = self.dues.pop_first()
        {
            self.groups[rule].remove(&key);
        }
    }

    /// Tells every entity it refers to.
    pub fn entities(&self, mark: &mut impl FnMut(EntityIx)) {
        for group in self.groups.iter().flat_map(BTreeMap::values) {
            let members = group.subjects.iter().chain(&group.leaders);
            members.for_each(|member| mark(member.entity));
        }
    }

    /// Follows a clock that was set back.
    pub fn set_back(&mut self, back: SetBack) {
        self.dues.clear();
        for (rule, groups) in self.groups.iter_mut().enumerate() {
            for (key, group) in groups {
                back.due(&mut group.due);
                self.dues.insert((group.due, rule, key.clone()));
                let members = group.subjects.iter_mut().chain(&mut group.leaders);
                members.for_each(|member| back.past(&mut member.onset));
            }
        }
    }
}

impl Rule {
    fn read(config: &RuleConfig) -> Option<Self> {
        Some(Self {
            name: config.name.as_str().into(),
            what: config.what().into(),
            subjects: config.matchers().ok()?,
            leaders: config.leaders().ok()?,
            same: config
                .same
                .iter()
                .map(|name| name.as_str().into())
                .collect(),
            within_ms: i64::from(config.within_s) * 1_000,
            at_least: config.at_least.max(RuleConfig::default().at_least) as usize,
            joined: 0,
        })
    }

    /// The values in which alerts must agree; none when one is missing: what two alerts do not say is
    /// nothing they have in common.
    fn key(&self, labels: &Labels) -> Option<Box<str>> {
        let values = self.same.iter().map(|name| labels.get(name));
        let values: Vec<&str> = values.collect::<Option<_>>()?;
        Some(values.join(&SEPARATOR.to_string()).into())
    }

    fn is_led(&self, leader: Time, follower: Time) -> bool {
        (0..=self.within_ms).contains(&follower.since(leader))
    }

    /// Whether enough entities are hurt within the time of which `at` is part.
    fn are_enough(&self, group: &Group, at: Time) -> bool {
        let mut onsets: Vec<Time> = group.subjects.iter().map(|member| member.onset).collect();
        onsets.sort_unstable();
        onsets.windows(self.at_least).any(|window| {
            let (first, last) = (window[0], window[window.len() - 1]);
            first <= at && at <= last && last.since(first) <= self.within_ms
        })
    }

    /// Whether enough entities are hurt: the leader, and those that follow it.
    fn leads_enough(&self, group: &Group, leader: &Member) -> bool {
        let follows = |m: &&Member| m.entity != leader.entity && self.is_led(leader.onset, m.onset);
        group.subjects.iter().filter(follows).count() + 1 >= self.at_least
    }
}

/// Remembers a member as the latest; the earliest leaves when there is no room.
fn put(members: &mut VecDeque<Member>, new: Member) {
    members.retain(|member| member.entity != new.entity);
    if members.len() >= MEMBERS_MAX {
        members.pop_front();
    }
    members.push_back(new);
}

impl Correlator {
    /// A correlator that knows the rules of the team.
    pub fn new(rules: &[RuleConfig]) -> Self {
        Self {
            rules: Rules::new(rules),
            ..Self::default()
        }
    }

    /// The rules that are applied, in order: name, what each says, and how often it was followed; and
    /// groups of alerts for which there was no room.
    pub fn rules(&self) -> (impl Iterator<Item = (&str, &str, u64)>, u64) {
        let rules = self.rules.all.iter();
        let rules = rules.map(|rule| (&*rule.name, &*rule.what, rule.joined));
        (rules, self.rules.forgotten)
    }

    /// Makes one incident of those that an alert on `entity` shows to be one by a rule. Two that have a
    /// cause of their own each, and two that a person told apart, stay two.
    pub(super) fn merge_by_rules(&mut self, entity: EntityIx, hits: &[Hit], world: &mut World<'_>) {
        for hit in hits {
            for (mate, tie) in self.rules.mates(hit, entity) {
                let Some((kept, merged, root)) = self.one_by_rule(entity, mate, tie, world) else {
                    continue;
                };
                let name = |ix| world.entities.id(ix).name();
                let why = self.rules.why(hit, name(entity), name(mate), tie);
                if let Some(held) = self.book.get_mut(kept) {
                    held.note_reason(&why);
                    held.tell(world.now, Lane::Automation, None, &why);
                }
                self.merge(kept, merged, root, Merger::Rule, world);
                self.rules.count(hit.rule);
            }
        }
    }

    /// The incidents of two entities that are to be one, the older first, and the root of that.
    fn one_by_rule(
        &self,
        entity: EntityIx,
        mate: EntityIx,
        tie: Tie,
        world: &World<'_>,
    ) -> Option<(IncidentId, IncidentId, EntityIx)> {
        let scene = self.scene(world);
        let (ours, theirs) = (scene.open_of(entity)?, scene.open_of(mate)?);
        let (one, other) = (ours.incident.id, theirs.incident.id);
        let are_two = scene.has_own_cause(ours.root) && scene.has_own_cause(theirs.root);
        if one == other || are_two || self.keeps_apart(one, other, world.entities) {
            return None;
        }
        let root = match tie {
            Tie::Follows => theirs.root,
            Tie::Alike if other < one => theirs.root,
            Tie::Alike | Tie::Leads => ours.root,
        };
        Some((one.min(other), one.max(other), root))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EngineConfig;
    use crate::engine::Engine;
    use crate::model::{Alert, Batch, Fingerprint, Input, Signal, SourceId, StageRow, Stamped};

    const START: Time = Time::from_secs(1_768_392_000);
    const END_S: i64 = 900;

    fn rule(name: &str, matchers: &[&str], same: &[&str], after: &[&str]) -> RuleConfig {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        RuleConfig {
            name: name.to_owned(),
            matchers: texts(matchers),
            same: texts(same),
            after: texts(after),
            ..RuleConfig::default()
        }
    }

    /// An alert that comes at `at_s`, having begun at `began_s`, on `name@cluster`.
    #[derive(Clone, Copy)]
    struct Told {
        began_s: i64,
        at_s: i64,
        on: &'static str,
    }

    const fn told(began_s: i64, at_s: i64, on: &'static str) -> Told {
        Told { began_s, at_s, on }
    }

    fn labels(on: &str) -> Labels {
        let (name, cluster) = on.split_once('@').unwrap_or((on, ""));
        let alert = format!("{name} is down");
        let all = [
            ("alertname", alert.as_str()),
            ("service", name),
            ("severity", "error"),
            ("cluster", cluster),
        ];
        let said = all.into_iter().filter(|(_, value)| !value.is_empty());
        Labels::from_pairs(said).unwrap()
    }

    fn alert(told: Told) -> Signal {
        let labels = labels(told.on);
        Signal::Alert(Box::new(Alert {
            fingerprint: Fingerprint::of(&labels),
            labels,
            annotations: Labels::empty(),
            starts_at: START.plus_ms(told.began_s * 1_000),
            ends_at: START.plus_ms(2 * END_S * 1_000),
            generator_url: None,
        }))
    }

    /// What is tried, the rule, the alerts, and who is with whom then.
    type Case<'a> = (&'a str, &'a RuleConfig, &'a [Told], &'a [&'a [&'a str]]);

    /// Who is with whom after these alerts, by incident.
    fn judged(rules: &[RuleConfig], alerts: &[Told]) -> (Engine, Vec<Vec<String>>) {
        let config = EngineConfig {
            rules: rules.to_vec(),
            ..EngineConfig::default()
        };
        let mut engine = Engine::new(config, Vec::new());
        let mut inputs: Vec<(i64, Input)> =
            (0..=END_S).step_by(5).map(|s| (s, Input::Tick)).collect();
        for told in alerts {
            let (source, signals) = (SourceId::new("test"), vec![alert(*told)]);
            inputs.push((told.at_s, Input::Signals(Batch { source, signals })));
        }
        inputs.sort_by_key(|(at_s, _)| *at_s);
        for (seq, (at_s, input)) in (1..).zip(inputs) {
            let at = START.plus_ms(at_s * 1_000);
            engine.step(&Stamped { seq, at, input }, &mut Vec::new());
        }
        let ids: BTreeSet<IncidentId> = engine.incident_rows().map(|row| row.id).collect();
        let names = ids.into_iter().map(|id| {
            let rows = engine.alerts(None, usize::MAX, Some(id)).into_iter();
            let names: BTreeSet<String> = rows.map(|row| row.entity.name().to_owned()).collect();
            names.into_iter().collect()
        });
        let names = names.collect();
        (engine, names)
    }

    #[test]
    fn alerts_of_a_rule_are_one_incident() {
        let cluster = rule("cluster", &["severity=error"], &["cluster"], &[]);
        let three = RuleConfig {
            at_least: 3,
            ..cluster.clone()
        };
        let off = RuleConfig {
            enabled: false,
            ..cluster.clone()
        };
        let switch = rule("switch", &["service=~\"n.\""], &[], &["service=sw"]);
        let two_nodes = RuleConfig {
            at_least: 3,
            ..switch.clone()
        };
        let any = rule("any", &["service=~\"a|b\""], &[], &[]);
        let at = |s, on| told(s, s, on);
        let [a, b, c, d] = [at(0, "a@x"), at(60, "b@x"), at(70, "c@y"), at(500, "d@x")];
        let cases: [Case<'_>; 14] = [
            ("agree", &cluster, &[a, b, c], &[&["a", "b"], &["c"]]),
            ("too late", &cluster, &[a, b, d], &[&["a", "b"], &["d"]]),
            ("off", &off, &[a, b], &[&["a"], &["b"]]),
            (
                "say nothing",
                &cluster,
                &[at(0, "a"), at(9, "b")],
                &[&["a"], &["b"]],
            ),
            ("no label asked", &any, &[a, b, c], &[&["a", "b"], &["c"]]),
            ("two of three", &three, &[a, b], &[&["a"], &["b"]]),
            ("three", &three, &[a, b, at(90, "e@x")], &[&["a", "b", "e"]]),
            (
                "three, too far apart",
                &three,
                &[a, at(200, "b@x"), at(400, "c@x")],
                &[&["a"], &["b"], &["c"]],
            ),
            (
                "after",
                &switch,
                &[at(0, "sw"), at(30, "n1"), at(31, "n2")],
                &[&["n1", "n2", "sw"]],
            ),
            (
                "before",
                &switch,
                &[at(0, "n1"), at(30, "sw")],
                &[&["n1"], &["sw"]],
            ),
            (
                "long after",
                &switch,
                &[at(0, "sw"), at(301, "n1")],
                &[&["sw"], &["n1"]],
            ),
            (
                "told late",
                &switch,
                &[at(30, "n1"), told(10, 60, "sw")],
                &[&["n1", "sw"]],
            ),
            (
                "one follower of two",
                &two_nodes,
                &[at(0, "sw"), at(9, "n1")],
                &[&["sw"], &["n1"]],
            ),
            (
                "two followers",
                &two_nodes,
                &[at(0, "sw"), at(9, "n1"), at(10, "n2")],
                &[&["n1", "n2", "sw"]],
            ),
        ];
        for (what, rule, alerts, expected) in cases {
            let (_, got) = judged(std::slice::from_ref(rule), alerts);
            assert_eq!(got, expected, "{what}");
        }
    }

    #[test]
    fn a_rule_is_named_and_counted() {
        let three = RuleConfig {
            at_least: 3,
            ..rule("one cluster", &[], &["cluster"], &[])
        };
        let alerts = [told(0, 0, "a@x"), told(9, 9, "b@x"), told(20, 20, "c@x")];
        let (engine, _) = judged(&[three], &alerts);
        let reasons = &engine.incident(IncidentId(1)).unwrap().grouping;
        let by = "by the rule \"one cluster\": all alerts with the same cluster, within 5 min, on 3 entities or more";
        let expected = [
            "opened by a at 12:00".to_owned(),
            format!("c and a belong together {by}"),
            format!("c and b belong together {by}"),
        ];
        for reason in &expected {
            assert!(reasons.iter().any(|said| **said == **reason), "{reasons:?}");
        }
        let stages = engine.stages();
        let total = |of: &str, name: &str| {
            let mut rows = stages
                .iter()
                .filter(|row| *row.of == *of && *row.name == *name);
            rows.next().map(|row| row.total)
        };
        assert_eq!(total("entities", "rule"), Some(1), "it placed c");
        let followed = total(StageRow::OF_RULE, "one cluster");
        assert_eq!(followed, Some(2), "and merged b's");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut rules = Rules::new(&[rule("cluster", &[], &["cluster"], &[])]);
        let put = |rules: &mut Rules, entity: u32, on: &str| {
            let hits = rules.note(&labels(on), EntityIx(entity), START, START);
            let [hit] = &hits[..] else { panic!("one rule") };
            rules.mates(hit, EntityIx(entity)).len()
        };
        let most = (0..1_000).map(|n| put(&mut rules, n, "a@x")).max();
        assert_eq!(most, Some(MEMBERS_MAX - 1));
        for n in 0..5_000 {
            put(&mut rules, n, &format!("a@{n}"));
        }
        let kept = rules.groups.iter().map(BTreeMap::len).sum::<usize>();
        assert_eq!((kept, rules.dues.len()), (GROUPS_MAX, GROUPS_MAX));
        assert_eq!(rules.forgotten, 5_001 - GROUPS_MAX as u64);
        rules.expire(START.plus_ms(300_000 + LATE_MS));
        assert!(rules.dues.is_empty() && rules.groups[0].is_empty());
    }
}

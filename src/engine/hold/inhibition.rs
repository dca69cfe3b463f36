//! Alerts that another alert says already: "the cluster is down" speaks for "this node is down".
//!
//! The rules are Alertmanager's: a target is held back while a source fires that has the same values
//! in the labels that must be equal, and an alert that is both does not hold back its own kind.
//! Everything is O(log n) an alert, whatever the size of the storm.

use std::collections::{BTreeMap, BTreeSet};

use super::matching::{MatchIndex, all_fit};
use crate::config::InhibitConfig;
use crate::model::{Fingerprint, LabelFilter, Labels};

/// Between the values of labels that must be equal.
const SEPARATOR: char = '\u{1f}';

/// A rule of the config, ready for use.
#[derive(Debug)]
struct Rule {
    name: Box<str>,
    source: Vec<LabelFilter>,
    target: Vec<LabelFilter>,
    equal: Vec<Box<str>>,
}

/// Firing alerts that agree in the labels of a rule.
#[derive(Debug, Default)]
struct Group {
    sources: BTreeSet<Fingerprint>,
    /// Sources that are targets as well.
    both: BTreeSet<Fingerprint>,
    targets: BTreeSet<Fingerprint>,
}

/// What an alert is to a rule.
#[derive(Debug)]
struct Part {
    rule: usize,
    key: Box<str>,
    is_source: bool,
    is_target: bool,
}

/// Rules, and the firing alerts they are about.
#[derive(Debug, Default)]
pub struct Inhibition {
    rules: Vec<Rule>,
    sources: MatchIndex,
    targets: MatchIndex,
    groups: BTreeMap<(usize, Box<str>), Group>,
    parts: BTreeMap<Fingerprint, Vec<Part>>,
}

impl Inhibition {
    /// The rules of the config; what `config::parse` would refuse does not apply.
    pub fn new(config: &[InhibitConfig]) -> Self {
        let mut inhibition = Self::default();
        for rule in config.iter().filter_map(Rule::read) {
            let key = inhibition.rules.len() as u64;
            inhibition.sources.add(key, &rule.source);
            inhibition.targets.add(key, &rule.target);
            inhibition.rules.push(rule);
        }
        inhibition
    }

    /// An alert fires; targets that it holds back from now on.
    pub fn fired(&mut self, alert: Fingerprint, labels: &Labels) -> Vec<Fingerprint> {
        if self.rules.is_empty() || self.parts.contains_key(&alert) {
            return Vec::new();
        }
        let mut parts: BTreeMap<usize, (bool, bool)> = BTreeMap::new();
        for rule in self.sources.candidates(labels).map(|key| key as usize) {
            parts.entry(rule).or_default().0 = all_fit(&self.rules[rule].source, labels);
        }
        for rule in self.targets.candidates(labels).map(|key| key as usize) {
            parts.entry(rule).or_default().1 = all_fit(&self.rules[rule].target, labels);
        }
        let mut taken = Vec::new();
        let mut held = Vec::new();
        for (rule, (is_source, is_target)) in parts {
            if !is_source && !is_target {
                continue;
            }
            let key = self.rules[rule].key(labels);
            let group = self.groups.entry((rule, key.clone())).or_default();
            if is_target {
                group.targets.insert(alert);
            }
            match (is_source, is_target) {
                (true, true) => group.both.insert(alert),
                (true, false) => group.sources.insert(alert),
                (false, _) => false,
            };
            let speaks_first = is_source && group.sources.len() + group.both.len() == 1
                || is_source && !is_target && group.sources.len() == 1;
            if speaks_first {
                held.extend(group.targets.iter().filter(|target| **target != alert));
            }
            taken.push(Part {
                rule,
                key,
                is_source,
                is_target,
            });
        }
        if !taken.is_empty() {
            self.parts.insert(alert, taken);
        }
        held
    }

    /// An alert is over; targets that it may have held back.
    pub fn over(&mut self, alert: Fingerprint) -> Vec<Fingerprint> {
        let mut freed = Vec::new();
        for part in self.parts.remove(&alert).unwrap_or_default() {
            let at = (part.rule, part.key);
            let Some(group) = self.groups.get_mut(&at) else {
                continue;
            };
            group.sources.remove(&alert);
            group.both.remove(&alert);
            group.targets.remove(&alert);
            let is_last = group.sources.is_empty() && group.both.len() <= 1
                || part.is_source && !part.is_target && group.sources.is_empty();
            if part.is_source && is_last {
                freed.extend(&group.targets);
            }
            if group.targets.is_empty() && group.sources.is_empty() && group.both.is_empty() {
                self.groups.remove(&at);
            }
        }
        freed
    }

    /// The rule and the alert that hold `alert` back, if any do.
    pub fn holder(&self, alert: Fingerprint) -> Option<(&str, Fingerprint)> {
        let parts = self.parts.get(&alert)?;
        parts.iter().filter(|part| part.is_target).find_map(|part| {
            let group = self.groups.get(&(part.rule, part.key.clone()))?;
            let own_kind = (!part.is_source).then_some(&group.both);
            let mut speakers = group.sources.iter().chain(own_kind.into_iter().flatten());
            let speaker = speakers.find(|speaker| **speaker != alert)?;
            Some((&*self.rules[part.rule].name, *speaker))
        })
    }
}

impl Rule {
    fn read(config: &InhibitConfig) -> Option<Self> {
        Some(Self {
            name: config.name.as_str().into(),
            source: config.sources().ok()?,
            target: config.targets().ok()?,
            equal: config
                .equal
                .iter()
                .map(|name| name.as_str().into())
                .collect(),
        })
    }

    /// The values that must be equal; a label that is absent has the empty value.
    fn key(&self, labels: &Labels) -> Box<str> {
        let values = self.equal.iter().map(|name| labels.get(name));
        let values: Vec<&str> = values.map(Option::unwrap_or_default).collect();
        values.join(&SEPARATOR.to_string()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(source: &str, target: &str, equal: &[&str]) -> InhibitConfig {
        InhibitConfig {
            name: format!("{source} over {target}"),
            source: vec![source.to_owned()],
            target: vec![target.to_owned()],
            equal: equal.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    /// Alerts by name: `name@cluster/severity`.
    fn labels(text: &str) -> Labels {
        let (name, rest) = text.split_once('@').unwrap();
        let (cluster, severity) = rest.split_once('/').unwrap();
        let pairs = [
            ("alertname", name),
            ("cluster", cluster),
            ("severity", severity),
        ];
        Labels::from_pairs(pairs).unwrap()
    }

    struct Bench(Inhibition);

    impl Bench {
        fn id(text: &str) -> Fingerprint {
            Fingerprint::of(&labels(text))
        }

        fn fire(&mut self, text: &str) -> Vec<Fingerprint> {
            self.0.fired(Self::id(text), &labels(text))
        }

        fn end(&mut self, text: &str) -> Vec<Fingerprint> {
            self.0.over(Self::id(text))
        }

        fn holder(&self, text: &str) -> Option<Fingerprint> {
            self.0.holder(Self::id(text)).map(|(_, speaker)| speaker)
        }
    }

    #[test]
    fn a_source_speaks_for_its_targets_where_labels_agree() {
        let rules = [rule(
            "alertname=ClusterDown",
            "alertname=~\"Node.*\"",
            &["cluster"],
        )];
        let mut bench = Bench(Inhibition::new(&rules));
        let [down, here, there] = ["ClusterDown@a/x", "NodeDown@a/x", "NodeDown@b/x"];
        assert_eq!(bench.fire(here), []);
        assert_eq!(bench.fire(there), []);
        assert_eq!(bench.holder(here), None);
        assert_eq!(bench.fire(down), [Bench::id(here)], "held back from now on");
        assert_eq!(bench.fire(down), [], "a resend says nothing new");
        assert_eq!(bench.holder(here), Some(Bench::id(down)));
        assert_eq!(bench.holder(there), None);
        assert_eq!(bench.holder(down), None);
        assert_eq!(bench.end(down), [Bench::id(here)]);
        assert_eq!(bench.holder(here), None);
        for text in [here, there] {
            assert_eq!(bench.end(text), []);
        }
        assert!(bench.0.groups.is_empty() && bench.0.parts.is_empty());
    }

    #[test]
    fn one_of_several_sources_is_enough() {
        let rules = [rule("severity=critical", "severity=warning", &["cluster"])];
        let mut bench = Bench(Inhibition::new(&rules));
        let [first, second, target] = ["A@a/critical", "B@a/critical", "A@a/warning"];
        bench.fire(target);
        assert_eq!(bench.fire(first), [Bench::id(target)]);
        assert_eq!(bench.fire(second), []);
        assert_eq!(bench.end(first), []);
        assert_eq!(bench.holder(target), Some(Bench::id(second)));
        assert_eq!(bench.end(second), [Bench::id(target)]);
    }

    #[test]
    fn alerts_that_are_both_do_not_silence_each_other() {
        let rules = [rule("cluster=a", "cluster=a", &[])];
        let mut bench = Bench(Inhibition::new(&rules));
        bench.fire("A@a/x");
        bench.fire("B@a/x");
        assert_eq!((bench.holder("A@a/x"), bench.holder("B@a/x")), (None, None));
    }

    #[test]
    fn without_labels_that_must_be_equal_any_source_speaks() {
        let rules = [rule("alertname=DatacentreDown", "severity=warning", &[])];
        let mut bench = Bench(Inhibition::new(&rules));
        bench.fire("DatacentreDown@a/critical");
        bench.fire("A@b/warning");
        assert_eq!(
            bench.holder("A@b/warning"),
            Some(Bench::id("DatacentreDown@a/critical"))
        );
    }
}

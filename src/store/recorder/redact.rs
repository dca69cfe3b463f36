//! A recording for a stranger: the same shapes, none of the names.
//!
//! Values of labels become hashes under a salt that is thrown away, so that what was the same stays
//! the same and nobody can look a name up. Wherever a text, or the name of a metric, says one of them again it becomes a hash
//! as well, and words of texts that look like an address, a path or a number are masked. Decisions and runs are left out: they
//! carry names, notes and commands. Names of labels, and of metrics but for that, are kept.

mod names;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use sha2::{Digest, Sha256};

use super::beginning::Beginning;
use super::segment::Header;
use crate::config::{DeclaredEdge, DeclaredEntity, EngineConfig, SloConfig};
use crate::model::mask::{MASK, mask_secrets};
use crate::model::{
    Alert, Batch, Change, EntityId, Fingerprint, FiringAlert, Input, Labels, LabelsBuilder,
    Recalled, Sample, Series, SeriesId, Signal, Silenced, SourceId, Stamped,
};
use names::{Names, is_common, pieces};

/// Labels whose values are needed to read the rest: numbers and words that say nothing of anybody are kept.
const KEPT: [&str; 6] = ["severity", "le", "quantile", "level", "code", "status"];
/// Series remembered, so that their labels are hashed once.
const SERIES_MAX: usize = 1 << 20;

/// Bytes of a hash that are written: enough for names to stay apart.
const HASH_BYTES: usize = 6;

/// Gathers the names of a recording; then redacts its inputs one after the other.
#[derive(Debug)]
pub struct Redactor {
    salt: u128,
    names: Names,
    series: FxHashMap<SeriesId, Arc<Series>>,
}

impl Redactor {
    /// With a salt nobody keeps.
    pub fn new(salt: u128) -> Self {
        Self {
            salt,
            names: Names::default(),
            series: FxHashMap::default(),
        }
    }

    /// Reads what an input calls anybody or anything: all of them, before the first is redacted.
    pub fn gather(&mut self, stamped: &Stamped) {
        self.names.input(stamped);
    }

    /// The same of what the team declared.
    pub fn gather_declared(&mut self, environment: &str, engine: &EngineConfig) {
        self.names.declared(environment, engine);
    }

    /// What was declared of entities under their new names. Without runbooks and rules, which are words of the team.
    pub fn header(&self, header: Header) -> Header {
        Header {
            environment: self.name(&header.environment),
            runbooks: Vec::new(),
            engine: self.settings(header.engine),
            ..header
        }
    }

    fn settings(&self, settings: EngineConfig) -> EngineConfig {
        let entity = |name: &str| self.entity(&EntityId::parse(name)).to_string();
        let edge = |edge: DeclaredEdge| DeclaredEdge {
            from: entity(&edge.from),
            to: entity(&edge.to),
        };
        let declared = |known: DeclaredEntity| DeclaredEntity {
            name: entity(&known.name),
            aliases: known.aliases.iter().map(|alias| entity(alias)).collect(),
            owner: known.owner.map(|owner| self.name(&owner)),
            tier: known.tier,
            links: BTreeMap::new(),
            labels: (known.labels.into_iter())
                .map(|(name, value)| (name, self.name(&value)))
                .collect(),
        };
        let objective = |slo: SloConfig| SloConfig {
            name: self.name(&slo.name),
            entity: entity(&slo.entity),
            objective: slo.objective,
            failed: self.without_names(&slo.failed),
            total: self.without_names(&slo.total),
        };
        EngineConfig {
            dependencies: settings.dependencies.into_iter().map(edge).collect(),
            entities: settings.entities.into_iter().map(declared).collect(),
            slo: settings.slo.into_iter().map(objective).collect(),
            maintenance: Vec::new(),
            inhibit: Vec::new(),
            rules: Vec::new(),
            ..settings
        }
    }

    /// What a daemon began from, as a stranger may know it: the settings of the redacted header. What it had learned and what
    /// was decided carry names.
    pub fn beginning(header: &Header, beginning: &Beginning) -> Beginning {
        let mut lacks = beginning.lacks.clone();
        let told = &beginning.engine;
        if !(told.maintenance.is_empty() && told.inhibit.is_empty() && told.rules.is_empty()) {
            lacks.push(
                "`maintenance`, `inhibit` and `rules` were left out to hide names".to_owned(),
            );
        }
        if beginning.learned.is_some() || !beginning.records.is_empty() {
            lacks.push("what a daemon knew when it started was left out to hide names".to_owned());
        }
        Beginning {
            engine: header.engine.clone(),
            lacks,
            ..Beginning::default()
        }
    }

    /// An input as a stranger may see it; `None` when he may not.
    pub fn input(&mut self, stamped: Stamped) -> Option<Stamped> {
        let Stamped { seq, at, input } = stamped;
        let input = match input {
            Input::Tick => Input::Tick,
            Input::Signals(Batch { source, signals }) => Input::Signals(Batch {
                source: self.source(&source),
                signals: signals.into_iter().map(|s| self.signal(s)).collect(),
            }),
            Input::Recalled(recalled) => Input::Recalled(Box::new(self.recalled(*recalled))),
            Input::Command { .. } | Input::Step(_) => return None,
        };
        Some(Stamped { seq, at, input })
    }

    fn recalled(&self, recalled: Recalled) -> Recalled {
        let alert = |held: FiringAlert| FiringAlert {
            alert: self.alert(&held.alert),
            came: held.came,
            source: held.source.map(|source| self.source(&source)),
            told_at: held.told_at,
            unheard: held.unheard.map(|silenced| Silenced {
                since: silenced.since,
                why: self.text(&silenced.why),
                with: silenced.with.iter().map(|with| self.source(with)).collect(),
            }),
        };
        Recalled {
            alerts: recalled.alerts.into_iter().map(alert).collect(),
            changes: (recalled.changes.into_iter())
                .map(|change| self.change(change))
                .collect(),
            heard: recalled.heard,
        }
    }

    fn signal(&mut self, signal: Signal) -> Signal {
        match signal {
            Signal::Sample(sample) => Signal::Sample(Sample {
                series: self.series(&sample.series),
                ..sample
            }),
            Signal::Log(mut line) => {
                line.labels = self.labels(&line.labels);
                line.text = self.text(&line.text);
                Signal::Log(line)
            }
            Signal::Span(mut span) => {
                span.resource = self.labels(&span.resource);
                span.name = Arc::from(self.text(&span.name));
                span.peer = span.peer.map(|peer| Arc::from(self.name(&peer)));
                Signal::Span(span)
            }
            Signal::Alert(alert) => Signal::Alert(Box::new(self.alert(&alert))),
            Signal::Change(change) => Signal::Change(Box::new(self.change(*change))),
        }
    }

    fn alert(&self, alert: &Alert) -> Alert {
        let labels = self.labels(&alert.labels);
        Alert {
            fingerprint: Fingerprint::of(&labels),
            labels,
            annotations: Labels::empty(),
            generator_url: self.address(alert.rules_at()),
            starts_at: alert.starts_at,
            ends_at: alert.ends_at,
        }
    }

    /// Whose rule it is stays one and the same; where that is, is hidden.
    fn address(&self, address: &str) -> Option<Box<str>> {
        let is_known = !address.is_empty();
        is_known.then(|| format!("http://{}", self.name(address)).into())
    }

    fn change(&self, change: Change) -> Change {
        let hidden = |text: Box<str>| Box::from(self.name(&text));
        Change {
            id: hidden(change.id),
            entity: self.entity(&change.entity),
            title: self.text(&change.title),
            version: change.version.map(hidden),
            previous_version: change.previous_version.map(hidden),
            by: None,
            labels: self.labels(&change.labels),
            ..change
        }
    }

    fn series(&mut self, series: &Arc<Series>) -> Arc<Series> {
        if let Some(known) = self.series.get(&series.id) {
            return Arc::clone(known);
        }
        let labels = self.labels(&series.labels);
        let name = self.without_names(&series.name);
        let redacted = Arc::new(Series::new(&name, labels, series.kind, series.unit));
        if self.series.len() < SERIES_MAX {
            self.series.insert(series.id, Arc::clone(&redacted));
        }
        redacted
    }

    fn entity(&self, entity: &EntityId) -> EntityId {
        EntityId::new(entity.kind(), &self.name(entity.name()))
    }

    /// What kind of source it is, and a hash of what the team calls it.
    fn source(&self, source: &SourceId) -> SourceId {
        match source.0.split_once(' ') {
            Some((kind, name)) if !is_common(name) => {
                SourceId::new(&format!("{kind} {}", self.name(name)))
            }
            _ => source.clone(),
        }
    }

    fn labels(&self, labels: &Labels) -> Labels {
        let hidden = |(name, value)| {
            let is_kept = KEPT.contains(&name) && is_plain(value);
            let value = if is_kept {
                String::from(value)
            } else {
                self.name(value)
            };
            (name, value)
        };
        let pairs: Vec<(&str, String)> = labels.iter().map(hidden).collect();
        let mut builder = LabelsBuilder::default();
        for (name, value) in &pairs {
            builder.add(name, value);
        }
        // Thousands of values of a letter or two may be too long as hashes.
        let built = builder.build();
        built
            .or_else(|_| Labels::from_pairs(pairs.iter().map(|(name, _)| (*name, ""))))
            .expect("the names are as they were, and nothing is shorter than no value")
    }

    /// The same name gives the same hash.
    fn name(&self, name: &str) -> String {
        if name.is_empty() {
            return String::new();
        }
        let digest = Sha256::new()
            .chain_update(self.salt.to_le_bytes())
            .chain_update(name)
            .finalize();
        let mut hash = String::from("x");
        for byte in &digest[..HASH_BYTES] {
            // Writing to a `String` cannot fail.
            let _ = write!(hash, "{byte:02x}");
        }
        hash
    }

    /// Masks secrets, and every word with a digit or a sign of an address or a path in it; what names somebody or something
    /// becomes its hash.
    fn text(&self, text: &str) -> Box<str> {
        let text = mask_secrets(text);
        let hides = |c: char| c.is_ascii_digit() || "@/\\.:=".contains(c) || !c.is_ascii();
        let words = text.split(' ').map(|word| match word {
            word if word.contains(hides) => MASK.to_owned(),
            word => self.without_names(word),
        });
        words.collect::<Vec<_>>().join(" ").into_boxed_str()
    }

    /// A text whose words become hashes when they are names, or hold one.
    fn without_names(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for (is_word, piece) in pieces(text) {
            let word = piece.to_lowercase();
            if is_word && self.names.tells(&word) {
                out.push_str(&self.name(&word));
            } else {
                out.push_str(piece);
            }
        }
        out
    }
}

/// Whether a value is a number or a word that says nothing of anybody.
fn is_plain(value: &str) -> bool {
    let is_class = value.len() == 3 && value.ends_with("xx");
    is_class || value.parse::<f64>().is_ok() || is_common(&value.to_lowercase())
}

#[cfg(test)]
mod tests;

//! A recording for a stranger: the same shapes, none of the names.
//!
//! Values of labels become hashes under a salt that is thrown away, so that what was the same stays
//! the same and nobody can look a name up. Words of texts that may identify somebody or something are
//! masked. Decisions and runs are left out: they carry names, notes and commands.

use rustc_hash::FxHashMap;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::beginning::Beginning;
use super::segment::Header;
use crate::config::{DeclaredEdge, EngineConfig};
use crate::model::mask::{MASK, mask_secrets};
use crate::model::{
    Alert, Batch, Change, EntityId, Fingerprint, FiringAlert, Input, Labels, LabelsBuilder,
    Recalled, Sample, Series, SeriesId, Signal, Stamped,
};

/// Labels whose values say nothing of anybody, and are needed to read the rest.
const KEPT: [&str; 6] = ["severity", "le", "quantile", "level", "code", "status"];
/// Series remembered, so that their labels are hashed once.
const SERIES_MAX: usize = 1 << 20;

/// Redacts inputs one after the other.
#[derive(Debug)]
pub struct Redactor {
    salt: u64,
    series: FxHashMap<SeriesId, Arc<Series>>,
}

impl Redactor {
    /// With a salt nobody keeps.
    pub fn new(salt: u64) -> Self {
        Self {
            salt,
            series: FxHashMap::default(),
        }
    }

    /// Declared dependencies under their new names, and no runbooks.
    pub fn header(&self, header: Header) -> Header {
        let edge = |edge: DeclaredEdge| DeclaredEdge {
            from: self.entity(&EntityId::parse(&edge.from)).to_string(),
            to: self.entity(&EntityId::parse(&edge.to)).to_string(),
        };
        let dependencies = header.engine.dependencies.into_iter().map(edge).collect();
        Header {
            environment: self.name(&header.environment),
            runbooks: Vec::new(),
            engine: EngineConfig {
                dependencies,
                ..header.engine
            },
            ..header
        }
    }

    /// What a daemon began from, as a stranger may know it: the settings of the redacted header. What it had learned and what
    /// was decided carry names.
    pub fn beginning(header: &Header, beginning: &Beginning) -> Beginning {
        let mut lacks = beginning.lacks.clone();
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
                source,
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
            source: held.source,
            told_at: held.told_at,
            unheard: held.unheard,
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
                line.text = mask_words(&line.text);
                Signal::Log(line)
            }
            Signal::Span(mut span) => {
                span.resource = self.labels(&span.resource);
                span.name = Arc::from(&*mask_words(&span.name));
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
            title: mask_words(&change.title),
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
        let redacted = Arc::new(Series::new(&series.name, labels, series.kind, series.unit));
        if self.series.len() < SERIES_MAX {
            self.series.insert(series.id, Arc::clone(&redacted));
        }
        redacted
    }

    fn entity(&self, entity: &EntityId) -> EntityId {
        EntityId::new(entity.kind(), &self.name(entity.name()))
    }

    fn labels(&self, labels: &Labels) -> Labels {
        let pairs: Vec<(&str, String)> = labels
            .iter()
            .map(|(name, value)| {
                let is_kept = KEPT.contains(&name);
                let value = if is_kept {
                    value.to_owned()
                } else {
                    self.name(value)
                };
                (name, value)
            })
            .collect();
        let mut builder = LabelsBuilder::default();
        for (name, value) in &pairs {
            builder.add(name, value);
        }
        builder
            .build()
            .expect("the names are as they were, and a hash is shorter than any limit")
    }

    /// The same name gives the same hash.
    fn name(&self, name: &str) -> String {
        if name.is_empty() {
            return String::new();
        }
        format!(
            "x{:012x}",
            xxh3_64_with_seed(name.as_bytes(), self.salt) >> 16
        )
    }
}

/// Masks secrets, and every word with a digit or a sign of an address, a path or a name in it.
fn mask_words(text: &str) -> Box<str> {
    let text = mask_secrets(text);
    let tells = |c: char| c.is_ascii_digit() || "@/\\.:=".contains(c) || !c.is_ascii();
    let words = text.split(' ').map(|word| match word {
        word if word.contains(tells) => MASK,
        word => word,
    });
    words.collect::<Vec<_>>().join(" ").into_boxed_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_may_tell_are_masked() {
        let text = mask_words("user bob@example.org got 502 from /srv/api after retry");
        assert_eq!(
            &*text,
            format!("user {MASK} got {MASK} from {MASK} after retry")
        );
    }
}

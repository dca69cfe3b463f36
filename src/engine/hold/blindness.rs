//! Alerts that only say that nothing is heard, held back while we know that ourselves: the source that
//! tells of their entity is blind, which is an incident of its own.
//!
//! It must never hold back an alert that says anything more than silence, nor one about something that
//! another source still tells of.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::intake::SourceIx;
use crate::engine::set_back::SetBack;
use crate::model::{Fingerprint, Labels, Time};

/// How long after its source sees again such an alert is held, in milliseconds: whoever evaluates it needs
/// some turns to notice.
const GRACE_MS: i64 = 3 * 60_000;
/// What the name of an alert says that is about silence alone, in small letters without what is no letter.
const NAMES: [&str; 9] = [
    "nodata",
    "absent",
    "metricsmissing",
    "missingmetrics",
    "datamissing",
    "missingdata",
    "notreporting",
    "staledata",
    "stalemetrics",
];
/// Grafana's label of an alert that fires for want of data.
const GRAFANA_REASON: &str = "grafana_state_reason";
/// Longest name that is looked at, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// Which sources are blind, and which alerts say no more than that.
#[derive(Debug, Default)]
pub struct Blindness {
    /// Each with when it saw again, if it did a moment ago.
    blind: BTreeMap<SourceIx, Option<Time>>,
    names: BTreeMap<SourceIx, Box<str>>,
    /// Firing alerts about silence.
    alerts: BTreeSet<Fingerprint>,
}

impl Blindness {
    /// Whether an alert is about silence alone.
    pub fn is_about_silence(labels: &Labels) -> bool {
        if labels
            .get(GRAFANA_REASON)
            .is_some_and(|reason| reason.starts_with("NoData"))
        {
            return true;
        }
        let name = labels.get("alertname").unwrap_or_default();
        let end = name.floor_char_boundary(NAME_BYTES_MAX);
        let plain: String = name[..end]
            .chars()
            .filter(char::is_ascii_alphabetic)
            .map(|letter| letter.to_ascii_lowercase())
            .collect();
        NAMES.iter().any(|word| plain.contains(word))
    }

    /// An alert fires.
    pub fn fired(&mut self, alert: Fingerprint, labels: &Labels) {
        if Self::is_about_silence(labels) {
            self.alerts.insert(alert);
        }
    }

    /// An alert is over.
    pub fn over(&mut self, alert: Fingerprint) {
        self.alerts.remove(&alert);
    }

    /// A source went blind; firing alerts to ask about again.
    pub fn blind(&mut self, source: SourceIx, name: &str) -> Vec<Fingerprint> {
        self.blind.insert(source, None);
        self.names.insert(source, name.into());
        self.alerts.iter().copied().collect()
    }

    /// A source sees again.
    pub fn sees(&mut self, source: SourceIx, now: Time) {
        if let Some(since) = self.blind.get_mut(&source) {
            *since = Some(now);
        }
    }

    /// Sources that have seen again for long enough: what they held back is told now if it still fires.
    pub fn tick(&mut self, now: Time) -> Vec<SourceIx> {
        let is_due = |since: &Option<Time>| since.is_some_and(|at| now.since(at) >= GRACE_MS);
        let due: Vec<SourceIx> = self
            .blind
            .iter()
            .filter(|(_, since)| is_due(since))
            .map(|(source, _)| *source)
            .collect();
        for source in &due {
            self.blind.remove(source);
        }
        due
    }

    /// The blind source that an alert is behind, if all that tells of its entity is blind.
    pub fn behind(
        &self,
        alert: Fingerprint,
        tellers: impl Iterator<Item = SourceIx>,
    ) -> Option<SourceIx> {
        if self.blind.is_empty() || !self.alerts.contains(&alert) {
            return None;
        }
        let mut behind = None;
        for source in tellers {
            if !self.blind.contains_key(&source) {
                return None;
            }
            behind = Some(source);
        }
        behind
    }

    /// Name of a source that was blind.
    pub fn name(&self, source: SourceIx) -> &str {
        self.names.get(&source).map_or("a source", |name| name)
    }

    /// Follows a clock that was set back.
    pub fn set_back(&mut self, back: SetBack) {
        for since in self.blind.values_mut().flatten() {
            back.past(since);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_alerts_about_silence_alone_are_told_by_their_names() {
        let cases = [
            ("DatasourceNoData", "", true),
            ("cart_no_data", "", true),
            ("CartMetricsAbsent", "", true),
            ("HighLatency", "NoData", true),
            ("HighLatency", "NoData, KeepLast", true),
            ("HighLatency", "Error", false),
            ("TargetDown", "", false),
            ("HeartbeatMissing", "", false),
            ("BackupMissing", "", false),
            ("", "", false),
        ];
        for (name, reason, expected) in cases {
            let pairs = [("alertname", name), (GRAFANA_REASON, reason)];
            let labels = Labels::from_pairs(pairs).unwrap();
            assert_eq!(
                Blindness::is_about_silence(&labels),
                expected,
                "{name} {reason}"
            );
        }
    }

    #[test]
    fn an_alert_is_behind_a_source_only_while_nothing_else_tells_of_its_entity() {
        let labels = Labels::from_pairs([("alertname", "CartAbsent")]).unwrap();
        let alert = Fingerprint::of(&labels);
        let [first, second] = [SourceIx(0), SourceIx(1)];
        let mut blindness = Blindness::default();
        blindness.fired(alert, &labels);
        assert_eq!(blindness.behind(alert, [first].into_iter()), None);
        assert_eq!(blindness.blind(first, "remote_write"), [alert]);
        assert_eq!(
            blindness.behind(alert, [first, first].into_iter()),
            Some(first)
        );
        assert_eq!(blindness.behind(alert, [first, second].into_iter()), None);
        assert_eq!(blindness.behind(alert, [].into_iter()), None);
        assert_eq!(blindness.behind(Fingerprint(7), [first].into_iter()), None);
        blindness.sees(first, Time::from_secs(10));
        assert_eq!(blindness.tick(Time::from_secs(100)), []);
        assert_eq!(blindness.behind(alert, [first].into_iter()), Some(first));
        assert_eq!(blindness.tick(Time::from_secs(190)), [first]);
        assert_eq!(blindness.behind(alert, [first].into_iter()), None);
    }
}

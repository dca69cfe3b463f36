//! Alerts that only say that nothing is heard, held back while we know that ourselves: the source that
//! tells of their entity is blind, which is an incident of its own.
//!
//! It must never hold back an alert that says anything more than silence, nor one about something that
//! another source still tells of.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::entities::EntityIx;
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
    /// Entities of which a source tells nothing while it tells of others, likewise.
    spots: BTreeMap<SourceIx, BTreeMap<EntityIx, Option<Time>>>,
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

    /// A source tells nothing of an entity any more; firing alerts to ask about again.
    pub fn blind_on(&mut self, source: SourceIx, name: &str, entity: EntityIx) -> Vec<Fingerprint> {
        self.spots.entry(source).or_default().insert(entity, None);
        self.names.insert(source, name.into());
        self.alerts.iter().copied().collect()
    }

    /// It tells of the entity again.
    pub fn sees_entity(&mut self, source: SourceIx, entity: EntityIx, now: Time) {
        let spot = self.spots.get_mut(&source);
        if let Some(since) = spot.and_then(|spot| spot.get_mut(&entity)) {
            *since = Some(now);
        }
    }

    /// Whether all that a source tells is not heard.
    pub fn is_whole(&self, source: SourceIx) -> bool {
        self.blind.contains_key(&source)
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
        let mut all: BTreeSet<SourceIx> = due.into_iter().collect();
        for (source, spot) in &mut self.spots {
            let before = spot.len();
            spot.retain(|_, since| !is_due(since));
            if spot.len() < before {
                all.insert(*source);
            }
        }
        self.spots.retain(|_, spot| !spot.is_empty());
        all.into_iter().collect()
    }

    /// The blind source that an alert is behind, if all that tells of its entity is blind on it.
    pub fn behind(
        &self,
        alert: Fingerprint,
        entity: EntityIx,
        tellers: impl Iterator<Item = SourceIx>,
    ) -> Option<SourceIx> {
        let is_all_seen = self.blind.is_empty() && self.spots.is_empty();
        if is_all_seen || !self.alerts.contains(&alert) {
            return None;
        }
        let mut behind = None;
        for source in tellers {
            let is_hidden = |spot: &BTreeMap<EntityIx, _>| spot.contains_key(&entity);
            if !self.blind.contains_key(&source) && !self.spots.get(&source).is_some_and(is_hidden)
            {
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
        let spots = self.spots.values_mut().flat_map(BTreeMap::values_mut);
        for since in self.blind.values_mut().chain(spots).flatten() {
            back.past(since);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CART: EntityIx = EntityIx(3);

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
        assert_eq!(blindness.behind(alert, CART, [first].into_iter()), None);
        assert_eq!(blindness.blind(first, "remote_write"), [alert]);
        assert_eq!(
            blindness.behind(alert, CART, [first, first].into_iter()),
            Some(first)
        );
        assert_eq!(
            blindness.behind(alert, CART, [first, second].into_iter()),
            None
        );
        assert_eq!(blindness.behind(alert, CART, [].into_iter()), None);
        assert_eq!(
            blindness.behind(Fingerprint(7), CART, [first].into_iter()),
            None
        );
        blindness.sees(first, Time::from_secs(10));
        assert_eq!(blindness.tick(Time::from_secs(100)), []);
        assert_eq!(
            blindness.behind(alert, CART, [first].into_iter()),
            Some(first)
        );
        assert_eq!(blindness.tick(Time::from_secs(190)), [first]);
        assert_eq!(blindness.behind(alert, CART, [first].into_iter()), None);
    }

    #[test]
    fn a_blind_spot_holds_back_what_is_about_its_entities_alone() {
        let labels = Labels::from_pairs([("alertname", "CartAbsent")]).unwrap();
        let alert = Fingerprint::of(&labels);
        let [first, second] = [SourceIx(0), SourceIx(1)];
        let other = EntityIx(4);
        let mut blindness = Blindness::default();
        blindness.fired(alert, &labels);
        assert_eq!(blindness.blind_on(first, "remote_write", CART), [alert]);
        assert!(!blindness.is_whole(first));
        assert_eq!(
            blindness.behind(alert, CART, [first].into_iter()),
            Some(first)
        );
        assert_eq!(blindness.behind(alert, other, [first].into_iter()), None);
        assert_eq!(
            blindness.behind(alert, CART, [first, second].into_iter()),
            None
        );
        blindness.sees_entity(first, CART, Time::from_secs(10));
        assert_eq!(blindness.tick(Time::from_secs(100)), []);
        assert_eq!(blindness.tick(Time::from_secs(190)), [first]);
        assert_eq!(blindness.behind(alert, CART, [first].into_iter()), None);
        assert_eq!(blindness.tick(Time::from_secs(200)), []);
    }
}

//! Secrets out of what senders say about alerts and changes, and out of labels, before the engine has it.
//!
//! What is kept of them is then the same everywhere: the journal, the recording, and what is told of
//! either. Labels of alerts and series are their identity: a mask in one tells it from others. Log lines are masked where
//! they are kept, and names of spans where they are read, once each.

use std::borrow::Cow;

use crate::model::mask::{mask_label, mask_named, mask_secrets};
use crate::model::{Alert, Change, Fingerprint, Labels, Series, SeriesKind, Signal, Unit};

/// A series as sources make them: known by its labels without secrets.
pub(super) fn series(name: &str, mut labels: Labels, kind: SeriesKind, unit: Unit) -> Series {
    mask_values(&mut labels, mask_label);
    Series::new(name, labels, kind, unit)
}

/// Masks what alerts and changes say.
pub(super) fn mask(signals: &mut [Signal]) {
    for signal in signals {
        match signal {
            Signal::Alert(alert) => mask_alert(alert),
            Signal::Change(change) => mask_change(change),
            Signal::Sample(_) | Signal::Log(_) | Signal::Span(_) => {}
        }
    }
}

fn mask_alert(alert: &mut Alert) {
    let told = alert.labels.clone();
    if mask_values(&mut alert.labels, mask_label) && alert.fingerprint == Fingerprint::of(&told) {
        alert.fingerprint = Fingerprint::of(&alert.labels);
    }
    mask_values(&mut alert.annotations, mask_named);
    alert.generator_url.as_mut().map(mask_text);
}

fn mask_change(change: &mut Change) {
    mask_text(&mut change.title);
    change.by.as_mut().map(mask_text);
    mask_values(&mut change.labels, mask_named);
}

fn mask_text(text: &mut Box<str>) {
    if let Cow::Owned(masked) = mask_secrets(text) {
        *text = masked.into_boxed_str();
    }
}

/// Masks values; whether any was.
fn mask_values(labels: &mut Labels, mask: for<'a> fn(&str, &'a str) -> Cow<'a, str>) -> bool {
    let is_plain = |(name, value): (&str, &str)| *mask(name, value) == *value;
    if labels.iter().all(is_plain) {
        return false;
    }
    let masked: Vec<(&str, Cow<'_, str>)> = labels
        .iter()
        .map(|(name, value)| (name, mask(name, value)))
        .collect();
    // A mask may be longer than what it hides: where a set grows out of what it may hold, each value keeps its length.
    let whole = masked.iter().map(|(name, masked)| (*name, &**masked));
    let cut = labels
        .iter()
        .zip(&masked)
        .map(|((_, value), (name, masked))| {
            let end = masked.floor_char_boundary(value.len());
            (*name, &masked[..end])
        });
    let masked = Labels::from_pairs(whole).or_else(|_| Labels::from_pairs(cut));
    *labels = masked.unwrap_or_default();
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ChangeKind, EntityId, EntityKind, Time};

    /// Else what two tenants do would become one series that jumps, and the end of one alert that of another.
    #[test]
    fn labels_that_hold_secrets_are_masked_and_what_differed_still_does() {
        let of = |token: &str| {
            let pairs = [("service", "gateway"), ("api_key", token)];
            let labels = Labels::from_pairs(pairs).unwrap();
            series("requests_total", labels, SeriesKind::Counter, Unit::None)
        };
        let (ours, theirs) = (of("0123456789abcdef0123"), of("0123456789abcdef9999"));
        assert_eq!(of("0123456789abcdef0123"), ours);
        assert_ne!(ours.id, theirs.id);
        let shown = format!("{ours:?}{theirs:?}");
        assert!(
            shown.contains("gateway") && !shown.contains("0123456789"),
            "{shown}"
        );
        // Whoever makes a series anew of these labels, as for the other half of a histogram, means the same.
        let again = Series::new(&ours.name, ours.labels.clone(), ours.kind, ours.unit);
        assert_eq!(again, ours);
    }

    #[test]
    fn a_mask_that_is_longer_than_the_secret_costs_no_label() {
        let long = format!("pwd=x {}", "a".repeat(16_374));
        let pairs = [("summary", long.as_str()), ("runbook", "https://wiki/down")];
        let mut labels = Labels::from_pairs(pairs).unwrap();
        mask_values(&mut labels, mask_named);
        assert_eq!(labels.get("runbook"), Some("https://wiki/down"));
        let summary = labels.get("summary").unwrap();
        assert!(
            summary.starts_with("pwd=<secret> aaa"),
            "{}",
            &summary[..40]
        );
    }

    #[test]
    fn what_alerts_and_changes_say_is_masked_and_they_are_still_told_apart() {
        let labels = |token| Labels::from_pairs([("alertname", "Down"), ("token", token)]).unwrap();
        let (labels, hidden) = (labels("blue"), labels("<secret-164>"));
        let annotations = [
            ("summary", "cannot log in with password=hunter2 at db"),
            ("api_token", "abc"),
            ("runbook", "https://wiki/down"),
        ];
        let alert = Alert {
            fingerprint: Fingerprint::of(&labels),
            labels,
            annotations: Labels::from_pairs(annotations).unwrap(),
            starts_at: Time::ZERO,
            ends_at: Time::ZERO,
            generator_url: Some("http://bob:hunter2@prometheus/graph".into()),
        };
        let change = Change {
            id: "1".into(),
            at: Time::ZERO,
            kind: ChangeKind::Config,
            entity: EntityId::new(EntityKind::Service, "shop"),
            title: "rotate DB_PASSWORD=hunter2".into(),
            version: None,
            previous_version: None,
            by: Some("bob".into()),
            labels: Labels::from_pairs([("link", "https://ci:hunter2@host/7")]).unwrap(),
        };
        let mut signals = [
            Signal::Alert(Box::new(alert.clone())),
            Signal::Change(Box::new(change.clone())),
        ];
        mask(&mut signals);
        let annotations = [
            ("summary", "cannot log in with password=<secret> at db"),
            ("api_token", "<secret>"),
            ("runbook", "https://wiki/down"),
        ];
        let masked = [
            Signal::Alert(Box::new(Alert {
                fingerprint: Fingerprint::of(&hidden),
                labels: hidden,
                annotations: Labels::from_pairs(annotations).unwrap(),
                generator_url: Some("http://<secret>@prometheus/graph".into()),
                ..alert
            })),
            Signal::Change(Box::new(Change {
                title: "rotate DB_PASSWORD=<secret>".into(),
                labels: Labels::from_pairs([("link", "https://<secret>@host/7")]).unwrap(),
                ..change
            })),
        ];
        assert_eq!(signals, masked);
        mask(&mut signals);
        assert_eq!(signals, masked, "masking twice is masking once");
    }
}

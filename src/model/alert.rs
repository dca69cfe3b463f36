//! Alerts raised by somebody else's rules.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::wide_id::{self, Digits};
use super::{Labels, Time};

/// Identity of an alert: FNV-1a 64 over its sorted labels, as Prometheus and Alertmanager compute it. In JSON it is text, 16 hex
/// digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub u64);

/// An alert as a sender reports it. It is resolved once `ends_at` has passed; there is no status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Identity, from the labels.
    pub fingerprint: Fingerprint,
    /// Identifying labels.
    pub labels: Labels,
    /// Descriptive text: summary, description, runbook link, … untrusted.
    pub annotations: Labels,
    /// When it began.
    pub starts_at: Time,
    /// When it ends or ended; in the future while firing.
    pub ends_at: Time,
    /// Link to the rule that raised it, untrusted.
    pub generator_url: Option<Box<str>>,
}

impl Fingerprint {
    /// Of a label set: FNV-1a 64 over `name 0xFF value 0xFF …` in order of name.
    pub fn of(labels: &Labels) -> Self {
        const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0100_0000_01b3;
        const SEPARATOR: u8 = 0xff;
        let mut hash = OFFSET;
        let mut eat = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(PRIME);
        for (name, value) in labels.iter() {
            name.bytes().for_each(&mut eat);
            eat(SEPARATOR);
            value.bytes().for_each(&mut eat);
            eat(SEPARATOR);
        }
        Self(hash)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        wide_id::serialize(self.0, self, serializer)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        wide_id::deserialize(Digits::Hex, deserializer).map(Self)
    }
}

impl Alert {
    /// Whether it still fires at `now`.
    pub fn is_firing(&self, now: Time) -> bool {
        self.ends_at > now
    }

    /// The address of the server whose rule raised it, without a path (`http://prometheus:9090`); empty when nothing
    /// tells it.
    pub fn rules_at(&self) -> &str {
        let url = self.generator_url.as_deref().unwrap_or_default();
        let Some(host) = url.find("://").map(|at| at + 3) else {
            return "";
        };
        let end = url[host..].find(['/', '?', '#']);
        end.map_or(url, |end| &url[..host + end])
    }

    /// Its name: the `alertname` label, or a placeholder.
    pub fn name(&self) -> &str {
        self.labels.get("alertname").unwrap_or("unnamed alert")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_rule_it_is_is_told_by_the_address_alone() {
        let labels = Labels::empty();
        let mut alert = Alert {
            fingerprint: Fingerprint::of(&labels),
            labels,
            annotations: Labels::empty(),
            starts_at: Time::ZERO,
            ends_at: Time::ZERO,
            generator_url: None,
        };
        let cases = [
            (
                "http://prom:9090/graph?g0.expr=up&g0.tab=1",
                "http://prom:9090",
            ),
            ("https://prom", "https://prom"),
            ("http://prom?x=http://other/", "http://prom"),
            ("http://", "http://"),
            ("prom:9090/graph", ""),
            ("", ""),
        ];
        for (url, address) in cases {
            alert.generator_url = Some(url.into());
            assert_eq!(alert.rules_at(), address, "{url}");
        }
    }

    #[test]
    fn fingerprint_of_no_labels_is_the_fnv_offset() {
        assert_eq!(
            Fingerprint::of(&Labels::empty()).to_string(),
            "cbf29ce484222325"
        );
    }
}

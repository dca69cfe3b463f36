//! What of a source with several parts does not work: shown as its failure, part by part, until all works.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::SignalSender;

/// See the module.
pub(super) struct Failing {
    sender: SignalSender,
    /// Why, by part.
    parts: Mutex<BTreeMap<String, String>>,
}

impl Failing {
    pub(super) fn new(sender: SignalSender) -> Self {
        Self {
            sender,
            parts: Mutex::default(),
        }
    }

    /// A part does not work, and why.
    pub(super) fn fails(&self, part: &str, why: String) {
        let mut parts = self.parts();
        parts.insert(part.to_owned(), why);
        self.show(&parts);
    }

    /// A part works, again or still.
    pub(super) fn works(&self, part: &str) {
        let mut parts = self.parts();
        if parts.remove(part).is_some() {
            self.show(&parts);
        }
    }

    /// Whether a part is known not to work.
    #[cfg(feature = "kubernetes")]
    pub(super) fn is_failing(&self, part: &str) -> bool {
        self.parts().contains_key(part)
    }

    /// Shows the first of what does not work, and how much more there is.
    fn show(&self, parts: &BTreeMap<String, String>) {
        let Some((part, why)) = parts.first_key_value() else {
            return self.sender.recovered();
        };
        let more = match parts.len() {
            1 => String::new(),
            count => format!("; and {} more", count - 1),
        };
        self.sender.fail_standing(&format!("{part}: {why}{more}"));
    }

    /// What is locked is valid after any panic: each change is a single one.
    fn parts(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{SourceHealth, Time};
    use crate::sources::{Rhythm, signal_queue};

    #[test]
    fn a_source_works_when_all_its_parts_do() {
        let (registry, _queue) = signal_queue();
        let failing = Failing::new(registry.source("s", Rhythm::Sporadic, "place"));
        let told = || {
            let row = registry.rows(Time::ZERO).remove(0);
            (row.health, row.detail)
        };
        let waiting = (SourceHealth::Waiting, "place".to_owned());
        let failed = |why: &str| (SourceHealth::Failed, why.to_owned());
        failing.works("a");
        assert_eq!(told(), waiting);
        failing.fails("b", "broken".to_owned());
        failing.fails("a", "away".to_owned());
        assert_eq!(told(), failed("a: away; and 1 more"));
        failing.works("a");
        assert_eq!(told(), failed("b: broken"));
        failing.works("b");
        assert_eq!(told(), waiting);
    }
}

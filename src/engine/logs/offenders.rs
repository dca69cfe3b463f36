//! Who makes the most new forms: a small count that names the worst offender.
//!
//! Space-saving counts (Metwally, Agrawal, El Abbadi 2005): an offender with more than 1/16 of all
//! new forms is always among the sixteen kept; its count may be too high, never too low.

use super::pattern::Pattern;
use serde::{Deserialize, Serialize};

/// Offenders kept.
const KEPT_MAX: usize = 16;
/// Bytes of a name kept.
const NAME_BYTES_MAX: usize = 60;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Offenders {
    kept: Vec<(u64, String, u64)>,
}

impl Offenders {
    pub(super) fn count(&mut self, pattern: &Pattern) {
        let head = pattern.head();
        if let Some(entry) = self.kept.iter_mut().find(|entry| entry.0 == head) {
            entry.2 += 1;
        } else if self.kept.len() < KEPT_MAX {
            self.kept.push((head, name(pattern), 1));
        } else if let Some(least) = self.kept.iter_mut().min_by_key(|entry| entry.2) {
            *least = (head, name(pattern), least.2 + 1);
        }
    }

    pub(super) fn worst(&self) -> Option<(&str, u64)> {
        // The first of equals, so that the answer does not depend on anything but the lines.
        self.kept
            .iter()
            .rev()
            .max_by_key(|entry| entry.2)
            .map(|entry| (entry.1.as_str(), entry.2))
    }
}

/// The beginning of the rendered pattern.
fn name(pattern: &Pattern) -> String {
    pattern.render().chars().take(NAME_BYTES_MAX).collect()
}

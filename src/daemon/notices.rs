//! What the operator must know about the daemon itself, as one banner.

use std::collections::BTreeMap;

use crate::model::{Delta, counted};
use crate::notify::{Notifier, Unreached};

/// Between two notices on the one line of the banner.
pub(super) const SEPARATOR: &str = " · ";

/// Where a notice comes from; each has at most one. The first shown is the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    /// The journal cannot be written.
    Journal,
    /// All automation is stopped, and the journal does not say so by itself.
    Stop,
    /// The database cannot be used.
    Database,
    /// New consoles cannot come in, or could not for a while.
    Socket,
    /// What was found when the store was opened.
    Recovery,
    /// History is learned from.
    Learning,
    /// Telemetry travels in the clear, or comes from anybody.
    Exposed,
    /// The recorder cannot keep up, or cannot write.
    Recorder,
    /// People could not be told.
    Notify,
    /// What was learned cannot be kept.
    Checkpoint,
    /// The settings are odd.
    Config,
    /// The engine itself has something to say.
    Engine,
}

/// The notices in force.
#[derive(Debug, Default)]
pub(super) struct Notices(BTreeMap<Origin, String>);

impl Notices {
    /// Sets or, with an empty text, removes a notice; the new banner if that changed it.
    pub(super) fn set(&mut self, origin: Origin, text: &str) -> Option<Delta> {
        let before = self.banner();
        if text.is_empty() {
            self.0.remove(&origin);
        } else {
            self.0.insert(origin, text.to_owned());
        }
        let after = self.banner();
        (after != before).then_some(Delta::Banner(after))
    }

    /// All notices in one line.
    pub(super) fn banner(&self) -> String {
        let texts: Vec<&str> = self.0.values().map(String::as_str).collect();
        texts.join(SEPARATOR)
    }
}

/// The first of what is odd about the settings, behind how much more there is and where: what stands last in a banner
/// is cut first.
pub(super) fn in_short(warnings: &[String]) -> String {
    match warnings {
        [] => String::new(),
        [one] => one.clone(),
        [first, more @ ..] => format!(
            "`stormglass check` tells this and {} more: {first}",
            more.len()
        ),
    }
}

/// What of the messages to people has not arrived; empty when all of it has.
pub(super) fn untold(notifier: &Notifier) -> String {
    let unreached = notifier.unreached().into_iter();
    let mut texts: Vec<String> = unreached
        .map(|Unreached { name, why, waiting }| {
            let wait = counted(waiting as u64, "notification waits", "notifications wait");
            format!("{name} cannot be told: {wait} ({why})")
        })
        .collect();
    match notifier.lost() {
        0 => {}
        lost => {
            let notifications = counted(lost, "notification was", "notifications were");
            texts.push(format!("{notifications} refused or given up: see the log"));
        }
    }
    texts.join(SEPARATOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_stand_side_by_side_worst_first() {
        let mut notices = Notices::default();
        let banner = |text: &str| Some(Delta::Banner(text.to_owned()));
        let cases = [
            (Origin::Engine, "too many series", banner("too many series")),
            (
                Origin::Journal,
                "disk full",
                banner("disk full · too many series"),
            ),
            (Origin::Journal, "disk full", None),
            (Origin::Engine, "", banner("disk full")),
            (Origin::Engine, "", None),
            (Origin::Journal, "", banner("")),
        ];
        for (origin, text, expected) in cases {
            assert_eq!(notices.set(origin, text), expected, "{origin:?} {text:?}");
        }
    }
}

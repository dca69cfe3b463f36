//! The life of an incident: one table of legal moves.

use crate::model::{Lane, Phase};

/// What may move an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A person takes it.
    Acknowledge,
    /// Every signal is back to normal.
    Quiet,
    /// A signal is abnormal again, or a new one joined.
    Noisy {
        /// Whether somebody owns it.
        owned: bool,
    },
    /// It was quiet for as long as the config asks.
    QuietLongEnough,
    /// A person declares it over.
    Resolve,
    /// A person declares it not over.
    Reopen {
        /// Whether somebody owns it.
        owned: bool,
    },
    /// Its signals came back soon after it was over.
    Recur {
        /// Whether somebody owns it.
        owned: bool,
    },
    /// It turned out to be part of another.
    Merge,
}

/// The phase after `event`; `None` when the move is not legal or changes nothing.
pub const fn next(phase: Phase, event: Event) -> Option<Phase> {
    use Phase::{Acknowledged, Mitigated, Open, Resolved};
    match (phase, event) {
        (Open, Event::Acknowledge)
        | (Mitigated, Event::Noisy { owned: true })
        | (Resolved, Event::Reopen { owned: true } | Event::Recur { owned: true }) => {
            Some(Acknowledged)
        }
        (Open | Acknowledged, Event::Quiet) => Some(Mitigated),
        (Mitigated, Event::Noisy { owned: false })
        | (Resolved, Event::Reopen { owned: false } | Event::Recur { owned: false }) => Some(Open),
        (Mitigated, Event::QuietLongEnough)
        | (Open | Acknowledged | Mitigated, Event::Resolve | Event::Merge) => Some(Resolved),
        _ => None,
    }
}

/// The lane in which a move is told: that of who made it.
pub const fn lane(event: Event) -> Lane {
    match event {
        Event::Acknowledge | Event::Resolve | Event::Reopen { .. } => Lane::Person,
        Event::Noisy { .. } | Event::Recur { .. } => Lane::Anomaly,
        Event::Quiet | Event::QuietLongEnough | Event::Merge => Lane::Automation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_is_decided() {
        use Phase::{Acknowledged, Mitigated, Open, Resolved};
        let noisy = Event::Noisy { owned: false };
        let reopen = Event::Reopen { owned: true };
        let recur = Event::Recur { owned: false };
        let events = [
            Event::Acknowledge,
            Event::Quiet,
            noisy,
            Event::QuietLongEnough,
            Event::Resolve,
            reopen,
            recur,
        ];
        let table = [
            (
                Open,
                [
                    Some(Acknowledged),
                    Some(Mitigated),
                    None,
                    None,
                    Some(Resolved),
                    None,
                    None,
                ],
            ),
            (
                Acknowledged,
                [
                    None,
                    Some(Mitigated),
                    None,
                    None,
                    Some(Resolved),
                    None,
                    None,
                ],
            ),
            (
                Mitigated,
                [
                    None,
                    None,
                    Some(Open),
                    Some(Resolved),
                    Some(Resolved),
                    None,
                    None,
                ],
            ),
            (
                Resolved,
                [None, None, None, None, None, Some(Acknowledged), Some(Open)],
            ),
        ];
        for (phase, expected) in table {
            assert_eq!(
                events.map(|event| next(phase, event)),
                expected,
                "{phase:?}"
            );
        }
    }
}

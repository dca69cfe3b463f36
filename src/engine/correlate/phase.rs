//! The life of an incident: one table of legal moves.

use crate::model::Phase;

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
    /// A person declares it not over, or its signals came back soon after.
    Reopen {
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
        | (Resolved, Event::Reopen { owned: true }) => Some(Acknowledged),
        (Open | Acknowledged, Event::Quiet) => Some(Mitigated),
        (Mitigated, Event::Noisy { owned: false }) | (Resolved, Event::Reopen { owned: false }) => {
            Some(Open)
        }
        (Mitigated, Event::QuietLongEnough)
        | (Open | Acknowledged | Mitigated, Event::Resolve | Event::Merge) => Some(Resolved),
        _ => None,
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
        let events = [
            Event::Acknowledge,
            Event::Quiet,
            noisy,
            Event::QuietLongEnough,
            Event::Resolve,
            reopen,
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
                ],
            ),
            (
                Acknowledged,
                [None, Some(Mitigated), None, None, Some(Resolved), None],
            ),
            (
                Mitigated,
                [None, None, Some(Open), Some(Resolved), Some(Resolved), None],
            ),
            (Resolved, [None, None, None, None, None, Some(Acknowledged)]),
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

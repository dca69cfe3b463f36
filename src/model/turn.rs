//! How the entries of a timeline read that tell of a turn in the life of an incident. Written by the engine, read
//! by whoever asks how it was at a moment of the past.

use super::{Lane, TimelineEntry};

/// It is mitigated: nothing in it is abnormal any more.
pub const ALL_CALM: &str = "all signals are back to normal";
/// It is mitigated: nobody is to be told of what is abnormal.
pub const HELD_BACK: &str = "what still fires is held back";
/// It is mitigated: what is abnormal is so for good.
pub const ACCEPTED: &str = "what has not recovered is accepted as the new normal";
/// It is mitigated, as far as is known: senders of its alerts stopped sending them, and did not say that they are over.
pub const UNSAID: &str =
    "its alerts are not sent any more, and nothing else is known to be abnormal";
/// It is mitigated: nobody told anything of it since a restart.
pub const UNHEARD: &str = "nothing was heard of it since the restart";
/// All of these.
const CALM: [&str; 5] = [ALL_CALM, HELD_BACK, ACCEPTED, UNHEARD, UNSAID];
/// It is mitigated no more.
pub const HURTS_AGAIN: &str = "signals are abnormal again";
/// It was quiet for long enough; for how long follows.
pub const QUIET_FOR: &str = "incident resolved: quiet for ";
/// Somebody declared it over; their name follows.
pub const RESOLVED_BY: &str = "resolved by ";
/// It was over, and its signals came back; why it is the same one follows.
pub const CAME_BACK: &str = "incident open again: ";
/// It was over, and somebody declared that it is not; their name follows.
pub const REOPENED_BY: &str = "reopened by ";

/// Where a turn led.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Mitigated.
    Calm,
    /// Resolved.
    Over,
    /// Open, or acknowledged if somebody had it.
    Hurting,
}

/// Why nothing is known to be abnormal in an incident, though nobody says that all is well again: in the words of its
/// latest turn, if it is such a one.
pub fn unsaid_calm(timeline: &[TimelineEntry]) -> Option<&str> {
    let mut latest_first = timeline.iter().rev();
    let calm = latest_first.find(|entry| told(entry) == Some(Turn::Calm))?;
    Some(&*calm.text).filter(|text| [UNHEARD, UNSAID].contains(text))
}

/// The turn an entry tells of, if it is one.
pub fn told(entry: &TimelineEntry) -> Option<Turn> {
    let (text, lane) = (&*entry.text, entry.lane);
    // What is told of an entity, and what senders and people wrote, turns nothing.
    if entry.entity.is_some() {
        return None;
    }
    match lane {
        Lane::Automation if CALM.contains(&text) => Some(Turn::Calm),
        Lane::Automation if text.starts_with(QUIET_FOR) => Some(Turn::Over),
        Lane::Person if text.starts_with(RESOLVED_BY) => Some(Turn::Over),
        Lane::Person if text.starts_with(REOPENED_BY) => Some(Turn::Hurting),
        Lane::Anomaly if text == HURTS_AGAIN || text.starts_with(CAME_BACK) => Some(Turn::Hurting),
        _ => None,
    }
}

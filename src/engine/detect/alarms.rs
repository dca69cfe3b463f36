//! Point alarms from the ensemble's score: silence after an alarm, a bar that raises itself on series
//! that alarm often, and a higher one for events that are familiar.

use serde::{Deserialize, Serialize};

use super::familiar::Familiar;

/// Score from which a point is an alarm: the shipped threshold.
pub const ALARM_SCORE: f32 = 0.85;
/// Scores below this are never remembered as an alarm, whatever threshold is applied later.
const SCORE_MIN: f32 = 0.6;
/// Samples of silence after an alarm.
const SILENCE_SAMPLES: u8 = 100;
/// A score this many times higher breaks the silence.
const BREAK_FACTOR: f32 = 1.45;
/// How much one alarm raises the bar …
const BAR_RAISE: f32 = 0.15;
/// … and the share that remains with each sample: half is gone after 350.
const BAR_KEEPS: f32 = 0.998;

/// How much each sighting of the like raises the bar.
const FAMILIAR_RAISE: f32 = 0.25;

/// Silence and bar of one series.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct PointAlarms {
    silent_samples: u8,
    last: f32,
    bar: f32,
    familiar: Familiar,
}

impl PointAlarms {
    /// The score as an alarm, 0 when silent, of a point that lies `height` off.
    pub(super) fn next(&mut self, raw: f32, height: f32, scale: f32) -> f32 {
        let familiarity = self.familiar.recall(height, scale);
        let score = raw / (1.0 + self.bar + FAMILIAR_RAISE * familiarity);
        self.bar *= BAR_KEEPS;
        if self.silent_samples > 0 {
            self.silent_samples -= 1;
            if score < BREAK_FACTOR * self.last {
                return 0.0;
            }
        }
        self.familiar.note(raw, height, scale);
        if score < SCORE_MIN {
            return 0.0;
        }
        self.silent_samples = SILENCE_SAMPLES;
        self.last = score;
        self.bar += BAR_RAISE;
        score
    }
}

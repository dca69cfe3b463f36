//! Events a series has shown before: a nightly job that doubles the load each night is an event,
//! yet no news. A few heights above the baseline are remembered with how often each was seen.

use serde::{Deserialize, Serialize};

/// Events remembered; the least seen makes room.
const EVENTS: usize = 4;
/// Share of a count that remains with each sample: half is gone after 1,700.
const COUNT_KEEPS: f32 = 0.999_6;
/// Heights are the same within this share of the larger one …
const HEIGHT_TOLERANCE: f32 = 0.16;
/// … and this many scales.
const HEIGHT_SLACK: f32 = 0.5;
/// How fast a remembered height follows.
const HEIGHT_WEIGHT: f32 = 0.3;
/// Score from which a point is an event worth remembering.
const EVENT_SCORE: f32 = 1.15;
/// Samples one event lasts at most; what follows counts as another.
const EVENT_SAMPLES: u8 = 30;
/// Sightings beyond this add no familiarity.
const SIGHTINGS_MAX: f32 = 3.0;

/// The events of one series.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Familiar {
    heights: [f32; EVENTS],
    sightings: [f32; EVENTS],
    lasts: u8,
}

impl Familiar {
    /// How familiar a point at `height` above the baseline is: sightings, fading, at most
    /// [`SIGHTINGS_MAX`]. Call once a sample.
    pub(super) fn recall(&mut self, height: f32, scale: f32) -> f32 {
        for sightings in &mut self.sightings {
            *sightings *= COUNT_KEEPS;
        }
        self.lasts = self.lasts.saturating_sub(1);
        let known = self.find(height, scale);
        known.map_or(0.0, |i| self.sightings[i].min(SIGHTINGS_MAX))
    }

    /// Remembers a point if its `score` makes it an event, and not the same one as just now.
    pub(super) fn note(&mut self, score: f32, height: f32, scale: f32) {
        if score >= EVENT_SCORE && self.lasts == 0 {
            self.lasts = EVENT_SAMPLES;
            self.remember(self.find(height, scale), height);
        }
    }

    /// The most seen of the events with about this height.
    fn find(&self, height: f32, scale: f32) -> Option<usize> {
        let matches = |i: &usize| {
            let known = self.heights[*i];
            let slack = HEIGHT_TOLERANCE * known.abs().max(height.abs()) + HEIGHT_SLACK * scale;
            self.sightings[*i] > 0.0 && (known - height).abs() < slack
        };
        (0..EVENTS)
            .filter(matches)
            .max_by(|&a, &b| self.sightings[a].total_cmp(&self.sightings[b]))
    }

    fn remember(&mut self, known: Option<usize>, height: f32) {
        if let Some(i) = known {
            self.sightings[i] += 1.0;
            self.heights[i] += HEIGHT_WEIGHT * (height - self.heights[i]);
            return;
        }
        let least = (0..EVENTS).min_by(|&a, &b| self.sightings[a].total_cmp(&self.sightings[b]));
        let place = least.unwrap_or(0);
        self.heights[place] = height;
        self.sightings[place] = 1.0;
    }
}

//! The usual shapes over time: a few prototypes of eight bucket means; a shape far from all of them
//! is new. Follows the leader algorithm (Hartigan 1975) with a bounded set: a far shape becomes a
//! prototype, a near one moves its winner.

use serde::{Deserialize, Serialize};

/// Bucket means a shape consists of.
const DIMS: usize = 8;
/// Prototypes kept; the least used makes room.
const PROTOTYPES: usize = 9;
/// A shape further than this from all prototypes, in scales a bucket, is inserted.
const INSERT_DISTANCE: f32 = 1.0;
/// Smallest share by which a winner moves towards the shape.
const MOVE_MIN: f32 = 0.05;
/// Steps of the code per scale when it is set.
const CODE_STEPS: f32 = 128.0;
/// The code's unit follows the scale once they differ by this factor.
const RESCALE_FACTOR: f32 = 8.0;
/// The code's centre follows the level once it is this many scales off.
const CENTRE_DISTANCE_MAX: f32 = 64.0;
/// Uses are halved when one reaches this count, so that the least used is the least used of late.
const USES_MAX: u16 = 400;

/// Prototypes at one resolution. Values are coded as 16-bit multiples of a slowly changing unit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Shapes {
    recent: [i16; DIMS],
    /// At most [`PROTOTYPES`], on the heap: most series know one or two, and all would carry room for nine.
    prototypes: Vec<Prototype>,
    filled: u8,
    in_bucket: u16,
    sum: f32,
    unit: f32,
    centre: f32,
}

/// A usual shape, and how often it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Prototype {
    code: [i16; DIMS],
    uses: u16,
}

impl Shapes {
    /// Reads a word of it, so that it comes while others are worked on.
    pub(super) fn touch(&self) -> u32 {
        self.sum.to_bits()
    }

    /// Adds `x`; at the end of a bucket of `width` samples, says how far the latest shape lies from
    /// the nearest prototype, in scales a bucket.
    pub(super) fn step(&mut self, x: f32, scale: f32, width: u16) -> Option<f32> {
        self.sum += x;
        self.in_bucket += 1;
        if self.in_bucket < width {
            return None;
        }
        let mean = self.sum / f32::from(self.in_bucket);
        self.sum = 0.0;
        self.in_bucket = 0;
        self.follow(mean, scale);
        self.recent.rotate_left(1);
        self.recent[DIMS - 1] = ((mean - self.centre) / self.unit) as i16;
        if usize::from(self.filled) < DIMS {
            self.filled += 1;
        }
        (usize::from(self.filled) == DIMS).then(|| self.compare(scale))
    }

    /// Starts a new shape: what comes next does not join what came before.
    pub(super) fn interrupt(&mut self) {
        self.filled = 0;
        self.in_bucket = 0;
        self.sum = 0.0;
    }

    fn compare(&mut self, scale: f32) -> f32 {
        let prototypes = self.prototypes.iter().enumerate();
        let nearest = prototypes
            .map(|(i, prototype)| (distance(&self.recent, &prototype.code), i))
            .min();
        let Some((steps, winner)) = nearest else {
            self.insert();
            return 0.0;
        };
        let far = steps as f32 * self.unit / (scale * DIMS as f32);
        if far > INSERT_DISTANCE {
            self.insert();
        } else {
            self.move_towards(winner);
        }
        far
    }

    fn insert(&mut self) {
        let prototype = Prototype {
            code: self.recent,
            uses: 1,
        };
        if self.prototypes.len() < PROTOTYPES {
            // One at a time: the next may never come.
            self.prototypes.reserve_exact(1);
            self.prototypes.push(prototype);
        } else if let Some(least) = self.prototypes.iter_mut().min_by_key(|p| p.uses) {
            *least = prototype;
        }
    }

    fn move_towards(&mut self, winner: usize) {
        let prototype = &mut self.prototypes[winner];
        prototype.uses += 1;
        let uses = prototype.uses;
        let share = (1.0 / f32::from(uses)).max(MOVE_MIN);
        for (p, &r) in prototype.code.iter_mut().zip(&self.recent) {
            *p += (share * f32::from(r.saturating_sub(*p))) as i16;
        }
        if uses >= USES_MAX {
            for prototype in &mut self.prototypes {
                prototype.uses = prototype.uses.div_ceil(2);
            }
        }
    }

    /// Codes anew when spread or level have left the range in which the code is fine and wide enough.
    fn follow(&mut self, mean: f32, scale: f32) {
        let wanted = scale / CODE_STEPS;
        let ratio = self.unit / wanted;
        let fits = (1.0 / RESCALE_FACTOR..=RESCALE_FACTOR).contains(&ratio);
        if fits && (mean - self.centre).abs() < CENTRE_DISTANCE_MAX * self.unit * CODE_STEPS {
            return;
        }
        let (ratio, unit) = if fits {
            (1.0, self.unit)
        } else {
            (ratio, wanted)
        };
        let shift = (self.centre - mean) / unit;
        let recode = |code: &mut i16| *code = (f32::from(*code) * ratio + shift) as i16;
        self.recent.iter_mut().for_each(recode);
        let codes = self.prototypes.iter_mut().map(|p| &mut p.code);
        codes.flatten().for_each(recode);
        self.unit = unit;
        self.centre = mean;
    }
}

fn distance(a: &[i16; DIMS], b: &[i16; DIMS]) -> i32 {
    a.iter()
        .zip(b)
        .map(|(&a, &b)| (i32::from(a) - i32::from(b)).abs())
        .sum()
}

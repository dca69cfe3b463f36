//! Repeatable noise for tests: the same seed draws the same values everywhere.

/// A linear congruential generator (Knuth's constants), of which the high bits are taken.
#[derive(Clone, Debug)]
pub struct Dice(pub u64);

impl Dice {
    /// Evenly between 0 and 1, both left out.
    pub fn unit(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Normal, of mean 0 and deviation 1 (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.unit().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

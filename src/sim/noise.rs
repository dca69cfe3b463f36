//! Seeded noise: the only source of chance in the simulator. The same seed gives the same run on
//! every machine and every release (xoshiro256++ is a fixed algorithm).

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// A seeded stream of random values.
#[derive(Clone, Debug)]
pub struct Noise {
    rng: Xoshiro256PlusPlus,
    spare: Option<f64>,
}

impl Noise {
    /// A stream that depends on `seed` and `stream` only.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mixed = seed ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self {
            rng: Xoshiro256PlusPlus::seed_from_u64(mixed),
            spare: None,
        }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// Uniform in `0..1`.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform in `low..high`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Uniform in `0..n`; 0 when `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        ((self.unit() * n as f64) as usize).min(n.saturating_sub(1))
    }

    /// Whether an event of probability `p` happens.
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// Standard normal (Box and Muller 1958, both values used).
    pub fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        let angle = std::f64::consts::TAU * self.unit();
        self.spare = Some(radius * angle.sin());
        radius * angle.cos()
    }

    /// Log-normal with median 1 and `sigma` of its logarithm.
    pub fn factor(&mut self, sigma: f64) -> f64 {
        (sigma * self.normal()).exp()
    }

    /// A count with the given mean: Poisson by inversion when small, its normal limit when large.
    pub fn count(&mut self, mean: f64) -> u64 {
        const SMALL: f64 = 30.0;
        if mean <= 0.0 {
            return 0;
        }
        if mean > SMALL {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0) as u64;
        }
        let limit = (-mean).exp();
        let (mut product, mut n) = (self.unit(), 0);
        while product > limit {
            product *= self.unit();
            n += 1;
        }
        n
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_values() {
        let draw = |seed, stream| {
            let mut noise = Noise::new(seed, stream);
            (0..32).map(|_| noise.bits()).collect::<Vec<_>>()
        };
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(2, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
    }

    #[test]
    fn counts_have_the_mean_asked_for() {
        let mut noise = Noise::new(7, 0);
        for mean in [0.3, 5.0, 400.0] {
            let total: u64 = (0..2_000).map(|_| noise.count(mean)).sum();
            let seen = total as f64 / 2_000.0;
            assert!((seen / mean - 1.0).abs() < 0.1, "mean {mean}, seen {seen}");
        }
    }
}

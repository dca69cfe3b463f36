//! What happens on ordinary days and is no fault: nightly jobs, deploys with counter resets, gaps.

use super::fault::Strain;
use super::noise::Noise;
use super::system::{NodeKind, System};
use crate::model::Time;

const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;
/// One node in this many runs a nightly job.
const BATCH_ONE_IN: usize = 8;
/// Longest nightly job, in milliseconds.
const BATCH_MS_MAX: f64 = 40.0 * 60_000.0;
/// Deploys a day for each hundred services.
const DEPLOYS_PER_DAY_PER_100: f64 = 12.0;
/// Scrape gaps a day for each hundred services.
const GAPS_PER_DAY_PER_100: f64 = 4.0;
/// Longest scrape gap, in milliseconds.
const GAP_MS_MAX: f64 = 10.0 * 60_000.0;

/// A job that runs at the same time every night.
#[derive(Clone, Copy, Debug)]
struct Batch {
    start_of_day_ms: i64,
    length_ms: i64,
    slow: f64,
}

/// The ordinary oddities of a system.
#[derive(Clone, Debug)]
pub struct Quirks {
    batches: Vec<Option<Batch>>,
    deploys: Vec<(Time, usize)>,
    gaps: Vec<(Time, Time, usize)>,
}

impl Quirks {
    /// None at all.
    pub fn none(system: &System) -> Self {
        Self {
            batches: vec![None; system.nodes.len()],
            deploys: Vec::new(),
            gaps: Vec::new(),
        }
    }

    /// Drawn for the time from `from` to `to`.
    pub fn draw(system: &System, seed: u64, from: Time, to: Time) -> Self {
        let mut noise = Noise::new(seed, 11);
        let batch = |noise: &mut Noise| Batch {
            start_of_day_ms: (noise.between(0.5, 5.0) * HOUR_MS as f64) as i64,
            length_ms: noise.between(0.25 * BATCH_MS_MAX, BATCH_MS_MAX) as i64,
            slow: noise.between(0.3, 0.9),
        };
        let batches = (0..system.nodes.len())
            .map(|i| (i % BATCH_ONE_IN == 3).then(|| batch(&mut noise)))
            .collect();
        let days = to.since(from) as f64 / DAY_MS as f64;
        let hundreds = system.nodes.len() as f64 / 100.0;
        let services: Vec<usize> = (0..system.nodes.len())
            .filter(|&i| system.nodes[i].kind == NodeKind::Service)
            .collect();
        let mut deploys: Vec<(Time, usize)> = (0..noise
            .count(DEPLOYS_PER_DAY_PER_100 * hundreds * days))
            .map(|_| {
                (
                    any_time(&mut noise, from, days),
                    services[noise.below(services.len())],
                )
            })
            .collect();
        deploys.sort_unstable();
        let gaps = (0..noise.count(GAPS_PER_DAY_PER_100 * hundreds * days))
            .map(|_| {
                let start = any_time(&mut noise, from, days);
                let end = start.plus_ms(noise.between(60_000.0, GAP_MS_MAX) as i64);
                (start, end, noise.below(system.nodes.len()))
            })
            .collect();
        Self {
            batches,
            deploys,
            gaps,
        }
    }

    /// Deploys of the whole time, by time: when, and of which node.
    pub fn deploys(&self) -> &[(Time, usize)] {
        &self.deploys
    }

    /// Adds what the nightly job of a node does at `now`.
    pub fn strain(&self, index: usize, now: Time, strain: &mut Strain) {
        if let Some(batch) = self.batches[index] {
            let into = now.ms().rem_euclid(DAY_MS) - batch.start_of_day_ms;
            if (0..batch.length_ms).contains(&into) {
                strain.slow += batch.slow;
            }
        }
    }

    /// Whether a node's metrics are not scraped at `now`.
    pub fn in_gap(&self, index: usize, now: Time) -> bool {
        self.gaps
            .iter()
            .any(|(start, end, node)| *node == index && *start <= now && now < *end)
    }
}

fn any_time(noise: &mut Noise, from: Time, days: f64) -> Time {
    from.plus_ms((noise.unit() * days * DAY_MS as f64) as i64)
}

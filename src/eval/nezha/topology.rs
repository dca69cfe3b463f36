//! How much of the true topology sampled spans reveal.

use std::collections::{BTreeMap, BTreeSet};

use super::data::Stretch;
use super::sampled;

/// Seeds over which sampling is averaged.
const SEEDS: u64 = 20;

/// F1 of the service edges found in `percent` of the traces against those in all spans, mean over seeds.
pub fn edge_f1(stretches: &[&Stretch], percent: u64) -> f64 {
    let truth = edges(stretches, |_| true);
    let total: f64 = (0..SEEDS)
        .map(|seed| {
            f1(
                &edges(stretches, |trace| sampled(trace, seed, percent)),
                &truth,
            )
        })
        .sum();
    total / SEEDS as f64
}

fn edges(stretches: &[&Stretch], keeps: impl Fn(u64) -> bool) -> BTreeSet<(usize, usize)> {
    let mut found = BTreeSet::new();
    for stretch in stretches {
        let services: BTreeMap<u64, usize> = stretch
            .spans
            .iter()
            .filter(|s| keeps(s.trace))
            .map(|s| (s.span, s.service))
            .collect();
        for span in stretch.spans.iter().filter(|span| keeps(span.trace)) {
            if let Some(caller) = services.get(&span.parent)
                && *caller != span.service
            {
                found.insert((*caller, span.service));
            }
        }
    }
    found
}

fn f1(found: &BTreeSet<(usize, usize)>, truth: &BTreeSet<(usize, usize)>) -> f64 {
    let both = found.len() + truth.len();
    if both == 0 {
        1.0
    } else {
        2.0 * found.intersection(truth).count() as f64 / both as f64
    }
}

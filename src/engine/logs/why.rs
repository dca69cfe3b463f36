//! Why a kind of line is, or is not, told of now.

use super::checks::WARM_UP_WINDOWS;
use super::counter::{BUCKET_MS, Counter, bucket_of};
use super::miner::TemplateId;
use super::watch::LogWatch;
use crate::engine::diagnose::words;
use crate::engine::explain;
use crate::model::{EntityId, Time};

/// Kinds of lines answered for at once, those that came last.
const TEMPLATES_MAX: usize = 8;

impl LogWatch {
    /// What is known of the kinds of lines of an entity that hold all of `words`.
    pub(in crate::engine) fn why(
        &self,
        entity: &EntityId,
        words: &[&str],
        now: Time,
    ) -> Vec<(TemplateId, Box<str>, Vec<String>)> {
        let Some(logs) = self.logs_of(entity) else {
            return Vec::new();
        };
        let text = |template: u64| {
            self.miner()
                .template(TemplateId(template))
                .unwrap_or_default()
        };
        let is_meant = |template: u64| words.iter().all(|word| text(template).contains(word));
        let mut meant: Vec<(u64, &Counter)> = logs
            .counters
            .iter()
            .filter(|(template, _)| is_meant(**template))
            .map(|(template, counter)| (*template, counter))
            .collect();
        meant.sort_by_key(|(_, counter)| std::cmp::Reverse(counter.last_seen));
        meant.truncate(TEMPLATES_MAX);
        let told = meant.into_iter().map(|(template, counter)| {
            let subject = words::in_plain(text(template)).into();
            (TemplateId(template), subject, counter.why(now))
        });
        told.collect()
    }
}

impl Counter {
    /// Sentence by sentence.
    fn why(&self, now: Time) -> Vec<String> {
        // The bucket of now is not over.
        let lines = self.ring.window(bucket_of(now) - 1);
        let learned = self.baseline.updates();
        let mut told = vec![if learned < WARM_UP_WINDOWS {
            format!("how often it comes is being learned: {learned} of {WARM_UP_WINDOWS} windows")
        } else {
            let high = self.baseline.high();
            format!("{lines} lines in the last minute, at most {high:.1} expected")
        }];
        let longest_ms = (self.gap_buckets_max * BUCKET_MS as f64) as i64;
        told.push(format!(
            "{} lines since {}, the last {} ago, never longer than {} between two",
            self.count,
            self.first_seen,
            words::duration(now.since(self.last_seen)),
            words::duration(longest_ms)
        ));
        if let Some((period_ms, due)) = self.beats.due() {
            let every = words::duration(period_ms);
            told.push(format!(
                "it comes every {every}, next at {}",
                explain::about(due)
            ));
        }
        let values = self.values.standing();
        told.extend(values.map(|(of, standing)| explain::spread(&of, standing)));
        told
    }
}

//! The past, asked for in chapters: long enough to be quick, short enough to be held in memory.
//!
//! All sections go through time together, oldest first, so that who learns from it sees the past in
//! order. A server gets at most half of its time asked for by us. What cannot be had within
//! [`LEARNING_S_MAX`] is left to the present.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::answer::Steps;
use super::{POINTS_MAX, PullError, Puller};
use crate::config::PromqlConfig;
use crate::model::{Batch, SourceId, Time};
use crate::sources::backoff::Backoff;
use crate::sources::{Clock, SignalSender};

/// Longest time spent on the past before the present, in seconds.
pub const LEARNING_S_MAX: u64 = 15 * 60;
/// A server that could not answer for this long has no past, in seconds.
const PATIENCE_S_MAX: u64 = 120;
/// Length of the first chapter, in milliseconds.
const CHAPTER_MS: i64 = 2 * 3_600_000;
/// Longest chapter, in milliseconds.
const CHAPTER_MS_MAX: i64 = 24 * 3_600_000;
/// Chapters with fewer samples than this make room for longer ones.
const SAMPLES_FEW: usize = 250_000;
/// Longest rest between two chapters, in milliseconds.
const REST_MS_MAX: u128 = 2_000;
/// A past shorter than this is not worth it, in milliseconds: the present reaches back as far.
const PAST_MS_MIN: i64 = 10 * 60_000;

/// What was told at each time, in order.
pub type Learnt = Vec<(Time, Vec<Batch>)>;

/// The past of all sections. Dropping it lets the present begin where it was left.
pub struct History {
    parts: Vec<Part>,
    clock: Clock,
    /// Everything before was asked for.
    at: Time,
    from: Time,
    chapter_ms: i64,
    chapter_ms_max: i64,
    /// How long after their time points are told, in milliseconds.
    delay_ms: i64,
    deadline: Instant,
}

/// One section.
struct Part {
    puller: Puller,
    sender: SignalSender,
    /// Whose telemetry it is.
    source: SourceId,
    begins: watch::Sender<Option<Time>>,
    /// The first point that was not asked for.
    next: Time,
    backoff: Backoff,
    answered: Instant,
    is_given_up: bool,
}

/// A section of the config, with what it delivers through and whom it tells when it is done.
pub(in crate::sources) type Section<'a> =
    (&'a PromqlConfig, SignalSender, watch::Sender<Option<Time>>);

/// One look at all sections.
struct Round {
    steps: BTreeMap<Time, Vec<Batch>>,
    samples: usize,
    is_too_much: bool,
    has_failed: bool,
}

impl History {
    /// The past of these sections that was not learned from yet; `None` if there is none.
    pub(in crate::sources) fn new(
        sections: Vec<Section<'_>>,
        learned_until: Time,
        clock: Clock,
    ) -> Option<Self> {
        const DAY_MS: i64 = 24 * 3_600_000;
        let now = clock();
        let is_worth_it = |from: Time| now.since(from) > PAST_MS_MIN;
        let mut parts = Vec::new();
        for (config, sender, begins) in sections {
            let from = now
                .plus_ms(-i64::from(config.history_days) * DAY_MS)
                .max(learned_until);
            // What is wrong with its settings is told by the present.
            if let Ok(puller) = Puller::new(config)
                && is_worth_it(from)
            {
                begins.send_replace(None);
                let source = config.warms.as_deref();
                parts.push(Part {
                    source: source.map_or_else(|| sender.source().clone(), SourceId::new),
                    next: puller.first(from.plus_ms(1)),
                    puller,
                    sender,
                    begins,
                    backoff: Backoff::new(),
                    answered: Instant::now(),
                    is_given_up: false,
                });
            } else {
                // The present asks back to where we were, as far as the engine takes it.
                begins.send_replace(Some(from.min(now)));
            }
        }
        let from = parts.iter().map(|part| part.next).min()?;
        let delay_s = parts.iter().map(|part| part.puller.config.delay_s).max()?;
        let step_ms = parts.iter().map(|part| part.puller.step_ms()).min()?;
        let chapter_ms_max = CHAPTER_MS_MAX.min(POINTS_MAX * step_ms);
        Some(Self {
            parts,
            clock,
            at: from,
            from,
            chapter_ms: CHAPTER_MS.min(chapter_ms_max),
            chapter_ms_max,
            delay_ms: i64::from(delay_s) * 1_000,
            deadline: Instant::now() + Duration::from_secs(LEARNING_S_MAX),
        })
    }

    /// How much of the past was asked for, from 0 to 1.
    pub fn progress(&self) -> f64 {
        let all_ms = (self.clock)().since(self.from).max(1);
        (self.at.since(self.from) as f64 / all_ms as f64).clamp(0.0, 1.0)
    }

    /// The next chapter; `None` when the present has come, or nothing more can be had.
    pub async fn next(&mut self) -> Option<Learnt> {
        for part in &mut self.parts {
            if self.at == self.from {
                part.puller.learn_kinds().await;
            }
        }
        loop {
            let now = (self.clock)();
            let is_done = |part: &Part| part.is_given_up || part.next > part.puller.latest(now);
            if self.parts.iter().all(is_done) || Instant::now() >= self.deadline {
                return None;
            }
            let asked = Instant::now();
            let end = self.at.plus_ms(self.chapter_ms).min(now);
            let round = self.ask(end, now).await;
            if round.is_too_much {
                self.chapter_ms = (self.chapter_ms / 2).max(1_000);
                self.chapter_ms_max = self.chapter_ms;
                continue;
            }
            if round.has_failed {
                continue;
            }
            self.at = end;
            if round.samples < SAMPLES_FEW {
                self.chapter_ms = (self.chapter_ms * 2).min(self.chapter_ms_max);
            }
            let rest_ms = asked.elapsed().as_millis().min(REST_MS_MAX);
            tokio::time::sleep(Duration::from_millis(rest_ms as u64)).await;
            if !round.steps.is_empty() {
                return Some(round.steps.into_iter().collect());
            }
        }
    }

    /// Asks all sections for what is before `end`: all of them count, or none.
    async fn ask(&mut self, end: Time, now: Time) -> Round {
        let mut round = Round {
            steps: BTreeMap::new(),
            samples: 0,
            is_too_much: false,
            has_failed: false,
        };
        let mut done = Vec::new();
        let delay_ms = self.delay_ms;
        for (index, part) in self.parts.iter_mut().enumerate() {
            let before_end = part.puller.first(end).plus_ms(-part.puller.step_ms());
            let last = before_end.min(part.puller.latest(now));
            if part.is_given_up || last < part.next {
                continue;
            }
            let pulled = part.puller.pull(part.next, last).await;
            part.puller.tell(&part.sender);
            match pulled {
                Ok(steps) => {
                    part.backoff = Backoff::new();
                    part.answered = Instant::now();
                    part.sender.recovered();
                    round.samples += part.put(steps, delay_ms, &mut round.steps);
                    done.push((index, last.plus_ms(part.puller.step_ms())));
                }
                Err(PullError::TooMuch) if last > part.next => {
                    round.is_too_much = true;
                    return round;
                }
                Err(PullError::TooMuch) => {
                    part.sender
                        .fail("the answer for a single point is too long: select fewer series");
                    part.is_given_up = true;
                }
                Err(PullError::Passing(why)) => {
                    part.sender
                        .fail(&format!("{}: {why}", part.puller.config.url));
                    part.is_given_up =
                        part.answered.elapsed() > Duration::from_secs(PATIENCE_S_MAX);
                    tokio::time::sleep(part.backoff.next_wait()).await;
                    round.has_failed = true;
                    return round;
                }
            }
        }
        for (index, next) in done {
            self.parts[index].next = next;
        }
        round
    }
}

impl Part {
    /// Puts what it pulled beside what the others did; gives how many samples that is.
    fn put(&self, steps: Steps, delay_ms: i64, into: &mut BTreeMap<Time, Vec<Batch>>) -> usize {
        let mut samples = 0;
        for (at, signals) in steps {
            samples += signals.len();
            let source = self.source.clone();
            let told_at = at.plus_ms(delay_ms);
            into.entry(told_at)
                .or_default()
                .push(Batch { source, signals });
        }
        samples
    }
}

impl Drop for History {
    fn drop(&mut self) {
        for part in &self.parts {
            part.begins.send_replace(Some(part.next));
        }
    }
}

impl std::fmt::Debug for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("History")
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

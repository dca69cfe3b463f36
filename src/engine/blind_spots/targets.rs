//! Targets of one section that stop answering together: are they all down, or do we not reach them? One network, one
//! name server, one certificate of ours looks like that from here.
//!
//! They are one finding and one incident. It never covers a target whose loss something else confirms, nor what nobody
//! was told of: that is told by itself.

use std::collections::BTreeSet;

use super::{ENTITIES_MIN, LEFT_MIN, NAMED_MAX, TOGETHER_MS};
use crate::engine::Engine;
use crate::engine::absence::{Absent, absent};
use crate::engine::explain;
use crate::engine::findings::Key;
use crate::engine::intake::{SeriesIx, SourceIx};
use crate::model::{Health, Time};

/// At least one in so many of the targets of a section must fail together: where fewer do, it is them.
const PART_MIN: usize = 2;

impl Engine {
    /// Whether a target that answered, and does not since `since`, is told as one of many that fail together; tells of
    /// them if nobody was told.
    pub(in crate::engine) fn is_lost_together(&mut self, series: SeriesIx, since: Time) -> bool {
        let row = self.intake.row(series);
        let (source, entity) = (row.source(), row.entity);
        let is_confirmed =
            self.is_alerting(entity) || self.caller_in_trouble(entity, since).is_some();
        if !self.is_own_target(row) || is_confirmed {
            return false;
        }
        let is_told = self.findings.of_key(Key::Source(source)).is_some();
        let known = self.blind_spots.targets.get(&source);
        if is_told && known.is_some_and(|known| known.contains(&series)) {
            return true;
        }
        let (failing, all) = self.silence.failing_of(source, &self.intake);
        let together = failing
            .into_iter()
            .filter(|(_, at)| at.since(since).abs() <= TOGETHER_MS);
        let together: BTreeSet<SeriesIx> = together.map(|(ix, _)| ix).collect();
        if together.len() < ENTITIES_MIN || together.len() * PART_MIN < all {
            return false;
        }
        self.tell_targets(source, since, &together, all);
        if self.findings.of_key(Key::Source(source)).is_none() {
            return false;
        }
        for ix in &together {
            self.findings.end(Key::Series(*ix), self.now);
            self.hold_behind_spot(source, self.intake.row(*ix).entity);
        }
        self.blind_spots.targets.insert(source, together);
        true
    }

    /// Looks which of the targets that are told together still fail; with a few left each is told by itself.
    pub(super) fn follow_targets(&mut self) {
        let known: Vec<SourceIx> = self.blind_spots.targets.keys().copied().collect();
        for source in known {
            let Some(known) = self.blind_spots.targets.remove(&source) else {
                continue;
            };
            let (failing, _) = self.silence.failing_of(source, &self.intake);
            let left: BTreeSet<SeriesIx> = failing.into_iter().map(|(ix, _)| ix).collect();
            let left: BTreeSet<SeriesIx> = known.intersection(&left).copied().collect();
            let is_over = left.len() < LEFT_MIN;
            let answering = known.iter().filter(|ix| is_over || !left.contains(ix));
            for ix in answering {
                let entity = self.intake.row(*ix).entity;
                self.let_go_behind_spot(source, entity);
            }
            if !is_over {
                self.blind_spots.targets.insert(source, left);
            } else if !self.silence.is_blind(source) && !self.blind_spots.of.contains_key(&source) {
                // Those left are told by themselves as soon as they fail to answer again.
                self.findings.end(Key::Source(source), self.now);
                let entity = self.source_entity(source);
                self.entities.set_health(entity, Health::Ok);
            }
        }
    }

    fn tell_targets(
        &mut self,
        source: SourceIx,
        since: Time,
        failing: &BTreeSet<SeriesIx>,
        all: usize,
    ) {
        let target = |ix: &SeriesIx| {
            let row = self.intake.row(*ix);
            let instance = row.series.labels.get("instance");
            instance.map_or_else(
                || self.entities.id(row.entity).name().to_owned(),
                str::to_owned,
            )
        };
        let mut names: Vec<String> = failing.iter().map(target).collect();
        names.sort_unstable();
        let more = match names.len().saturating_sub(NAMED_MAX) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        names.truncate(NAMED_MAX);
        let text = format!(
            "we are blind on {} of {all} targets of {}: {}{more} do not answer since {}, all at once: they are down, or we do not reach them",
            failing.len(),
            self.silence.source(source).0,
            names.join(", "),
            explain::clock(since)
        );
        let unusual =
            "things that stop answering at the same time are seldom lost at the same time";
        let absent = Absent {
            subject: "source",
            since,
            text,
            pages: true,
            explain: absent(unusual),
        };
        self.note_blind(Key::Source(source), source, absent);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::EngineConfig;
    use crate::model::{
        Batch, Finding, Input, Labels, Sample, Series, SeriesKind, Signal, SourceId, Stamped, Unit,
    };

    const EVERY_S: i64 = 15;

    /// A section with so many targets, each asked in turn within each interval, and its clock.
    struct Bench {
        engine: Engine,
        now_s: i64,
        targets: i64,
    }

    impl Bench {
        fn new(targets: i64) -> Self {
            Self {
                engine: Engine::new(EngineConfig::default(), Vec::new()),
                now_s: 1_768_392_000,
                targets,
            }
        }

        /// So many seconds in which those targets answer that `answers` says do.
        fn ask(&mut self, seconds: i64, answers: impl Fn(i64) -> bool) {
            for _ in 0..seconds {
                let at = Time::from_secs(self.now_s);
                let asked = (0..self.targets).filter(|n| (self.now_s + n) % EVERY_S == 0);
                let signals = asked.map(|n| {
                    let instance = format!("n{n:02}:9100");
                    let service = format!("s{n:02}");
                    let labels = [
                        ("job", "shop"),
                        ("instance", &*instance),
                        ("service", &*service),
                    ];
                    let labels = Labels::from_pairs(labels).unwrap();
                    let series = Series::new("up", labels, SeriesKind::Gauge, Unit::None);
                    let value = f64::from(u8::from(answers(n)));
                    let series = Arc::new(series);
                    Signal::Sample(Sample { series, at, value })
                });
                let batch = Batch {
                    source: SourceId::new("scrape shop"),
                    signals: signals.collect(),
                };
                for input in [Input::Signals(batch), Input::Tick] {
                    let stamped = Stamped { seq: 1, at, input };
                    self.engine.step(&stamped, &mut Vec::new());
                }
                self.now_s += 1;
            }
        }

        /// What is told, that pages: of the section, and of how many of its targets by themselves.
        fn told(&self) -> (Option<&str>, usize) {
            let told = |key| self.engine.findings.of_key(key).map(|state| &state.finding);
            let pages = |finding: &&Finding| finding.pages;
            let section = told(Key::Source(SourceIx(0))).filter(pages);
            let targets = (0..self.targets as u32).map(|n| Key::Series(SeriesIx(n)));
            let alone = targets.filter_map(told).filter(pages).count();
            (section.map(|finding| &*finding.text), alone)
        }
    }

    #[test]
    fn targets_lost_together_are_one_blind_spot_until_they_answer() {
        let mut bench = Bench::new(40);
        bench.ask(600, |_| true);
        bench.ask(60, |n| n < 2);
        let begins = "we are blind on 38 of 40 targets of scrape shop: n02:9100, n03:9100, n04:9100 and 35 more do not answer since";
        let (section, alone) = bench.told();
        assert!(
            section.is_some_and(|text| text.starts_with(begins)),
            "{section:?}"
        );
        assert_eq!(alone, 0, "none of them by itself");
        bench.ask(60, |n| n < 30);
        assert!(matches!(bench.told(), (Some(_), 0)), "{:?}", bench.told());
        bench.ask(60, |n| n != 7);
        assert_eq!(
            bench.told(),
            (None, 1),
            "the one that is left is told by itself"
        );
        bench.ask(60, |_| true);
        assert_eq!(bench.told(), (None, 0));
    }

    #[test]
    fn a_few_targets_that_are_lost_are_told_one_by_one() {
        for (targets, lost) in [(40, 10), (4, 4), (12, 5)] {
            let mut bench = Bench::new(targets);
            bench.ask(600, |_| true);
            bench.ask(60, |n| n >= lost);
            assert_eq!(bench.told(), (None, lost as usize), "{lost} of {targets}");
        }
    }

    #[test]
    fn targets_lost_one_after_the_other_are_not_lost_together() {
        let mut bench = Bench::new(8);
        bench.ask(600, |_| true);
        for lost in 1..=8 {
            bench.ask(200, |n| n >= lost);
            assert_eq!(bench.told(), (None, lost as usize));
        }
    }
}

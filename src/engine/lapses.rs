//! Metrics that stop while the rest of their entity goes on, as findings: one an entity, however many do.
//!
//! What exported them broke, or somebody took them away: that informs, and after hours of it nobody waits for them. What
//! comes and goes is never told, and neither is what went with all that its labels name: a pod that was replaced,
//! a queue that was deleted.

use super::Engine;
use super::absence::{Absent, absence, absent};
use super::detect::HOLD_MS_MAX;
use super::diagnose::words;
use super::entities::EntityIx;
use super::explain;
use super::findings::Key;
use super::intake::SeriesRow;
use crate::model::{MetricRole, Time};

/// Score of one metric that stopped; of more of them it is a little higher.
const SCORE: f32 = 7.0;
/// What one more adds to it …
const SCORE_STEP: f32 = 0.05;
/// … up to so many.
const COUNTED_MAX: usize = 40;

impl Engine {
    /// Tells which metrics of an entity stopped.
    pub(super) fn note_lapse(&mut self, entity: EntityIx) {
        let rows = || self.silence.lapsed(entity).map(|ix| self.intake.row(ix));
        let Some(first) = rows().min_by_key(|row| row.heard_at()) else {
            return;
        };
        let (since, count) = (first.heard_at(), rows().count());
        let which = stopped(first, count);
        let name = self.entities.id(entity).name();
        let clock = explain::clock(since);
        let steady = words::duration(first.heard_at().since(first.steady_since()));
        let every = words::duration(i64::from(first.interval_ms));
        let subject = first.series.name.clone();
        let id = first.series.id;
        let told = Absent {
            subject: &subject,
            since,
            text: format!("{which} stopped at {clock}, while other metrics of {name} go on"),
            pages: false,
            explain: absent(&format!("it came every {every} for {steady}"))
                .against(Self::baseline_of(first)),
        };
        let mut seen = absence(Key::Lapse(entity), entity, told);
        // It says nothing of whether the entity is there.
        seen.role = MetricRole::Other;
        seen.series = Some(id);
        seen.at = self.now;
        seen.score = SCORE + SCORE_STEP * count.min(COUNTED_MAX) as f32;
        self.observe(seen);
    }

    /// What stopped long ago is waited for no more.
    pub(super) fn forgo_lapse(&mut self, entity: EntityIx) {
        let lasted = words::duration(HOLD_MS_MAX);
        let name = self.entities.id(entity).name();
        let text = format!("new normal accepted after {lasted}: fewer metrics of {name}");
        let now: Time = self.now;
        self.findings.accept(Key::Lapse(entity), now, text);
    }
}

/// `queue items`, or `queue items and 3 more metrics`.
fn stopped(first: &SeriesRow, count: usize) -> String {
    let name = explain::subject(&first.series.name);
    match count {
        0 | 1 => name,
        2 => format!("{name} and another metric"),
        more => format!("{name} and {} more metrics", more - 1),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::EngineConfig;
    use crate::model::{
        Batch, Check, EntityId, Finding, Health, Input, Labels, Sample, Series, SeriesKind, Signal,
        SourceId, Stamped, Unit,
    };

    const START_S: i64 = 1_768_392_000;
    const STEP_S: i64 = 15;
    const HOUR_S: i64 = 3_600;

    /// A metric of an instance, and whether a point of it comes in a second.
    type Metric<'a> = (&'a str, &'a str, &'a dyn Fn(i64) -> bool);

    struct Shop {
        engine: Engine,
        /// Text of each finding of an absence, once told, and whether it ever paged.
        told: Vec<(String, bool)>,
    }

    impl Shop {
        /// An engine that watched metrics of the cart through a source that tells of others as well.
        fn watched(until_s: i64, metrics: &[Metric<'_>]) -> Self {
            let mut shop = Self {
                engine: Engine::new(EngineConfig::default(), Vec::new()),
                told: Vec::new(),
            };
            for s in (0..until_s).step_by(STEP_S as usize) {
                let ours = metrics.iter().filter(|(.., comes)| comes(s));
                let ours = ours.map(|(name, instance, _)| sample("cart", name, instance, s));
                let others = ["a", "b"].map(|name| sample("shop", name, "shop-1", s));
                shop.step(s, ours.chain(others).collect());
            }
            shop
        }

        fn step(&mut self, s: i64, signals: Vec<Signal>) {
            let source = SourceId::new("test");
            let batch = Input::Signals(Batch { source, signals });
            let inputs = (0..STEP_S).map(|tick| (s + tick, Input::Tick));
            for (s, input) in [(s, batch)].into_iter().chain(inputs) {
                let at = Time::from_secs(START_S + s);
                self.engine
                    .step(&Stamped { seq: 1, at, input }, &mut Vec::new());
            }
            let told = self.absences();
            for finding in told {
                match self.told.last_mut() {
                    Some((text, pages)) if *text == *finding.text => *pages |= finding.pages,
                    _ => self.told.push((finding.text.to_string(), finding.pages)),
                }
            }
        }

        fn absences(&self) -> Vec<Finding> {
            let Some(cart) = self.cart() else {
                return Vec::new();
            };
            let keys = [Key::Lapse(cart), Key::Entity(cart, Check::Absence)];
            let told = keys.map(|key| Some(self.engine.findings.of_key(key)?.finding.clone()));
            told.into_iter().flatten().collect()
        }

        fn cart(&self) -> Option<EntityIx> {
            self.engine.entities.find(&EntityId::parse("cart"))
        }

        fn told(&self) -> Vec<(&str, bool)> {
            let told = self.told.iter();
            told.map(|(text, pages)| (&**text, *pages)).collect()
        }
    }

    fn sample(service: &str, name: &str, instance: &str, s: i64) -> Signal {
        let labels = Labels::from_pairs([("service", service), ("instance", instance)]).unwrap();
        let series = Series::new(name, labels, SeriesKind::Gauge, Unit::None);
        Signal::Sample(Sample {
            series: Arc::new(series),
            at: Time::from_secs(START_S + s),
            value: 5.0 + ((s / STEP_S * 7_919) % 13) as f64,
        })
    }

    fn always(_: i64) -> bool {
        true
    }

    fn until(hours: i64) -> impl Fn(i64) -> bool {
        move |s| s < hours * HOUR_S
    }

    #[test]
    fn one_metric_that_stops_while_others_go_on_informs_until_it_is_back() {
        let pauses = |s| !(2 * HOUR_S..3 * HOUR_S).contains(&s);
        let metrics: [Metric<'_>; 3] = [
            ("requests_in_progress", "cart-1", &always),
            ("queue_items", "cart-1", &pauses),
            ("memory_bytes", "cart-1", &always),
        ];
        let shop = Shop::watched(3 * HOUR_S - 60, &metrics);
        let text = "queue items stopped at 13:59, while other metrics of cart go on";
        assert_eq!(shop.told(), [(text, false)]);
        let cart = shop.cart().unwrap();
        assert_eq!(shop.engine.entities.health(cart), Health::Odd);
        let explain = shop.absences()[0].explain.clone().unwrap();
        assert_eq!(&*explain.unusual, "it came every 15 s for 2 h");
        let shop = Shop::watched(3 * HOUR_S + 60, &metrics);
        assert_eq!(shop.absences(), [], "it is back");
    }

    #[test]
    fn metrics_that_stop_together_are_one_finding_and_hours_of_it_are_normal() {
        let two = until(2);
        let metrics: [Metric<'_>; 4] = [
            ("requests_in_progress", "cart-1", &always),
            ("queue_items", "cart-1", &two),
            ("queue_oldest_seconds", "cart-1", &two),
            ("queue_bytes", "cart-1", &two),
        ];
        let shop = Shop::watched(7 * HOUR_S, &metrics);
        let (last, pages) = *shop.told().last().unwrap();
        let text =
            "queue items and 2 more metrics stopped at 13:59, while other metrics of cart go on";
        assert_eq!((last, pages), (text, false));
        assert_eq!(shop.absences().len(), 1);
        let shop = Shop::watched(9 * HOUR_S, &metrics);
        assert_eq!(shop.absences(), []);
    }

    #[test]
    fn of_several_that_stopped_only_those_still_missed_are_told() {
        let pauses = |s| !(2 * HOUR_S..3 * HOUR_S).contains(&s);
        let two = until(2);
        let metrics: [Metric<'_>; 3] = [
            ("requests_in_progress", "cart-1", &always),
            ("queue_bytes", "cart-1", &pauses),
            ("queue_items", "cart-1", &two),
        ];
        let shop = Shop::watched(3 * HOUR_S + 300, &metrics);
        let both = "queue and another metric stopped at 13:59, while other metrics of cart go on";
        let rest = "queue items stopped at 13:59, while other metrics of cart go on";
        let told: Vec<&str> = shop.told().iter().map(|(text, _)| *text).collect();
        assert_eq!(told[told.len() - 2..], [both, rest]);
        let [finding] = &shop.absences()[..] else {
            panic!("one finding: {:?}", shop.absences());
        };
        assert_eq!(&*finding.subject, "queue_items");
    }

    #[test]
    fn the_only_metric_of_an_entity_is_its_heartbeat() {
        let two = until(2);
        let shop = Shop::watched(3 * HOUR_S, &[("beats", "cart-1", &two)]);
        let told = [
            (
                "cart reports nothing since 13:59: we are blind on it",
                false,
            ),
            (
                "cart reports nothing since 13:59, and nothing says that it is alive",
                true,
            ),
        ];
        assert_eq!(shop.told(), told);
        // Known for a few minutes alone, it may be of a kind that comes and goes.
        let minutes = |s| s < 900;
        let shop = Shop::watched(HOUR_S, &[("beats", "cart-1", &minutes)]);
        assert_eq!(shop.told(), []);
    }

    #[test]
    fn what_comes_and_goes_is_told_once_at_most() {
        // Ten minutes in forty, and of another one at a time now and then.
        let job = |s| s % 2_400 < 600;
        let seldom = |s| s / STEP_S * 7_919 % 11 == 0;
        let metrics: [Metric<'_>; 3] = [
            ("requests_in_progress", "cart-1", &always),
            ("job_rows", "cart-1", &job),
            ("retries", "cart-1", &seldom),
        ];
        assert_eq!(Shop::watched(12 * HOUR_S, &metrics).told(), []);
        // Hours at a time: its first pause is news.
        let shift = |s| s % (8 * HOUR_S) < 5 * HOUR_S;
        let metrics: [Metric<'_>; 2] = [
            ("requests_in_progress", "cart-1", &always),
            ("shift_rows", "cart-1", &shift),
        ];
        assert_eq!(Shop::watched(40 * HOUR_S, &metrics).told().len(), 1);
    }

    #[test]
    fn what_goes_with_all_that_its_labels_name_was_replaced() {
        let (before, after) = (until(2), |s| s >= 2 * HOUR_S);
        let metrics: [Metric<'_>; 4] = [
            ("requests_in_progress", "cart-1", &before),
            ("memory_bytes", "cart-1", &before),
            ("requests_in_progress", "cart-2", &after),
            ("memory_bytes", "cart-2", &after),
        ];
        assert_eq!(Shop::watched(4 * HOUR_S, &metrics).told(), []);
    }
}

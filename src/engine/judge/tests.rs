//! A fault that lasts, a new level, and what each week brings.

use std::sync::Arc;

use super::*;
use crate::config::EngineConfig;
use crate::engine::detect::{Stretch, Turn};
use crate::engine::dice::Dice;
use crate::model::{
    Batch, Command, Input, Labels, Phase, Role, Sample, Series, SeriesKind, Signal, SourceId,
    Stamped,
};

/// A Tuesday, 12:00.
const START_S: i64 = 1_767_700_800;
/// Seconds between samples.
const STEP_S: i64 = 30;

/// A service with one latency, and the engine that watches it.
struct Bench {
    engine: Engine,
    now: Time,
    dice: Dice,
}

impl Bench {
    /// Has watched the service for so many hours.
    fn after_hours(hours: i64) -> Self {
        let engine = Engine::new(EngineConfig::default(), Vec::new());
        let now = Time::from_secs(START_S - hours * 3_600);
        let mut bench = Self {
            engine,
            now,
            dice: Dice(7),
        };
        bench.minutes(hours * 60, 0.2);
        bench
    }

    /// So many minutes of a mean latency.
    fn minutes(&mut self, minutes: i64, mean: f64) {
        for _ in 0..minutes * 60 / STEP_S {
            let noise = self.dice.unit() - 0.5;
            let labels = Labels::from_pairs([("service", "cart")]).unwrap();
            let name = "request_duration_p99_seconds";
            let series = Series::new(name, labels, SeriesKind::Gauge, Unit::Seconds);
            let sample = Sample {
                series: Arc::new(series),
                at: self.now,
                value: mean * (1.0 + 0.2 * noise),
            };
            let signals = vec![Signal::Sample(sample)];
            let source = SourceId::new("test");
            self.step(Input::Signals(Batch { source, signals }));
            self.step(Input::Tick);
            self.now = self.now.plus_ms(STEP_S * 1_000);
        }
    }

    fn step(&mut self, input: Input) {
        let at = self.now;
        self.engine
            .step(&Stamped { seq: 1, at, input }, &mut Vec::new());
    }

    /// The only incident: its phase, its open findings, and whether its timeline says `text`.
    fn incident(&self, text: &str) -> (Phase, u32, bool) {
        let mut rows = self.engine.incident_rows();
        let row = rows.next().expect("there is an incident");
        assert_eq!(rows.next().map(|row| row.id), None, "there is only one");
        let incident = self.engine.incident(row.id).unwrap();
        let says = incident
            .timeline
            .iter()
            .any(|line| line.text.contains(text));
        (incident.phase, incident.impact.findings_open, says)
    }

    fn why(&self) -> crate::model::Why {
        match self.engine.why("request_duration_p99_seconds", None) {
            crate::model::WhyAnswer::One(why) => *why,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_fault_that_lasts_stays_a_fault_and_teaches_nothing() {
    let mut bench = Bench::after_hours(30);
    let before = bench.why().expected;
    bench.minutes(4 * 60, 1.0);
    assert_eq!(bench.incident("back to normal"), (Phase::Open, 1, false));
    let why = bench.why();
    assert!(why.evidence >= why.needed, "{why:?}");
    let held = "what was normal before it became odd judges until 18:0";
    assert!(
        why.because.iter().any(|text| text.starts_with(held)),
        "{why:?}"
    );
    // What was expected is what was expected before, to the last point drawn.
    assert!(
        (why.expected.high / before.high - 1.0).abs() < 0.1,
        "{why:?}"
    );
    // Back where it was it is over within minutes, and the old normal is nothing odd.
    bench.minutes(14, 0.2);
    let (phase, open, told) = bench.incident("back to normal");
    assert_eq!((open, told), (0, true), "{phase:?}");
    bench.minutes(60, 0.2);
    assert_eq!(bench.engine.findings.open_count(), 0);
    let after = bench.why().expected;
    assert!((after.high / before.high - 1.0).abs() < 0.2, "{after:?}");
}

#[test]
fn a_level_that_lasts_for_hours_is_the_new_normal_and_no_recovery() {
    let mut bench = Bench::after_hours(30);
    bench.minutes(6 * 60 + 5, 1.0);
    let (phase, open, told) = bench.incident("new normal accepted after 6");
    assert_eq!((phase, open, told), (Phase::Mitigated, 0, true));
    assert!(!bench.incident("back to normal").2);
    assert!(bench.incident("accepted as the new normal").2);
    bench.minutes(60, 1.0);
    assert_eq!(bench.engine.findings.open_count(), 0, "{:?}", bench.why());
    let now = bench.why().expected;
    assert!(now.low > 0.5 && now.low < 1.0 && now.high > 1.0, "{now:?}");
}

#[test]
fn a_person_says_that_it_is_normal_now() {
    let mut bench = Bench::after_hours(30);
    bench.minutes(20, 1.0);
    let finding = bench.engine.findings.last_id();
    let by = Actor {
        name: "mia".to_owned(),
        role: Role::Responder,
    };
    let what = Command::Accept { finding };
    bench.step(Input::Command {
        by: by.clone(),
        what,
    });
    bench.minutes(2, 1.0);
    let told = "new normal accepted by mia: request duration p99 ";
    assert_eq!(bench.incident(told), (Phase::Mitigated, 0, true));
    let refused = |id| {
        bench
            .engine
            .may_accept(id)
            .map_err(|refusal| refusal.to_string())
    };
    assert_eq!(
        refused(finding),
        Err("finding 1 is over: there is nothing left to get used to".to_owned())
    );
    assert_eq!(
        refused(FindingId(9)),
        Err("there is no finding 9".to_owned())
    );
    bench.minutes(3 * 60, 1.0);
    assert_eq!(bench.engine.findings.open_count(), 0, "{:?}", bench.why());
    // A fault at the new level is a fault.
    bench.minutes(20, 5.0);
    assert_eq!(bench.engine.findings.open_count(), 1);
}

#[test]
fn a_young_baseline_claims_no_more_time_than_it_has_learned() {
    let mut bench = Bench::after_hours(4);
    bench.minutes(3 * 60 + 50, 1.0);
    assert_eq!(bench.engine.findings.open_count(), 1);
    bench.minutes(60, 1.0);
    assert_eq!(bench.engine.findings.open_count(), 0);
}

#[test]
fn what_is_held_is_small_and_only_there_while_it_is_needed() {
    // As the docs say: about half a KiB.
    assert!(size_of::<Hold>() <= 576, "{}", size_of::<Hold>());
    assert!(size_of::<Judge>() <= 1_600, "{}", size_of::<Judge>());
    // As the docs say of all that is kept of a series beside its history.
    assert!(
        size_of::<SeriesRow>() <= 1_536,
        "{}",
        size_of::<SeriesRow>()
    );
    let mut bench = Bench::after_hours(4);
    let held = |bench: &Bench| {
        let judge = &bench.engine.intake.row(SeriesIx(0)).judge;
        judge.hold.is_some()
    };
    assert!(!held(&bench));
    bench.minutes(10, 1.0);
    assert!(held(&bench));
    bench.minutes(15, 0.2);
    assert!(!held(&bench));
}

/// In three weeks an hour of backup makes what is else calm three times as slow, which is further off than deviations are
/// told apart; what lifts it in the fourth, in the first and the second half of the hour. Whether it was odd then, and whether
/// that spoke, in each of these weeks.
fn weeks_of_backup(fourth: [f64; 2]) -> [(bool, bool); 4] {
    const MINUTE_S: i64 = 60;
    const DAY_S: i64 = 86_400;
    let (mut judge, mut dice) = (Judge::default(), Dice(7));
    let mut weeks = [(false, false); 4];
    for s in (0..23 * DAY_S).step_by(MINUTE_S as usize) {
        let (week, of_hour) = (s / (7 * DAY_S), s % (7 * DAY_S) - DAY_S);
        let lift = match of_hour {
            0..3_600 if week < 3 => 3.0,
            0..1_800 => fourth[0],
            1_800..3_600 => fourth[1],
            _ => 1.0,
        };
        let value = 0.2 * lift * (1.0 + 0.02 * (dice.unit() - 0.5));
        let at = Time::from_secs(START_S + s);
        judge.observe(MetricRole::Latency, at, value);
        if (0..3_600).contains(&of_hour) {
            let (is_odd, speaks) = &mut weeks[week as usize];
            *is_odd |= judge.is_odd();
            *speaks |= judge.voice.is_some();
        }
    }
    weeks
}

#[test]
fn what_each_week_brings_hides_no_outage_at_its_hour() {
    let told = [(true, true); 3];
    for (fourth, is_told) in [
        ([3.0, 3.0], false),
        ([1_000.0, 1_000.0], true),
        ([3.0, 1_000.0], true),
    ] {
        let weeks = weeks_of_backup(fourth);
        assert_eq!(weeks[..3], told);
        assert_eq!(weeks[3], (true, is_told), "{fourth:?}");
    }
}

#[test]
fn what_is_not_told_because_each_week_brings_it_is_counted() {
    let mut odd = Odd::default();
    let entity = EntityIx(0);
    let count = |odd: &Odd| {
        let row = odd.expected().row();
        (row.total, row.now, row.told_late)
    };
    for series in [SeriesIx(0), SeriesIx(1)] {
        odd.expected.note(series, true);
        odd.expected.note(series, true);
    }
    odd.expected.note(SeriesIx(2), false);
    assert_eq!(count(&odd), (2, Some(2), Some(0)));
    odd.expected.note(SeriesIx(0), false);
    odd.remove(entity, SeriesIx(1));
    assert_eq!(count(&odd), (2, Some(0), Some(1)));
    let engine = Engine::new(EngineConfig::default(), Vec::new());
    let stages = engine.stages();
    assert!(stages.iter().any(|row| &*row.name == "each week"));
}

/// A label that calls it noise keeps the finding of a level back, and not what was told before of how it behaves.
#[test]
fn how_a_level_behaves_is_accepted_with_it_though_the_level_is_not_told() {
    let mut bench = Bench::after_hours(4);
    let (series, at) = (SeriesIx(0), bench.now);
    let row = bench.engine.intake.row_mut(series);
    let seen = row.judge.observe(MetricRole::Latency, at, 0.2);
    let (verdict, _) = seen.expect("it is later than the last");
    let stretch = Stretch {
        check: Check::SpreadChange,
        title: "spread",
        since: at,
        samples: 60,
        score: 2.0,
    };
    bench
        .engine
        .note_turn(series, Turn::Open(stretch), &verdict, at);
    let is_told = |bench: &Bench, key| bench.engine.findings.of_key(key).is_some();
    assert!(is_told(&bench, Key::Sustained(series)));
    assert!(!is_told(&bench, Key::Series(series)));
    bench.engine.tell_accepted(series, at, None);
    assert!(!is_told(&bench, Key::Sustained(series)));
}

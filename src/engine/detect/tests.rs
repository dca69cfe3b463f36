//! Tables of synthetic series: what must be noticed, what must not, and what must be refused.

use super::*;
use crate::engine::dice::Dice;
use proptest::prelude::*;

const MINUTE_MS: i64 = 60_000;
/// A Monday.
const START_MS: i64 = 1_767_571_200_000;

fn minute(i: usize) -> Time {
    Time::from_ms(START_MS + i as i64 * MINUTE_MS)
}

fn season(i: usize) -> f64 {
    100.0 + 50.0 * (i as f64 / 1_440.0 * std::f64::consts::TAU).sin()
}

/// Verdicts on a series of minutes from sample `from` on; `None` is a missing sample.
fn watch(n: usize, from: usize, mut value: impl FnMut(usize) -> Option<f64>) -> Vec<Verdict> {
    let mut detector = SeriesDetector::new();
    let mut verdicts = Vec::new();
    for i in 0..n {
        if let Some(value) = value(i) {
            let verdict = detector.observe(minute(i), value).unwrap();
            if i >= from {
                verdicts.push(verdict);
            }
        }
    }
    verdicts
}

fn peak(verdicts: &[Verdict]) -> f32 {
    verdicts.iter().map(|v| v.evidence).fold(0.0, f32::max)
}

#[test]
fn notices_what_is_odd() {
    const N: usize = 3 * 1_440;
    type Fault = fn(usize, f64) -> f64;
    let cases: [(&str, Fault, usize); 4] = [
        ("level shift up", |_, v| v + 60.0, 5),
        ("level shift down", |_, v| v - 60.0, 5),
        ("flap", |i, v| if i % 3 == 0 { v } else { v * 3.0 }, 6),
        ("drift", |i, v| v + i as f64, 60),
    ];
    for (name, fault, within) in cases {
        let mut dice = Dice(7);
        let verdicts = watch(N + within, N, |i| {
            let value = season(i) + 3.0 * dice.normal();
            Some(if i < N { value } else { fault(i - N, value) })
        });
        assert!(
            peak(&verdicts) >= OPEN_EVIDENCE,
            "{name}: {}",
            peak(&verdicts)
        );
    }
}

#[test]
fn stays_quiet_about_what_is_usual() {
    type Usual = fn(usize, &mut Dice) -> f64;
    let cases: [(&str, Usual); 6] = [
        ("noise", |_, d| 10.0 + d.normal()),
        ("season", |i, d| season(i) + 3.0 * d.normal()),
        ("constant", |_, _| 42.0),
        ("zero with rare single counts", |_, d| {
            f64::from(u8::from(d.unit() < 0.02))
        }),
        ("heavy tail", |_, d| 5.0 * d.unit().max(1e-3).powf(-0.3)),
        ("slow trend", |i, d| i as f64 * 0.01 + d.normal()),
    ];
    for (name, usual) in cases {
        let mut dice = Dice(11);
        let verdicts = watch(5 * 1_440, 1_440, |i| Some(usual(i, &mut dice)));
        let open = verdicts
            .iter()
            .filter(|v| v.evidence >= joint::PAGE_SCORE)
            .count();
        assert_eq!(open, 0, "{name}: {}", peak(&verdicts));
    }
}

#[test]
fn a_lone_spike_surprises_but_is_no_excursion() {
    const N: usize = 1_440;
    let mut dice = Dice(3);
    let verdicts = watch(N + 30, N, |i| {
        Some(if i == N { 90.0 } else { 10.0 + dice.normal() })
    });
    assert!(verdicts[0].surprise > 4.0, "{}", verdicts[0].surprise);
    assert_eq!(verdicts[0].direction, Direction::Up);
    assert_eq!(verdicts[0].check(), Check::Spike);
    assert!(peak(&verdicts) < OPEN_EVIDENCE, "{}", peak(&verdicts));
}

#[test]
fn the_season_is_found_and_its_hours_respected() {
    let mut dice = Dice(5);
    let mut detector = SeriesDetector::new();
    for i in 0..4 * 1_440 {
        detector
            .observe(minute(i), season(i) + dice.normal())
            .unwrap();
    }
    assert!(detector.is_seasonal());
    let at = |hour: usize| detector.band(minute(4 * 1_440 + 60 * hour));
    let (morning, evening) = (at(6), at(18));
    assert!(morning.low < 150.0 && 150.0 < morning.high, "{morning:?}");
    assert!(evening.low < 50.0 && 50.0 < evening.high, "{evening:?}");
    assert!(morning.low > evening.high, "{morning:?} {evening:?}");
}

#[test]
fn maturity_is_explicit() {
    let mut detector = SeriesDetector::new();
    let mut seen = vec![detector.maturity()];
    for i in 0..400 {
        let verdict = detector.observe(minute(i), (i % 7) as f64).unwrap();
        if i < 20 {
            assert_eq!((verdict.score, verdict.evidence), (0.0, 0.0));
        }
        if seen.last() != Some(&verdict.maturity) {
            seen.push(verdict.maturity);
        }
    }
    assert_eq!(
        seen,
        [Maturity::Warming, Maturity::Learning, Maturity::Mature]
    );
}

#[test]
fn a_flat_line_is_named_only_where_values_used_to_move() {
    let mut dice = Dice(9);
    let stuck = watch(1_000, 600, |i| {
        Some(if i < 600 { dice.normal() } else { 0.5 })
    });
    let named = |v: &Verdict| v.agreed().any(|row| row.check == Check::FlatLine);
    assert!(stuck.last().is_some_and(named));
    let constant = watch(1_000, 600, |_| Some(0.5));
    assert!(!constant.iter().any(named));
}

#[test]
fn gaps_and_a_new_pace_are_no_fault() {
    let mut dice = Dice(13);
    let gappy = watch(4_000, 300, |i| (i % 500 > 60).then(|| 10.0 + dice.normal()));
    assert!(peak(&gappy) < OPEN_EVIDENCE, "{}", peak(&gappy));

    let mut detector = SeriesDetector::new();
    let mut highest = 0.0_f32;
    for i in 0..2_000 {
        detector
            .observe(minute(i), 100.0 + 3.0 * dice.normal())
            .unwrap();
    }
    for i in 0..2_000 {
        // Twelve times as many samples a minute, each with more noise.
        let at = minute(2_000).plus_ms(i * 5_000);
        let verdict = detector.observe(at, 100.0 + 9.0 * dice.normal()).unwrap();
        highest = highest.max(verdict.evidence);
    }
    assert!(highest < joint::PAGE_SCORE, "{highest}");
}

#[test]
fn silence_is_known_before_it_is_long() {
    let mut detector = SeriesDetector::new();
    assert_eq!(detector.silent_from(), None);
    for i in 0..100 {
        detector.observe(minute(i), 1.0).unwrap();
    }
    assert_eq!(detector.silent_from(), Some(minute(99 + 5)));
}

#[test]
fn refuses_what_is_no_sample_and_learns_nothing_from_it() {
    let mut detector = SeriesDetector::new();
    detector.observe(minute(1), 1.0).unwrap();
    let before = detector.clone();
    let cases = [
        (minute(2), f64::NAN, Refused::NotFinite),
        (minute(2), f64::INFINITY, Refused::NotFinite),
        (minute(2), f64::NEG_INFINITY, Refused::NotFinite),
        (minute(1), 2.0, Refused::NotLater),
        (minute(0), 2.0, Refused::NotLater),
    ];
    for (at, value, refused) in cases {
        assert_eq!(detector.observe(at, value), Err(refused));
    }
    assert_eq!(detector, before);
}

#[test]
fn an_excursion_opens_worsens_and_closes_once() {
    const N: usize = 1_440;
    let mut dice = Dice(17);
    let mut detector = SeriesDetector::new();
    let mut excursion = Excursion::default();
    let mut story = Vec::new();
    for i in 0..N + 120 {
        let off = if (N..N + 30).contains(&i) { 20.0 } else { 0.0 };
        let verdict = detector
            .observe(minute(i), 10.0 + off + dice.normal())
            .unwrap();
        let transition = excursion.next(minute(i), &verdict);
        if transition == Transition::Opened {
            assert_eq!(excursion.peak().map(|p| p.since), Some(minute(N)));
        }
        if matches!(transition, Transition::Opened | Transition::Closed) {
            story.push((transition, i));
        }
    }
    assert_eq!(story.len(), 2, "{story:?}");
    assert!(
        story[0].0 == Transition::Opened && story[0].1 <= N + 2,
        "{story:?}"
    );
    assert!(
        story[1].0 == Transition::Closed && story[1].1 >= N + 30,
        "{story:?}"
    );
    assert_eq!(excursion.peak(), None);
}

#[test]
fn state_fits_its_budget_and_survives_a_checkpoint() {
    assert!(size_of::<SeriesDetector>() + size_of::<Excursion>() <= 1_536);
    let mut dice = Dice(19);
    let mut live = SeriesDetector::new();
    for i in 0..500 {
        live.observe(minute(i), dice.normal()).unwrap();
    }
    let text = serde_json::to_string(&live).unwrap();
    let mut restored: SeriesDetector = serde_json::from_str(&text).unwrap();
    for i in 500..600 {
        let value = dice.normal();
        assert_eq!(
            live.observe(minute(i), value),
            restored.observe(minute(i), value)
        );
    }
}

#[test]
fn weekends_are_a_season_of_their_own() {
    let mut dice = Dice(23);
    let verdicts = watch(28 * 288, 21 * 288, |i| {
        let at = i * 5;
        let day = at / 1_440 % 7;
        let share = if day >= 5 { 0.4 } else { 1.0 };
        Some(share * season(at) + 2.0 * dice.normal())
    });
    assert!(peak(&verdicts) < joint::PAGE_SCORE, "{}", peak(&verdicts));
}

#[test]
fn the_docs_list_the_checks_as_they_are() {
    let docs = include_str!("../../../docs/detection.md");
    for row in &CHECKS {
        let line = format!("| {} | {} | {:?} |", row.title, row.measures, row.weight);
        assert!(docs.contains(&line), "docs/detection.md lacks {line}");
    }
}

proptest! {
    #[test]
    fn nothing_panics_or_breaks_the_state(
        samples in prop::collection::vec((any::<i64>(), any::<f64>(), any::<bool>()), 1..300)
    ) {
        let mut detector = SeriesDetector::new();
        let mut twin = SeriesDetector::new();
        for (i, &(at, value, orderly)) in samples.iter().enumerate() {
            let at = if orderly { minute(i) } else { Time::from_ms(at) };
            let verdict = detector.observe(at, value);
            prop_assert_eq!(verdict.is_ok(), twin.observe(at, value).is_ok());
            if let Ok(v) = verdict {
                let numbers = [v.score, v.alarm, v.surprise, v.evidence, v.deviation];
                prop_assert!(numbers.iter().all(|n| n.is_finite()), "{:?}", v);
                prop_assert!(v.scores.iter().all(|n| n.is_finite()), "{:?}", v);
                prop_assert!(v.expected.low <= v.expected.high, "{:?}", v);
            }
        }
        prop_assert_eq!(detector, twin);
    }
}

/// What is told of a series that no single value shows, in days of minutes of which the last one is `fault`.
fn sustained(days: usize, fault: impl Fn(usize, f64) -> f64) -> Vec<(Check, bool)> {
    let (mut detector, mut sustained) = (SeriesDetector::new(), Sustained::default());
    let mut dice = Dice(11);
    let mut told = Vec::new();
    let mut lasts = false;
    let last = (days - 1) * 1_440;
    for i in 0..days * 1_440 {
        let wave = (i as f64 / 20.0 * std::f64::consts::TAU).sin();
        let usual = 100.0 + 8.0 * wave + 2.0 * dice.normal();
        let value = if i < last {
            usual
        } else {
            fault(i - last, usual)
        };
        let verdict = detector.observe(minute(i), value).unwrap();
        let turn = sustained.next(minute(i), &verdict);
        if let Turn::Open(stretch) = turn
            && !lasts
        {
            told.push((stretch.check, i >= last));
        }
        lasts = matches!(turn, Turn::Open(_)) || (lasts && turn == Turn::Quiet);
    }
    told
}

#[test]
fn tells_what_no_single_value_shows() {
    type Fault = fn(usize, f64) -> f64;
    let cases: [(&str, Fault, &[Check]); 6] = [
        ("nothing", |_, usual| usual, &[]),
        ("stands still", |_, _| 101.0, &[Check::FlatLine]),
        (
            "up and down",
            |i, _| if i % 2 == 0 { 103.0 } else { 97.0 },
            &[Check::SpreadChange],
        ),
        (
            "hardly varies",
            |_, usual| 100.0 + 0.2 * (usual - 100.0),
            &[Check::SpreadChange],
        ),
        (
            "creeps up",
            |i, usual| usual + 10.0 * (i as f64 / 1_440.0),
            &[Check::Drift],
        ),
        // An excursion tells it, and nothing else must.
        ("jumps", |_, usual| usual + 60.0, &[]),
    ];
    for (name, fault, expected) in cases {
        let told = sustained(4, fault);
        assert!(told.iter().all(|(_, during)| *during), "{name}");
        let checks: Vec<Check> = told.into_iter().map(|(check, _)| check).collect();
        assert_eq!(checks, expected, "{name}");
    }
}

/// When it is told, in samples, of what a series of three days of minutes does then for five hours, and for how many of
/// them that is told.
fn told_of(seed: u64, check: Check, fault: impl Fn(usize, f64) -> f64) -> Option<(usize, usize)> {
    let (mut detector, mut sustained) = (SeriesDetector::new(), Sustained::default());
    let (mut excursion, mut hold) = (Excursion::default(), None);
    let mut dice = Dice(seed);
    let (days, hours) = (3 * 1_440, 5 * 60);
    let (mut first, mut told, mut is_open) = (None, 0, false);
    for i in 0..days + hours {
        let usual = dice.normal();
        let value = if i < days {
            usual
        } else {
            fault(i - days, usual)
        };
        let learning = detector.observe(minute(i), 50.0 + value).unwrap();
        let verdict = match &mut hold {
            Some(hold) => Hold::judge(hold, minute(i), &learning),
            None => learning,
        };
        match excursion.next(minute(i), &verdict) {
            Transition::Opened => hold = Some(detector.hold(minute(i))),
            Transition::Closed => detector.recover(hold.take().unwrap()),
            _ => {}
        }
        match sustained.next(minute(i), &verdict) {
            Turn::Open(stretch) if stretch.check == check => is_open = true,
            Turn::Open(_) | Turn::Over | Turn::Accepted => is_open = false,
            Turn::Quiet => {}
        }
        assert!(i >= days || !is_open, "seed {seed}, sample {i}");
        if is_open {
            first = first.or(Some(i - days));
            told += 1;
        }
    }
    Some((first?, told))
}

#[test]
fn what_lasts_does_not_teach_the_check_that_tells_of_it() {
    for seed in 1..=10 {
        let rougher = told_of(seed, Check::SpreadChange, |_, usual| 3.0 * usual);
        let (first, lasted) = rougher.expect("it is told");
        assert!(
            first <= 150 && lasted >= 120,
            "seed {seed}: {first} {lasted}"
        );
        let smoother = told_of(seed, Check::SpreadChange, |_, usual| 0.2 * usual);
        let (first, lasted) = smoother.expect("it is told");
        assert!(
            first <= 90 && lasted >= 200,
            "seed {seed}: {first} {lasted}"
        );
    }
}

#[test]
fn a_slow_drift_is_told_by_the_drift_or_by_the_level() {
    let half_a_scale_an_hour = |i: usize, usual: f64| usual + 0.5 * i as f64 / 60.0;
    let told = (1..=20).filter(|seed| told_of(*seed, Check::Drift, half_a_scale_an_hour).is_some());
    assert!(told.count() >= 15, "few are told by their level before");
}

#[test]
fn what_lasts_is_told_once_and_ends() {
    let (mut detector, mut sustained) = (SeriesDetector::new(), Sustained::default());
    let mut dice = Dice(11);
    let mut turns: Vec<(usize, Option<Check>)> = Vec::new();
    let mut step = |i: usize, still: bool| {
        let value = if still {
            100.0
        } else {
            100.0 + 2.0 * dice.normal()
        };
        let verdict = detector.observe(minute(i), value).unwrap();
        match sustained.next(minute(i), &verdict) {
            Turn::Quiet => {}
            Turn::Open(_) if turns.last().is_some_and(|(_, told)| told.is_some()) => {}
            Turn::Open(stretch) => turns.push((i, Some(stretch.check))),
            Turn::Over | Turn::Accepted => turns.push((i, None)),
        }
    };
    // Hours of it are normal from then on, and its end is no news.
    for i in 0..3_000 {
        step(i, (1_000..1_800).contains(&i));
    }
    let told: Vec<Option<Check>> = turns.iter().map(|(_, check)| *check).collect();
    assert_eq!(told, [Some(Check::FlatLine), None]);
    let hold = (HOLD_MS_MAX / MINUTE_MS) as usize;
    assert!(
        turns[1].0 < 1_800 && turns[1].0 - turns[0].0 <= hold,
        "{turns:?}"
    );
}

//! Tests of distributions: what is spread otherwise is told, what moves as it does is not.

use super::*;
use crate::engine::dice::Dice;

const WINDOW_MS: i64 = 10_000;

struct Bench {
    distribution: Distribution,
    at: Time,
    dice: Dice,
    /// Times it was odd, counted once each.
    told: Vec<Shift>,
}

impl Bench {
    fn new(kind: Kind) -> Self {
        Self {
            distribution: Distribution::new(kind),
            at: Time::from_secs(1_768_392_000),
            dice: Dice(7),
            told: Vec::new(),
        }
    }

    /// So many minutes with so many values in ten seconds.
    fn minutes(
        &mut self,
        minutes: i64,
        values: usize,
        mut draw: impl FnMut(&mut Dice, i64) -> f64,
    ) {
        for nth in 0..minutes * 6 {
            for _ in 0..values {
                let value = draw(&mut self.dice, nth);
                self.distribution.add(self.at, value, 1.0, 1.0);
            }
            let before = self.distribution.shift().is_some();
            self.at = self.at.plus_ms(WINDOW_MS);
            self.distribution.turn(self.at);
            let shift = self.distribution.shift();
            self.told.extend(shift.filter(|_| !before));
        }
    }
}

/// A duration of 100 ms or so.
fn ordinary(dice: &mut Dice) -> f64 {
    0.1 * (0.4 * dice.normal()).exp()
}

#[test]
fn ordinary_values_are_never_odd() {
    type Draw = fn(&mut Dice, i64) -> f64;
    let cases: [(&str, Draw); 8] = [
        ("log-normal", |dice, _| ordinary(dice)),
        ("uniform", |dice, _| dice.unit()),
        ("heavy tails", |dice, _| 0.01 * dice.unit().powf(-0.8)),
        ("two modes", |dice, _| {
            let slow = if dice.unit() < 0.3 { 10.0 } else { 1.0 };
            slow * ordinary(dice)
        }),
        ("constant", |_, _| 3.0),
        ("few", |dice, _| (3.0 * dice.unit()).floor()),
        ("a level that wanders by a fifth in minutes", |dice, nth| {
            (1.0 + 0.2 * (nth as f64 / 40.0).sin()) * ordinary(dice)
        }),
        ("the day's course", |dice, nth| {
            let day = (nth as f64 / 8_640.0 * std::f64::consts::TAU).sin();
            (0.5 * day).exp() * ordinary(dice)
        }),
    ];
    for (name, draw) in cases {
        for (values, days) in [(3, 3), (45, 1), (120, 1)] {
            let mut bench = Bench::new(Kind::Measure);
            bench.minutes(days * 1_440, values, draw);
            assert!(bench.distribution.stage == Stage::Watching, "{name}");
            assert_eq!(bench.told, [], "{name}, {values} in a window");
        }
    }
}

#[test]
fn another_shape_is_odd_though_the_mean_is_the_same_and_until_it_is_over() {
    for values in [12, 60, 200] {
        let mut bench = Bench::new(Kind::Measure);
        bench.minutes(450, values, |dice, _| ordinary(dice));
        let began = bench.at;
        // Half of them take a third of the time, the others almost twice as long.
        let split = |dice: &mut Dice, _| {
            let mode = if dice.unit() < 0.5 { 0.3 } else { 1.7 };
            mode * 0.1 * (0.05 * dice.normal()).exp()
        };
        bench.minutes(4, values, split);
        let [shift] = bench.told[..] else {
            panic!("{values}: {:?}", bench.told);
        };
        assert!(shift.since >= began.plus_ms(-40_000), "{shift:?}");
        assert!(shift.seen > shift.usual + 0.25, "{shift:?}");
        assert!(shift.score >= EVIDENCE_MIN && shift.high < shift.seen);
        bench.minutes(200, values, split);
        assert!(bench.distribution.shift().is_some(), "it teaches nothing");
        bench.minutes(3, values.max(60), |dice, _| ordinary(dice));
        assert_eq!(bench.distribution.shift(), None, "{values}");
        assert_eq!(bench.told.len(), 1);
    }
}

#[test]
fn what_nothing_came_of_for_hours_is_over_and_does_not_speak_for_what_comes_then() {
    let slow = |dice: &mut Dice, _| 10.0 * ordinary(dice);
    let lived = || {
        let mut bench = Bench::new(Kind::Measure);
        bench.minutes(450, 60, |dice, _| ordinary(dice));
        bench
    };
    let window = |bench: &mut Bench| {
        for _ in 0..60 {
            let value = slow(&mut bench.dice, 0);
            bench.distribution.add(bench.at, value, 1.0, 1.0);
        }
        bench.at = bench.at.plus_ms(WINDOW_MS);
        bench.distribution.turn(bench.at);
        bench.distribution.shift().is_some()
    };
    // One odd window, a night of nothing, and another.
    let mut bench = lived();
    assert!(!window(&mut bench));
    bench.minutes(600, 0, slow);
    let morning = bench.at;
    assert!(!window(&mut bench), "one window is not enough");
    assert!(window(&mut bench));
    assert_eq!(bench.distribution.shift().unwrap().since, morning);
    // What was told ends though nothing came that would end it, or too little.
    for left in [0, 20] {
        let mut bench = lived();
        bench.minutes(2, 60, slow);
        assert!(bench.distribution.shift().is_some());
        for _ in 0..left {
            let value = slow(&mut bench.dice, 0);
            bench.distribution.add(bench.at, value, 1.0, 1.0);
        }
        bench.minutes(150, 0, slow);
        assert!(
            bench.distribution.shift().is_some(),
            "it may be an hourly job"
        );
        bench.minutes(40, 0, slow);
        assert_eq!(bench.distribution.shift(), None, "{left} values left");
    }
}

#[test]
fn values_that_move_far_every_day_must_move_further_to_be_told() {
    let mut bench = Bench::new(Kind::Measure);
    let mut level = 0.0;
    // A level that wanders by a quarter, in minutes.
    let mut wandering = |dice: &mut Dice, _| {
        level = 0.999 * level + 0.011 * dice.normal();
        ordinary(dice) * level.exp()
    };
    bench.minutes(3 * 1_440, 50, &mut wandering);
    assert!(
        bench.distribution.known > 0.25 && bench.told.len() <= 2,
        "{:?}",
        bench.told
    );
    bench.told.clear();
    bench.minutes(10, 50, |dice, _| 20.0 * wandering(dice, 0));
    assert_eq!(bench.told.len(), 1, "{}", bench.distribution.known);
}

#[test]
fn the_range_told_is_where_the_values_are_now() {
    let mut bench = Bench::new(Kind::Measure);
    bench.minutes(450, 60, |dice, _| ordinary(dice));
    bench.minutes(2, 60, |dice, _| {
        let slow = if dice.unit() < 0.5 { 10.0 } else { 1.0 };
        slow * ordinary(dice)
    });
    let shift = bench.told[0];
    assert_eq!(shift.up_to, None, "{shift:?}");
    let above = shift.above.unwrap();
    assert!((0.15..0.5).contains(&above), "{shift:?}");
    assert!((0.35..0.65).contains(&shift.seen) && shift.usual < 0.1);
}

#[test]
fn numbers_that_are_names_or_count_up_say_nothing() {
    type Draw = fn(&mut Dice, i64) -> f64;
    let cases: [(&str, Draw, bool); 5] = [
        ("a port", |_, _| 5_432.0, false),
        (
            "processes",
            |dice, _| 1_017.0 + (3.0 * dice.unit()).floor(),
            false,
        ),
        ("a sequence", |_, nth| 17.0 + nth as f64, false),
        ("a status", |_, _| 200.0, true),
        ("rows", |dice, _| (90.0 * dice.unit()).floor(), true),
    ];
    for (name, draw, suited) in cases {
        let mut bench = Bench::new(Kind::Number);
        bench.minutes(24 * 60, 1, draw);
        assert_eq!(bench.distribution.is_suited(), suited, "{name}");
        assert_eq!(bench.told, [], "{name}");
    }
}

#[test]
fn one_name_among_many_that_takes_over_is_odd() {
    let mut bench = Bench::new(Kind::Name);
    bench.minutes(24 * 60, 20, |dice, _| dice.unit());
    assert_eq!(bench.told, []);
    bench.minutes(
        3,
        20,
        |dice, _| if dice.unit() < 0.6 { 0.3 } else { dice.unit() },
    );
    let [shift] = bench.told[..] else {
        panic!("{:?}", bench.told);
    };
    assert!(
        (0.5..0.8).contains(&shift.seen) && shift.usual < 0.2,
        "{shift:?}"
    );
    let mut few = Bench::new(Kind::Name);
    few.minutes(60, 20, |dice, _| (3.0 * dice.unit()).floor() / 3.0);
    assert!(!few.distribution.is_suited());
}

#[test]
fn unequal_weights_change_neither_shares_nor_certainty() {
    // All that are slow are kept and one in twenty of the others: the shares are those of all.
    let mut bench = Bench::new(Kind::Measure);
    bench.minutes(180, 200, |dice, _| {
        let slow = if dice.unit() < 0.05 { 10.0 } else { 1.0 };
        slow * ordinary(dice)
    });
    for _ in 0..60 {
        for _ in 0..200 {
            let is_slow = bench.dice.unit() < 0.05;
            let is_kept = is_slow || bench.dice.unit() < 0.05;
            let (slow, weight) = if is_slow { (10.0, 1.0) } else { (1.0, 20.0) };
            let value = slow * ordinary(&mut bench.dice);
            if is_kept {
                bench.distribution.add(bench.at, value, 1.0, weight);
            }
        }
        bench.at = bench.at.plus_ms(WINDOW_MS);
        bench.distribution.turn(bench.at);
        assert_eq!(bench.distribution.shift(), None);
    }
}

#[test]
fn room_is_bounded() {
    let mut bench = Bench::new(Kind::Measure);
    for _ in 0..100_000 {
        bench.distribution.add(bench.at, 1.0, 7.0, 1.0);
    }
    let Stage::Gathering { values, .. } = &bench.distribution.stage else {
        panic!("no time has passed");
    };
    assert!(values.len() < 2 * GATHERED);
    assert!(
        size_of::<Distribution>() <= 320,
        "{}",
        size_of::<Distribution>()
    );
}

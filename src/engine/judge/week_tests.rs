//! Which hours are like those of working days is found by itself, in any time zone and whichever days are free.

use super::*;
use crate::engine::dice::Dice;

/// A Monday, 00:00 UTC.
const START_S: i64 = 1_767_571_200;
const STEP_S: i64 = 60;
const HOUR_S: i64 = 3_600;
const DAY_S: i64 = 24 * HOUR_S;
const WEEK_S: i64 = 7 * DAY_S;

/// A resource over the day, on average 100 on working days.
fn level(second: i64, shift_hours: i64, is_free: fn(i64) -> bool) -> f64 {
    let local = second + shift_hours * HOUR_S;
    let day = local.div_euclid(DAY_S).rem_euclid(7);
    let of_day = local.rem_euclid(DAY_S) as f64 / DAY_S as f64;
    let course = 1.0 + 0.4 * ((of_day - 1.0 / 3.0) * std::f64::consts::TAU).sin();
    let level = if is_free(day) { 60.0 } else { 100.0 };
    level * course
}

/// How often a series is told, and how often alone it pages, in each of so many weeks.
fn told(weeks: usize, noise: f64, level: impl Fn(i64) -> f64) -> (Vec<u32>, Vec<u32>) {
    let mut judge = Judge::default();
    let mut dice = Dice(7);
    let (mut told, mut paged) = (vec![0; weeks], vec![0; weeks]);
    let (mut is_told, mut is_paged) = (false, false);
    for second in (0..weeks as i64 * WEEK_S).step_by(STEP_S as usize) {
        let value = level(second) * (1.0 + noise * dice.normal());
        let at = Time::from_secs(START_S + second);
        judge.observe(MetricRole::Saturation, at, value);
        let voice = judge.voice.map(|(_, voice)| voice);
        let wakes = joint::weigh(voice.as_ref()).call == Call::Page;
        let week = (second / WEEK_S) as usize;
        told[week] += u32::from(voice.is_some() && !is_told);
        paged[week] += u32::from(wakes && !is_paged);
        is_told = voice.is_some();
        is_paged = (is_paged && is_told) || wakes;
    }
    (told, paged)
}

fn weekend(day: i64) -> bool {
    day >= 5
}

#[test]
fn a_weekend_of_utc_is_known_after_the_first() {
    for noise in [0.02, 0.1] {
        let (told, paged) = told(4, noise, |second| level(second, 0, weekend));
        assert_eq!(
            (&told[1..], &paged[1..]),
            (&[0; 3][..], &[0; 3][..]),
            "{noise}"
        );
    }
}

#[test]
fn another_weekend_is_known_after_five_weeks() {
    // Whose clocks are how many hours ahead, and which of their days are free, from Monday.
    type IsFree = fn(i64) -> bool;
    let cases: [(&str, i64, IsFree); 6] = [
        ("Los Angeles", -8, weekend),
        ("Recife", -3, weekend),
        ("Berlin", 2, weekend),
        ("Tokyo", 9, weekend),
        ("Friday and Saturday", 0, |day| day == 4 || day == 5),
        ("Sunday alone", 0, |day| day == 6),
    ];
    for (name, ahead, is_free) in cases {
        for noise in [0.02, 0.1] {
            let (told, paged) = told(9, noise, |second| level(second, ahead, is_free));
            assert_eq!(paged[5..], [0; 4], "{name}, {noise}: {paged:?}");
            assert!(
                told[5..].iter().sum::<u32>() <= 4,
                "{name}, {noise}: {told:?}"
            );
        }
    }
}

#[test]
fn a_new_level_makes_no_weekend_of_working_days() {
    for factor in [0.5, 0.6, 1.5, 2.0] {
        // From the Wednesday of the third week on.
        let moved = |second: i64| {
            if second > 2 * WEEK_S + 2 * DAY_S {
                factor
            } else {
                1.0
            }
        };
        let (told, _) = told(7, 0.05, |second| level(second, 0, weekend) * moved(second));
        assert_eq!(told[1..], [0, 1, 0, 0, 0, 0], "{factor}");
    }
}

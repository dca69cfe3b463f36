//! The Numenta Anomaly Benchmark: point scores of a streaming detector, judged by NAB's own rule.
//!
//! Follows the published scorer (Lavin and Ahmad 2015, "Evaluating real-time anomaly detection
//! algorithms"; NAB 1.1 `sweeper.py`), standard profile. The detector sees one row at a time and is
//! never told a file's range, length or labels; the only thing chosen on the data is the single
//! threshold on the score, for the whole corpus, as NAB's rule has it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use chrono::NaiveDateTime;
use serde_json::json;

use super::{EvalError, Report};
use crate::engine::detect::{ALARM_SCORE, SeriesDetector};
use crate::model::Time;

/// Share of a file in which nothing is scored.
const PROBATION_SHARE: f64 = 0.15;
/// Rows of a file beyond which the probation grows no further.
const PROBATION_ROWS_MAX: f64 = 5_000.0;
/// Weight of a missed window, standard profile.
const MISS_WEIGHT: f64 = 1.0;
/// Weight of a false alarm, standard profile.
const FALSE_ALARM_WEIGHT: f64 = 0.11;
/// Rows dropped from the start of every file, one run each: a score that depends on where a file
/// begins is luck.
const DROPPED_ROWS: [usize; 3] = [0, 7, 29];

/// One file of the corpus.
#[derive(Clone, Debug)]
struct Series {
    name: String,
    rows: Vec<(Time, f64)>,
    /// First and last row of each labelled window.
    windows: Vec<(usize, usize)>,
}

/// What one detection at a row is worth.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Worth {
    /// Within probation: nothing.
    None,
    /// In window number `window`; the best of a window counts.
    Hit { window: usize, worth: f64 },
    /// Outside of every window; each one counts.
    FalseAlarm(f64),
}

/// An alarm of the detector in one file.
#[derive(Clone, Copy, Debug)]
struct Alarm {
    score: f32,
    file: usize,
    worth: Worth,
}

/// What a threshold gives over a corpus.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Outcome {
    threshold: f32,
    /// NAB points gained over silence.
    gained: f64,
    windows: usize,
    hits: usize,
    false_alarms: usize,
}

/// Runs the suite on `dir`, laid out as NAB publishes it.
pub fn run(dir: &Path) -> Result<Report, EvalError> {
    let corpus = load(dir)?;
    let started = Instant::now();
    let runs: Vec<Vec<Vec<f32>>> = DROPPED_ROWS
        .iter()
        .map(|&drop| corpus.iter().map(|s| detect(&s.rows[drop..])).collect())
        .collect();
    let seconds = started.elapsed().as_secs_f64();
    Ok(report(&corpus, &runs, seconds))
}

/// The detector's alarms over one file, zero where it is silent.
fn detect(rows: &[(Time, f64)]) -> Vec<f32> {
    let mut detector = SeriesDetector::new();
    rows.iter()
        .map(|&(at, value)| {
            detector
                .observe(at, value)
                .map_or(0.0, |verdict| verdict.alarm)
        })
        .collect()
}

fn report(corpus: &[Series], runs: &[Vec<Vec<f32>>], seconds: f64) -> Report {
    let mut standard = Vec::new();
    let mut at_default = Vec::new();
    for (scores, &dropped) in runs.iter().zip(&DROPPED_ROWS) {
        let alarms = judge(corpus, scores, dropped);
        let windows = corpus.iter().map(|s| s.windows.len()).sum();
        standard.push(best_threshold(&alarms, windows));
        at_default.push(outcome(&alarms, windows, ALARM_SCORE));
    }
    let points: usize = corpus
        .iter()
        .map(|s| s.rows.len() - probation(s.rows.len()))
        .sum();
    let best = standard[0];
    let mean3 = standard.iter().map(Outcome::score).sum::<f64>() / standard.len() as f64;
    let found = (best.hits + best.false_alarms).max(1);
    let score = super::named([
        ("standard", best.score()),
        ("standard_mean3", mean3),
        ("standard_at_default", at_default[0].score()),
        ("precision", best.hits as f64 / found as f64),
        ("recall", best.hits as f64 / best.windows.max(1) as f64),
        (
            "false_alarms_per_1000",
            1_000.0 * best.false_alarms as f64 / points.max(1) as f64,
        ),
    ]);
    let per_case = corpus
        .iter()
        .enumerate()
        .map(|(file, series)| {
            let own: Vec<Alarm> = judge(corpus, &runs[0], 0)
                .into_iter()
                .filter(|a| a.file == file)
                .collect();
            let got = outcome(&own, series.windows.len(), best.threshold);
            json!({
                "file": series.name,
                "windows": series.windows.len(),
                "found": got.hits,
                "false_alarms": got.false_alarms,
                "points": got.points(),
            })
        })
        .collect();
    Report {
        suite: "nab",
        cases: corpus.len(),
        score,
        per_case,
        seconds,
    }
}

impl Outcome {
    /// 100 for every window found at its first row and no false alarm, 0 for silence.
    fn score(&self) -> f64 {
        100.0 * self.gained / (2.0 * MISS_WEIGHT * self.windows.max(1) as f64)
    }

    /// NAB points before normalisation: 1 a window found at once, −1 a window missed.
    fn points(&self) -> f64 {
        self.gained - MISS_WEIGHT * self.windows as f64
    }
}

/// Rows of a file of `len` rows in which nothing is scored.
fn probation(len: usize) -> usize {
    (PROBATION_SHARE * (len as f64).min(PROBATION_ROWS_MAX)).floor() as usize
}

/// NAB's sigmoid: near 1 at the start of a window (−1), 0 at its end (0), −1 far beyond.
fn scaled_sigmoid(position: f64) -> f64 {
    if position > 3.0 {
        -1.0
    } else {
        2.0 / (1.0 + (5.0 * position).exp()) - 1.0
    }
}

/// All alarms of a run with what each is worth; `dropped` rows are missing at the start.
fn judge(corpus: &[Series], scores: &[Vec<f32>], dropped: usize) -> Vec<Alarm> {
    let mut alarms = Vec::new();
    let mut window_base = 0;
    for (file, (series, scores)) in corpus.iter().zip(scores).enumerate() {
        let probation = probation(scores.len());
        for (row, &score) in scores.iter().enumerate() {
            if score > 0.0 {
                let worth = worth(&series.windows, dropped, probation, row, window_base);
                alarms.push(Alarm { score, file, worth });
            }
        }
        window_base += series.windows.len();
    }
    alarms
}

fn worth(
    windows: &[(usize, usize)],
    dropped: usize,
    probation: usize,
    row: usize,
    window_base: usize,
) -> Worth {
    if row < probation {
        return Worth::None;
    }
    let row = row + dropped;
    if let Some(i) = windows.iter().position(|&(a, b)| (a..=b).contains(&row)) {
        let (first, last) = windows[i];
        let width = (last - first + 1) as f64;
        let position = -((last - row + 1) as f64) / width;
        let worth = scaled_sigmoid(position) / scaled_sigmoid(-1.0);
        return Worth::Hit {
            window: window_base + i,
            worth,
        };
    }
    let before = windows.iter().rev().find(|&&(_, last)| last < row);
    let share = before.map_or(-1.0, |&(first, last)| {
        scaled_sigmoid((row - last) as f64 / ((last - first) as f64).max(1.0))
    });
    Worth::FalseAlarm(share * FALSE_ALARM_WEIGHT)
}

/// The threshold with the highest score; of equals the highest threshold.
fn best_threshold(alarms: &[Alarm], windows: usize) -> Outcome {
    let mut sorted = alarms.to_vec();
    sorted.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut tally = Tally::default();
    let mut best = tally.outcome(f32::INFINITY, windows);
    for (i, alarm) in sorted.iter().enumerate() {
        tally.add(alarm);
        let last_of_score = sorted
            .get(i + 1)
            .is_none_or(|next| next.score < alarm.score);
        let now = tally.outcome(alarm.score, windows);
        if last_of_score && now.gained > best.gained {
            best = now;
        }
    }
    best
}

/// What a given threshold gives.
fn outcome(alarms: &[Alarm], windows: usize, threshold: f32) -> Outcome {
    let mut tally = Tally::default();
    alarms
        .iter()
        .filter(|a| a.score >= threshold)
        .for_each(|a| tally.add(a));
    tally.outcome(threshold, windows)
}

/// Sums over the alarms counted so far.
#[derive(Clone, Debug, Default)]
struct Tally {
    hits: BTreeMap<usize, f64>,
    hit_worth: f64,
    false_worth: f64,
    false_alarms: usize,
}

impl Tally {
    fn add(&mut self, alarm: &Alarm) {
        match alarm.worth {
            Worth::None => {}
            Worth::Hit { window, worth } => {
                let held = self.hits.entry(window).or_insert(-MISS_WEIGHT);
                let gain = (worth - *held).max(0.0);
                *held += gain;
                self.hit_worth += gain;
            }
            Worth::FalseAlarm(worth) => {
                self.false_worth += worth;
                self.false_alarms += 1;
            }
        }
    }

    fn outcome(&self, threshold: f32, windows: usize) -> Outcome {
        Outcome {
            threshold,
            gained: self.hit_worth + self.false_worth,
            windows,
            hits: self.hits.len(),
            false_alarms: self.false_alarms,
        }
    }
}

fn load(dir: &Path) -> Result<Vec<Series>, EvalError> {
    let labels_path = dir.join("labels/combined_windows.json");
    let labels: BTreeMap<String, Vec<(String, String)>> =
        serde_json::from_str(&read(&labels_path)?)
            .map_err(|e| format_error(&labels_path, &e.to_string()))?;
    labels
        .into_iter()
        .map(|(name, windows)| load_series(dir, name, &windows))
        .collect()
}

fn load_series(
    dir: &Path,
    name: String,
    windows: &[(String, String)],
) -> Result<Series, EvalError> {
    let path = dir.join("data").join(&name);
    let mut rows = Vec::new();
    for (i, line) in read(&path)?.lines().enumerate().skip(1) {
        let row = line.split_once(',').and_then(|(at, value)| {
            let at = parse_time(at)?;
            Some((at, value.trim().parse::<f64>().ok()?))
        });
        rows.push(row.ok_or_else(|| {
            format_error(&path, &format!("line {}: not `timestamp,value`", i + 1))
        })?);
    }
    let find = |text: &str| {
        parse_time(text)
            .and_then(|at| rows.iter().position(|&(t, _)| t == at))
            .ok_or_else(|| format_error(&path, &format!("no row at {text}, which a label names")))
    };
    let windows = windows
        .iter()
        .map(|(first, last)| Ok((find(first)?, find(last)?)))
        .collect::<Result<Vec<_>, EvalError>>()?;
    Ok(Series {
        name,
        rows,
        windows,
    })
}

fn parse_time(text: &str) -> Option<Time> {
    NaiveDateTime::parse_from_str(text.trim(), "%Y-%m-%d %H:%M:%S%.f")
        .ok()
        .map(|at| Time::from_ms(at.and_utc().timestamp_millis()))
}

fn read(path: &Path) -> Result<String, EvalError> {
    fs::read_to_string(path).map_err(|source| EvalError::Io {
        path: path.to_owned(),
        source,
    })
}

fn format_error(path: &Path, what: &str) -> EvalError {
    EvalError::Format {
        path: PathBuf::from(path),
        what: what.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: (usize, usize) = (100, 199);

    #[test]
    fn worth_follows_the_published_scorer() {
        // Values worked out by hand from NAB's sweeper: scaled sigmoid over the place in the window.
        let cases: [(usize, f64); 5] = [
            (100, 1.0),
            (199, 0.025_337),
            (50, -0.11),
            (250, -0.094_443),
            (900, -0.11),
        ];
        for (row, expected) in cases {
            let got = match worth(&[WINDOW], 0, 15, row, 0) {
                Worth::Hit { worth, .. } | Worth::FalseAlarm(worth) => worth,
                Worth::None => 0.0,
            };
            assert!((got - expected).abs() < 1e-4, "row {row}: {got}");
        }
        assert_eq!(worth(&[WINDOW], 0, 15, 14, 0), Worth::None);
    }

    #[test]
    fn the_first_of_a_window_counts_and_every_false_alarm_does() {
        let corpus = [Series {
            name: "made up".to_owned(),
            rows: vec![(Time::ZERO, 0.0); 1_000],
            windows: vec![(300, 399), (500, 599)],
        }];
        let mut scores = vec![0.0; 1_000];
        for (row, score) in [(300, 3.0), (350, 5.0), (360, 2.0), (400, 1.0), (900, 1.0)] {
            scores[row] = score;
        }
        let alarms = judge(&corpus, &[scores], 0);
        let all = outcome(&alarms, 2, 1.0);
        assert_eq!((all.hits, all.false_alarms), (1, 2));
        let best = best_threshold(&alarms, 2);
        assert_eq!((best.threshold, best.hits, best.false_alarms), (3.0, 1, 0));
        assert!((best.score() - 50.0).abs() < 1e-9, "{}", best.score());
    }

    #[test]
    fn probation_is_a_share_of_the_file_up_to_a_limit() {
        let cases = [(0, 0), (100, 15), (4_033, 604), (5_000, 750), (20_000, 750)];
        for (rows, expected) in cases {
            assert_eq!(probation(rows), expected);
        }
    }

    #[test]
    fn a_damaged_data_set_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let message = |dir: &Path| run(dir).unwrap_err().to_string();
        assert!(message(dir.path()).contains("combined_windows.json"));
        fs::create_dir_all(dir.path().join("labels")).unwrap();
        fs::create_dir_all(dir.path().join("data")).unwrap();
        let labels = r#"{"a.csv": [["2014-01-01 00:05:00.000000", "2014-01-01 00:10:00.000000"]]}"#;
        fs::write(dir.path().join("labels/combined_windows.json"), labels).unwrap();
        fs::write(
            dir.path().join("data/a.csv"),
            "timestamp,value\n2014-01-01 00:00:00,x\n",
        )
        .unwrap();
        assert!(message(dir.path()).contains("a.csv: line 2: not `timestamp,value`"));
        fs::write(
            dir.path().join("data/a.csv"),
            "timestamp,value\n2014-01-01 00:00:00,1\n",
        )
        .unwrap();
        assert!(message(dir.path()).contains("no row at 2014-01-01 00:05:00"));
    }
}

//! `record`: a window of the flight recorder as one file.

use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::Common;
use super::output::{Failure, line, print, print_json};
use super::place::Place;
use crate::daemon::Clock;
use crate::model::{Time, counted, spelled};
use crate::store::recorder::{self, GAP_MS, RECORDER_FOLDER};

/// `stormglass record`
#[derive(Debug, Args)]
pub struct RecordArgs {
    /// First moment: RFC 3339, or so long ago: 90s, 30m, 2h, 1d
    #[arg(long, value_name = "WHEN", default_value = "1h")]
    from: When,
    /// Last moment, the same way
    #[arg(long, value_name = "WHEN", default_value = "0s")]
    to: When,
    /// The file to make; it must not exist
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Hash values of labels and names of entities wherever they are said, mask words that may identify, leave decisions
    /// out; names of labels and metrics stay
    #[arg(long)]
    redact: bool,
}

/// Gaps that are told in words; of more, how many.
const GAPS_SHOWN_MAX: usize = 5;
/// What writing itself may take, in milliseconds.
const WRITING_MS: i64 = 250;

/// A moment, as people say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// That moment.
    At(Time),
    /// So many milliseconds ago.
    Ago(i64),
}

/// What was cut.
#[derive(Debug, Serialize)]
struct Done {
    file: PathBuf,
    from: Time,
    to: Time,
    inputs: u64,
    withheld: u64,
    bytes: u64,
    redacted: bool,
    /// Parts of the window of which nothing was recorded, in order.
    gaps: Vec<Gap>,
}

/// A time of which nothing was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Gap {
    from: Time,
    to: Time,
}

pub fn run(common: &Common, args: &RecordArgs) -> Result<(), Failure> {
    let folder = Place::find(common)?.data_dir.join(RECORDER_FOLDER);
    if !folder.is_dir() {
        return Err(Failure::new(format!(
            "nothing was recorded in {}: is `recorder.enabled` off, or --data-dir another?",
            folder.display()
        )));
    }
    let now = Clock::real().now();
    let (from, to) = (args.from.at(now), args.to.at(now));
    if from > to {
        return Err(Failure::usage("--from must not be later than --to"));
    }
    await_written(to, now);
    let salt = args.redact.then(salt);
    let cut = recorder::cut(&folder, (from, to), &args.out, salt)?;
    let Some(spans) = cut.spans else {
        // A file without an input helps nobody; it was made by this very call.
        let _ = std::fs::remove_file(&args.out);
        return Err(nothing(&folder, (from, to)));
    };
    let done = Done {
        file: args.out.clone(),
        from,
        to,
        inputs: cut.inputs,
        withheld: cut.withheld,
        bytes: cut.bytes,
        redacted: args.redact,
        gaps: gaps((from, to.min(now)), spans, &cut.gaps),
    };
    if common.json {
        return print_json(&done);
    }
    let withheld = match done.withheld {
        0 => String::new(),
        withheld => {
            let left_out = counted(withheld, "decision or step", "decisions and steps");
            format!(", {left_out} left out")
        }
    };
    let mut text = format!(
        "{} from {} to {}{withheld}: {} ({} bytes)\n",
        counted(done.inputs, "input", "inputs"),
        from.to_rfc3339(),
        to.to_rfc3339(),
        done.file.display(),
        done.bytes
    );
    text.push_str(&in_words(&done.gaps));
    if done.redacted {
        text.push_str("names of labels and of metrics are in it as they are: look at them before a stranger does\n");
    }
    print(&text)
}

/// Random keys of the standard library; nobody keeps them.
fn salt() -> u128 {
    let half = || u128::from(RandomState::new().hash_one(()));
    half() << 64 | half()
}

/// Why no file was made.
fn nothing(folder: &Path, (from, to): (Time, Time)) -> Failure {
    let begins = recorder::kept_from(folder).map_or_else(String::new, |begins| {
        format!(": the recording begins at {}", begins.to_rfc3339())
    });
    Failure::new(format!(
        "nothing was recorded from {} to {}{begins}",
        from.to_rfc3339(),
        to.to_rfc3339()
    ))
}

/// What a window lacks before the first input, between inputs, and after the last one.
fn gaps(
    (from, to): (Time, Time),
    (first, last): (Time, Time),
    within: &[(Time, Time)],
) -> Vec<Gap> {
    let ends = [(from, first), (last, to)];
    let [before, after] =
        ends.map(|(from, to)| Some((from, to)).filter(|_| to.since(from) > GAP_MS));
    let all = before
        .into_iter()
        .chain(within.iter().copied())
        .chain(after);
    all.map(|(from, to)| Gap { from, to }).collect()
}

/// A line for each gap.
fn in_words(gaps: &[Gap]) -> String {
    let mut text = String::new();
    for Gap { from, to } in gaps.iter().take(GAPS_SHOWN_MAX) {
        let (length, from, to) = (spelled(to.since(*from)), from.to_rfc3339(), to.to_rfc3339());
        line(
            &mut text,
            &format!("{length} of the window has no recording: {from} to {to}"),
        );
    }
    let more = gaps.len().saturating_sub(GAPS_SHOWN_MAX) as u64;
    if more > 0 {
        let more = counted(more, "more gap", "more gaps");
        line(
            &mut text,
            &format!("{more} without a recording; `--json` names them"),
        );
    }
    text
}

/// A running daemon writes what it records a moment later; a window up to now waits for that.
fn await_written(to: Time, now: Time) {
    let flush_ms = recorder::FLUSH_EVERY.as_millis() as i64 + WRITING_MS;
    let left_ms = to.min(now).plus_ms(flush_ms).since(now);
    if let Ok(left_ms) = u64::try_from(left_ms) {
        std::thread::sleep(Duration::from_millis(left_ms));
    }
}

impl When {
    /// The moment meant.
    pub fn at(self, now: Time) -> Time {
        match self {
            Self::At(at) => at,
            Self::Ago(ms) => now.plus_ms(-ms),
        }
    }
}

impl std::str::FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(at) = Time::parse_rfc3339(text) {
            return Ok(Self::At(at));
        }
        let unit_ms = match text.chars().last() {
            Some('s') => 1_000,
            Some('m') => 60_000,
            Some('h') => 3_600_000,
            Some('d') => 86_400_000,
            _ => 0,
        };
        let count = text.get(..text.len().saturating_sub(1));
        let count: Option<i64> = count.and_then(|count| count.parse().ok());
        count
            .filter(|count| unit_ms > 0 && *count >= 0)
            .and_then(|count| count.checked_mul(unit_ms))
            .map(Self::Ago)
            .ok_or_else(|| "must be like 2026-11-21T03:00:00Z, 90s, 30m, 2h or 1d".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_window_lacks_is_told() {
        let at = Time::from_secs;
        let lacks = |window, spans, within: &[(Time, Time)]| {
            let gaps = gaps(window, spans, within);
            let whole_s = gaps
                .iter()
                .map(|gap| (gap.from.ms() / 1_000, gap.to.ms() / 1_000));
            whole_s.collect::<Vec<_>>()
        };
        assert_eq!(lacks((at(0), at(100)), (at(1), at(99)), &[]), []);
        assert_eq!(
            lacks((at(0), at(100)), (at(30), at(70)), &[(at(40), at(60))]),
            [(0, 30), (40, 60), (70, 100)]
        );
        let gap = Gap {
            from: at(0),
            to: at(90),
        };
        assert_eq!(
            in_words(&[gap]),
            "1 minute of the window has no recording: 1970-01-01T00:00:00.000Z to 1970-01-01T00:01:30.000Z\n"
        );
        let words = in_words(&[gap; 7]);
        assert!(
            words.ends_with("2 more gaps without a recording; `--json` names them\n"),
            "{words}"
        );
    }

    #[test]
    fn moments_are_read() {
        let cases = [
            ("90s", Some(When::Ago(90_000))),
            ("2h", Some(When::Ago(7_200_000))),
            ("1970-01-01T00:01:00Z", Some(When::At(Time::from_secs(60)))),
            ("-3m", None),
            ("m", None),
            ("3w", None),
            ("", None),
            ("9223372036854775807d", None),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse().ok(), expected, "{text}");
        }
    }
}

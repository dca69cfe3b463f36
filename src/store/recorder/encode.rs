//! Inputs into columns: each kind of value beside its like, so that it compresses.
//!
//! Nothing is rounded: what is read back is bit for bit what was written, but for secrets in log
//! lines, which are masked before anything is kept.

use std::hash::Hash;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde::Serialize;

use super::beginning::Head;
use super::wire::{Malformed, put_bytes, put_signed, put_varint};
use crate::model::mask::mask_secrets;
use crate::model::{
    Dated, Input, LogLevel, LogLine, Sample, Series, SeriesId, Signal, SourceId, Span, SpanKind,
    Stamped, Time,
};

/// Columns of a frame.
pub(super) const COLUMNS: usize = 8;
/// What happened, in order.
pub(super) const OPS: usize = 0;
/// Which series a sample is of.
pub(super) const SERIES: usize = 1;
/// Event times.
pub(super) const TIMES: usize = 2;
/// How each value is written.
pub(super) const MODES: usize = 3;
/// Values that are whole, or decimal.
pub(super) const VALUES: usize = 4;
/// Values that are neither, and identities of traces and spans.
pub(super) const RAW: usize = 5;
/// Log lines.
pub(super) const TEXT: usize = 6;
/// Everything rare, and what is told once a segment, as JSON.
pub(super) const JSON: usize = 7;

/// Kinds of inputs.
pub(super) const OP_TICK: u8 = 0;
pub(super) const OP_SIGNALS: u8 = 1;
pub(super) const OP_JSON: u8 = 2;
/// What a daemon began from; no inputs, and without number and time.
pub(super) const OP_BEGIN: u8 = 3;
pub(super) const OP_PART: u8 = 4;
/// Of format 2: a record without its time.
pub(super) const OP_RECORD: u8 = 5;
pub(super) const OP_DATED: u8 = 6;
/// Kinds of signals.
pub(super) const SIGNAL_SAMPLES: u8 = 0;
pub(super) const SIGNAL_LOG: u8 = 1;
pub(super) const SIGNAL_SPAN: u8 = 2;
pub(super) const SIGNAL_JSON: u8 = 3;
/// Ways to write a value.
pub(super) const SAME: u8 = 0;
pub(super) const DELTA: u8 = 1;
pub(super) const DECIMAL: u8 = 2;
pub(super) const BITS: u8 = 3;
/// What a log line or span has besides; bits of one byte.
pub(super) const HAS_TRACE: u8 = 1;
pub(super) const HAS_SPAN: u8 = 2;
pub(super) const HAS_PARENT: u8 = 4;
pub(super) const SAME_TRACE: u8 = 8;
pub(super) const PARENT_IS_LAST: u8 = 16;
pub(super) const IS_ERROR: u8 = 32;
pub(super) const HAS_PEER: u8 = 64;
/// From format 4 on.
pub(super) const HAS_WEIGHT: u8 = 128;

/// Digits after the point that are tried.
const EXPONENT_MAX: u8 = 9;
/// Largest whole number kept as one: every smaller one is exact as a float.
const WHOLE_MAX: f64 = 9.0e15;
/// After this many values that are neither whole nor decimal, only whole ones are looked for.
const UNRULY_MAX: u8 = 4;
/// Powers of ten, exact as floats.
pub(super) const TENS: [f64; EXPONENT_MAX as usize + 1] =
    [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// What both sides remember of a series.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Last {
    pub(super) bits: u64,
    pub(super) whole: i64,
    pub(super) exponent: u8,
    /// The series that followed this one the last time.
    pub(super) follower: u32,
    /// Values in a row that were neither whole nor decimal; only the encoder counts.
    unruly: u8,
}

/// Things told once a segment and then named by number.
#[derive(Debug)]
struct Dictionary<T> {
    numbers: FxHashMap<T, u32>,
}

/// Writes inputs into the columns of the frame in progress.
#[derive(Debug, Default)]
pub struct Encoder {
    pub(super) columns: [Vec<u8>; COLUMNS],
    series: Vec<Arc<Series>>,
    numbers: FxHashMap<SeriesId, u32>,
    lasts: Vec<Last>,
    labels: Dictionary<crate::model::Labels>,
    names: Dictionary<Arc<str>>,
    sources: Dictionary<SourceId>,
    at: Time,
    seq: u64,
    event: Time,
    series_last: u32,
    trace: u128,
    span: u64,
    samples: u64,
}

impl<T> Default for Dictionary<T> {
    fn default() -> Self {
        let numbers = FxHashMap::default();
        Self { numbers }
    }
}

impl<T: Clone + Eq + Hash + Serialize> Dictionary<T> {
    /// Writes the number of `what`; one never told is told with it.
    fn put(&mut self, what: &T, to: &mut Vec<u8>, told: &mut Vec<u8>) {
        let fresh = self.numbers.len() as u32;
        let number = if let Some(number) = self.numbers.get(what) {
            *number
        } else {
            put_json(told, what);
            self.numbers.insert(what.clone(), fresh);
            fresh
        };
        put_varint(to, u64::from(number));
    }
}

impl Encoder {
    /// Bytes of the frame in progress, uncompressed.
    pub fn len(&self) -> usize {
        self.columns.iter().map(Vec::len).sum()
    }

    /// Whether nothing was put since the last frame.
    pub fn is_empty(&self) -> bool {
        self.columns[OPS].is_empty()
    }

    /// Samples put since the start.
    pub const fn samples(&self) -> u64 {
        self.samples
    }

    /// Things told once: bounds the memory of a segment.
    pub fn told(&self) -> usize {
        self.series.len()
            + self.labels.numbers.len()
            + self.names.numbers.len()
            + self.sources.numbers.len()
    }

    /// Puts an input.
    pub fn put(&mut self, stamped: &Stamped) {
        let op = match &stamped.input {
            Input::Tick => OP_TICK,
            Input::Signals(_) => OP_SIGNALS,
            Input::Command { .. } | Input::Step(_) | Input::Recalled(_) => OP_JSON,
        };
        let ops = &mut self.columns[OPS];
        ops.push(op);
        put_signed(ops, stamped.seq.wrapping_sub(self.seq) as i64);
        put_signed(ops, stamped.at.ms().wrapping_sub(self.at.ms()));
        self.seq = stamped.seq;
        self.at = stamped.at;
        match &stamped.input {
            Input::Tick => {}
            Input::Signals(batch) => {
                let [ops, .., told] = &mut self.columns;
                self.sources.put(&batch.source, ops, told);
                put_varint(ops, batch.signals.len() as u64);
                self.signals(&batch.signals);
            }
            rare @ (Input::Command { .. } | Input::Step(_) | Input::Recalled(_)) => {
                put_json(&mut self.columns[JSON], rare);
            }
        }
    }

    /// Puts what a daemon begins from; its parts and records follow.
    pub fn begin(&mut self, head: &Head) {
        self.columns[OPS].push(OP_BEGIN);
        put_json(&mut self.columns[JSON], head);
    }

    /// Puts a part of what had been learned.
    pub fn part(&mut self, part: &[u8]) {
        self.columns[OPS].push(OP_PART);
        put_bytes(&mut self.columns[TEXT], part);
    }

    /// Puts a record of the journal.
    pub fn record(&mut self, record: &Dated) {
        self.columns[OPS].push(OP_DATED);
        put_json(&mut self.columns[JSON], record);
    }

    fn signals(&mut self, mut signals: &[Signal]) {
        while let Some(first) = signals.first() {
            let mut taken = 1;
            match first {
                Signal::Sample(_) => {
                    let samples = signals
                        .iter()
                        .take_while(|s| matches!(s, Signal::Sample(_)));
                    taken = samples.count();
                    self.columns[OPS].push(SIGNAL_SAMPLES);
                    put_varint(&mut self.columns[OPS], taken as u64);
                    for signal in &signals[..taken] {
                        if let Signal::Sample(sample) = signal {
                            self.sample(sample);
                        }
                    }
                }
                Signal::Log(line) => {
                    self.columns[OPS].push(SIGNAL_LOG);
                    self.log(line);
                }
                Signal::Span(span) => {
                    self.columns[OPS].push(SIGNAL_SPAN);
                    self.span(span);
                }
                Signal::Alert(_) | Signal::Change(_) => {
                    self.columns[OPS].push(SIGNAL_JSON);
                    put_json(&mut self.columns[JSON], first);
                }
            }
            signals = &signals[taken..];
        }
    }

    fn time(&mut self, at: Time) {
        // Senders choose event times, so that the difference may be out of range: it wraps on both sides.
        put_signed(
            &mut self.columns[TIMES],
            at.ms().wrapping_sub(self.event.ms()),
        );
        self.event = at;
    }

    /// Senders tell their series in the same order every time, so the follower is guessed: 0 says
    /// the guess is right, 1 that a series is told now, and more names one.
    fn sample(&mut self, sample: &Sample) {
        self.samples += 1;
        let guess = self
            .lasts
            .get(self.series_last as usize)
            .map_or(0, |l| l.follower);
        let guessed = self.series.get(guess as usize);
        let number = if guessed.is_some_and(|series| Arc::ptr_eq(series, &sample.series)) {
            self.columns[SERIES].push(0);
            guess
        } else {
            self.name_series(&sample.series)
        };
        if let Some(last) = self.lasts.get_mut(self.series_last as usize) {
            last.follower = number;
        }
        self.series_last = number;
        self.time(sample.at);
        self.value(number, sample.value);
    }

    fn name_series(&mut self, series: &Arc<Series>) -> u32 {
        let fresh = self.series.len() as u32;
        let known = self.numbers.get(&series.id).copied();
        // A sender that changes its mind about kind or unit makes another series of the same id.
        let known = known.filter(|n| *self.series[*n as usize] == **series);
        if let Some(number) = known {
            self.series[number as usize] = Arc::clone(series);
            put_varint(&mut self.columns[SERIES], u64::from(number) + 2);
            return number;
        }
        put_json(&mut self.columns[JSON], &**series);
        self.columns[SERIES].push(1);
        self.numbers.insert(series.id, fresh);
        self.series.push(Arc::clone(series));
        self.lasts.push(Last::default());
        fresh
    }

    fn value(&mut self, number: u32, value: f64) {
        let last = &mut self.lasts[number as usize];
        let bits = value.to_bits();
        let modes = &mut self.columns[MODES];
        if bits == last.bits {
            modes.push(SAME);
            return;
        }
        match decimal(value, last) {
            Some((whole, exponent)) if exponent == last.exponent => {
                modes.push(DELTA);
                put_signed(&mut self.columns[VALUES], whole.wrapping_sub(last.whole));
                last.whole = whole;
                last.unruly = 0;
            }
            Some((whole, exponent)) => {
                modes.push(DECIMAL);
                modes.push(exponent);
                put_signed(&mut self.columns[VALUES], whole);
                (last.whole, last.exponent, last.unruly) = (whole, exponent, 0);
            }
            None => {
                modes.push(BITS);
                let changed = bits ^ last.bits;
                self.columns[RAW].extend_from_slice(&changed.to_be_bytes());
                last.unruly = last.unruly.saturating_add(1);
            }
        }
        last.bits = bits;
    }

    fn log(&mut self, line: &LogLine) {
        self.time(line.at);
        let [ops, .., raw, text, told] = &mut self.columns;
        self.labels.put(&line.labels, ops, told);
        ops.push(level_byte(line.level));
        let flags = flag(line.trace.is_some(), HAS_TRACE) | flag(line.span.is_some(), HAS_SPAN);
        ops.push(flags);
        if let Some(trace) = line.trace {
            raw.extend_from_slice(&trace.0.to_be_bytes());
        }
        if let Some(span) = line.span {
            raw.extend_from_slice(&span.0.to_be_bytes());
        }
        put_bytes(text, mask_secrets(&line.text).as_bytes());
    }

    fn span(&mut self, span: &Span) {
        self.time(span.start);
        let same_trace = span.trace.0 == self.trace;
        let parent_is_last = span.parent.is_some_and(|parent| parent.0 == self.span);
        let [ops, _, times, .., raw, _, told] = &mut self.columns;
        ops.push(
            flag(same_trace, SAME_TRACE)
                | flag(span.parent.is_some(), HAS_PARENT)
                | flag(parent_is_last, PARENT_IS_LAST)
                | flag(span.error, IS_ERROR)
                | flag(span.peer.is_some(), HAS_PEER)
                | flag(span.weight.is_some(), HAS_WEIGHT),
        );
        if !same_trace {
            raw.extend_from_slice(&span.trace.0.to_be_bytes());
        }
        raw.extend_from_slice(&span.id.0.to_be_bytes());
        if let Some(parent) = span.parent.filter(|_| !parent_is_last) {
            raw.extend_from_slice(&parent.0.to_be_bytes());
        }
        self.labels.put(&span.resource, ops, told);
        self.names.put(&span.name, ops, told);
        ops.push(kind_byte(span.kind));
        if let Some(peer) = &span.peer {
            self.names.put(peer, ops, told);
        }
        put_varint(times, span.duration_us);
        if let Some(weight) = span.weight {
            raw.extend_from_slice(&weight.to_be_bytes());
        }
        self.trace = span.trace.0;
        self.span = span.id.0;
    }

    /// The columns of the frame, one after the other, each with its length; begins the next frame.
    pub fn take_frame(&mut self) -> Vec<u8> {
        let mut frame = Vec::with_capacity(self.len() + COLUMNS * 4);
        for column in &mut self.columns {
            put_bytes(&mut frame, column);
            column.clear();
        }
        frame
    }
}

fn flag(is_set: bool, bit: u8) -> u8 {
    if is_set { bit } else { 0 }
}

fn put_json<T: Serialize>(to: &mut Vec<u8>, what: &T) {
    let json = serde_json::to_vec(what).expect("the model's types have no maps with odd keys");
    put_bytes(to, &json);
}

/// The value as a whole number over a power of ten, if that gives the same bits back.
fn decimal(value: f64, last: &Last) -> Option<(i64, u8)> {
    let exact = |exponent: u8| {
        let tens = TENS[usize::from(exponent)];
        let rounded = (value * tens).round();
        // Minus zero is not a whole number: as one it would come back as zero.
        let whole = rounded as i64;
        let same = rounded.abs() < WHOLE_MAX && (whole as f64 / tens).to_bits() == value.to_bits();
        same.then_some((whole, exponent))
    };
    let tried = if last.unruly < UNRULY_MAX {
        EXPONENT_MAX
    } else {
        0
    };
    exact(last.exponent).or_else(|| (0..=tried).find_map(exact))
}

const LEVELS: [LogLevel; 6] = [
    LogLevel::Trace,
    LogLevel::Debug,
    LogLevel::Info,
    LogLevel::Warn,
    LogLevel::Error,
    LogLevel::Fatal,
];

const KINDS: [SpanKind; 5] = [
    SpanKind::Internal,
    SpanKind::Server,
    SpanKind::Client,
    SpanKind::Producer,
    SpanKind::Consumer,
];

/// 0 for none, else its place in [`LEVELS`] from 1.
fn level_byte(level: Option<LogLevel>) -> u8 {
    let place = level.and_then(|level| LEVELS.iter().position(|l| *l == level));
    place.map_or(0, |place| place as u8 + 1)
}

/// The reverse of [`level_byte`].
pub(super) fn level_of(byte: u8) -> Result<Option<LogLevel>, Malformed> {
    if byte == 0 {
        return Ok(None);
    }
    let level = LEVELS.get(usize::from(byte) - 1).copied();
    level.map(Some).ok_or(Malformed("a level is not known"))
}

fn kind_byte(kind: SpanKind) -> u8 {
    KINDS.iter().position(|k| *k == kind).unwrap_or_default() as u8
}

/// The reverse of [`kind_byte`].
pub(super) fn kind_of(byte: u8) -> Option<SpanKind> {
    KINDS.get(usize::from(byte)).copied()
}

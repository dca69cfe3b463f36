//! Columns back into inputs: the mirror of [`super::encode`], for bytes that may be hostile.

use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::beginning::Told;
use super::encode::{
    BITS, COLUMNS, DECIMAL, DELTA, HAS_PARENT, HAS_PEER, HAS_SPAN, HAS_TRACE, HAS_WEIGHT, IS_ERROR,
    JSON, Last, MODES, OP_BEGIN, OP_DATED, OP_JSON, OP_PART, OP_RECORD, OP_SIGNALS, OP_TICK, OPS,
    PARENT_IS_LAST, RAW, SAME, SAME_TRACE, SERIES, SIGNAL_JSON, SIGNAL_LOG, SIGNAL_SAMPLES,
    SIGNAL_SPAN, TENS, TEXT, TIMES, VALUES, kind_of, level_of,
};
use super::wire::{Malformed, Reader};
use crate::model::{
    Batch, Input, Labels, LogLine, Record, Sample, Series, Signal, SourceId, Span, SpanId, Stamped,
    Time, TraceId,
};

/// Signals reserved for at once: a count is only believed as far as bytes follow.
const RESERVED_MAX: usize = 4_096;

/// Reads the frames of one segment, in order.
#[derive(Debug, Default)]
pub struct Decoder {
    series: Vec<Arc<Series>>,
    lasts: Vec<Last>,
    labels: Vec<Labels>,
    names: Vec<Arc<str>>,
    sources: Vec<SourceId>,
    at: Time,
    seq: u64,
    event: Time,
    series_last: u32,
    trace: u128,
    span: u64,
}

/// The columns of the frame being read.
struct Frame<'a>([Reader<'a>; COLUMNS]);

impl Decoder {
    /// All that a frame tells.
    pub fn frame(&mut self, bytes: &[u8]) -> Result<Vec<Told>, Malformed> {
        let mut whole = Reader::new(bytes);
        let mut columns = [Reader::default(); COLUMNS];
        for column in &mut columns {
            *column = Reader::new(whole.bytes()?);
        }
        let mut frame = Frame(columns);
        let mut told = Vec::new();
        while frame.0[OPS].left() > 0 {
            told.push(match frame.0[OPS].byte()? {
                OP_BEGIN => Told::Begin(Box::new(frame.json()?)),
                OP_PART => Told::Part(frame.0[TEXT].bytes()?.to_vec()),
                OP_DATED => Told::Record(Box::new(frame.json()?)),
                OP_RECORD => Told::Record(Box::new(frame.json::<Record>()?.undated())),
                op => Told::Input(self.input(op, &mut frame)?),
            });
        }
        Ok(told)
    }

    fn input(&mut self, op: u8, frame: &mut Frame<'_>) -> Result<Stamped, Malformed> {
        self.seq = self.seq.wrapping_add(frame.0[OPS].signed()? as u64);
        self.at = later(self.at, frame.0[OPS].signed()?);
        let input = match op {
            OP_TICK => Input::Tick,
            OP_SIGNALS => Input::Signals(self.batch(frame)?),
            OP_JSON => frame.json()?,
            _ => return Err(Malformed("an input is of no known kind")),
        };
        Ok(Stamped {
            seq: self.seq,
            at: self.at,
            input,
        })
    }

    fn batch(&mut self, frame: &mut Frame<'_>) -> Result<Batch, Malformed> {
        let source = named(&mut self.sources, frame)?;
        let count = usize::try_from(frame.0[OPS].varint()?).unwrap_or(usize::MAX);
        let mut signals = Vec::with_capacity(count.min(RESERVED_MAX));
        while signals.len() < count {
            match frame.0[OPS].byte()? {
                SIGNAL_SAMPLES => {
                    let run = usize::try_from(frame.0[OPS].varint()?).unwrap_or(usize::MAX);
                    if run > count - signals.len() {
                        return Err(Malformed("more samples than its batch has"));
                    }
                    for _ in 0..run {
                        signals.push(Signal::Sample(self.sample(frame)?));
                    }
                }
                SIGNAL_LOG => signals.push(Signal::Log(Box::new(self.log(frame)?))),
                SIGNAL_SPAN => signals.push(Signal::Span(Box::new(self.span(frame)?))),
                SIGNAL_JSON => signals.push(frame.json()?),
                _ => return Err(Malformed("a signal is of no known kind")),
            }
        }
        Ok(Batch { source, signals })
    }

    fn time(&mut self, frame: &mut Frame<'_>) -> Result<Time, Malformed> {
        self.event = later(self.event, frame.0[TIMES].signed()?);
        Ok(self.event)
    }

    fn sample(&mut self, frame: &mut Frame<'_>) -> Result<Sample, Malformed> {
        let number = match frame.0[SERIES].varint()? {
            0 => self
                .lasts
                .get(self.series_last as usize)
                .map_or(0, |l| l.follower),
            1 => {
                let series: Series = frame.json()?;
                self.series.push(Arc::new(series));
                self.lasts.push(Last::default());
                self.series.len() as u32 - 1
            }
            named => u32::try_from(named - 2).unwrap_or(u32::MAX),
        };
        let unknown = Malformed("it refers to something never told");
        let series = self.series.get(number as usize).ok_or(unknown)?;
        let series = Arc::clone(series);
        if let Some(last) = self.lasts.get_mut(self.series_last as usize) {
            last.follower = number;
        }
        self.series_last = number;
        let at = self.time(frame)?;
        let value = self.value(number as usize, frame)?;
        Ok(Sample { series, at, value })
    }

    fn value(&mut self, number: usize, frame: &mut Frame<'_>) -> Result<f64, Malformed> {
        let last = &mut self.lasts[number];
        match frame.0[MODES].byte()? {
            SAME => return Ok(f64::from_bits(last.bits)),
            DELTA => {
                let by = frame.0[VALUES].signed()?;
                last.whole = last.whole.wrapping_add(by);
            }
            DECIMAL => {
                last.exponent = frame.0[MODES].byte()?;
                last.whole = frame.0[VALUES].signed()?;
            }
            BITS => {
                last.bits ^= u64::from_be_bytes(frame.0[RAW].array()?);
                return Ok(f64::from_bits(last.bits));
            }
            _ => return Err(Malformed("a value is written in no known way")),
        }
        let tens = TENS
            .get(usize::from(last.exponent))
            .ok_or(Malformed("a value has too many digits"))?;
        let value = last.whole as f64 / tens;
        last.bits = value.to_bits();
        Ok(value)
    }

    fn log(&mut self, frame: &mut Frame<'_>) -> Result<LogLine, Malformed> {
        let at = self.time(frame)?;
        let labels = named(&mut self.labels, frame)?;
        let level = level_of(frame.0[OPS].byte()?)?;
        let flags = frame.0[OPS].byte()?;
        let trace = match flags & HAS_TRACE {
            0 => None,
            _ => Some(TraceId(u128::from_be_bytes(frame.0[RAW].array()?))),
        };
        let span = match flags & HAS_SPAN {
            0 => None,
            _ => Some(SpanId(u64::from_be_bytes(frame.0[RAW].array()?))),
        };
        Ok(LogLine {
            at,
            labels,
            level,
            text: Box::from(frame.0[TEXT].text()?),
            trace,
            span,
        })
    }

    fn span(&mut self, frame: &mut Frame<'_>) -> Result<Span, Malformed> {
        let start = self.time(frame)?;
        let flags = frame.0[OPS].byte()?;
        let has = |bit: u8| flags & bit != 0;
        if !has(SAME_TRACE) {
            self.trace = u128::from_be_bytes(frame.0[RAW].array()?);
        }
        let id = u64::from_be_bytes(frame.0[RAW].array()?);
        let parent = match (has(HAS_PARENT), has(PARENT_IS_LAST)) {
            (false, _) => None,
            (true, true) => Some(SpanId(self.span)),
            (true, false) => Some(SpanId(u64::from_be_bytes(frame.0[RAW].array()?))),
        };
        self.span = id;
        let resource = named(&mut self.labels, frame)?;
        let name = named(&mut self.names, frame)?;
        let kind = kind_of(frame.0[OPS].byte()?).ok_or(Malformed("a span's kind is not known"))?;
        let peer = if has(HAS_PEER) {
            Some(named(&mut self.names, frame)?)
        } else {
            None
        };
        let duration_us = frame.0[TIMES].varint()?;
        let weight = if has(HAS_WEIGHT) {
            let told = f32::from_be_bytes(frame.0[RAW].array()?);
            let weight = Span::weight_of(f64::from(told));
            Some(weight.ok_or(Malformed("a span's weight is none"))?)
        } else {
            None
        };
        Ok(Span {
            trace: TraceId(self.trace),
            id: SpanId(id),
            parent,
            resource,
            name,
            kind,
            start,
            duration_us,
            error: has(IS_ERROR),
            peer,
            weight,
        })
    }
}

impl Frame<'_> {
    fn json<T: DeserializeOwned>(&mut self) -> Result<T, Malformed> {
        let bytes = self.0[JSON].bytes()?;
        serde_json::from_slice(bytes)
            .map_err(|_| Malformed("a JSON value is not what it should be"))
    }
}

/// Something named by number; the number after the last one tells it.
fn named<T: Clone + DeserializeOwned>(
    told: &mut Vec<T>,
    frame: &mut Frame<'_>,
) -> Result<T, Malformed> {
    let number = frame.0[OPS].index(told.len() + 1)?;
    if number == told.len() {
        told.push(frame.json()?);
    }
    Ok(told[number].clone())
}

fn later(at: Time, by_ms: i64) -> Time {
    Time::from_ms(at.ms().wrapping_add(by_ms))
}

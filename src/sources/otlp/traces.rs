//! Spans of an `ExportTraceServiceRequest`. Recorded exceptions become log lines of their service.

use std::borrow::Cow;
use std::sync::Arc;

use super::attributes::{Resources, key_value, scalar, submessage};
use super::logs::exception_text;
use super::sampling::Sampling;
use super::{ReadError, Taken, time_of_ns};
use crate::model::{Labels, LogLevel, LogLine, Signal, Span, SpanId, SpanKind, Time, TraceId};
use crate::sources::wire::{Fields, WireError};

/// Longest span name kept, in bytes; longer ones are cut: they hold what should be an attribute.
const NAME_BYTES_MAX: usize = 512;

/// Reads traces.
pub(super) struct Traces {
    resources: Arc<Resources>,
}

/// A `Span` as it lies in the body.
#[derive(Default)]
struct Raw<'a> {
    trace: &'a [u8],
    id: &'a [u8],
    parent: &'a [u8],
    name: Cow<'a, str>,
    kind: u64,
    start_ns: u64,
    end_ns: u64,
    error: bool,
    peer: Peer<'a>,
    trace_state: Cow<'a, str>,
    sampling: Sampling<'a>,
    exceptions: Vec<(u64, String)>,
}

/// Attributes that name the other side of a call.
#[derive(Default)]
struct Peer<'a> {
    service: Option<Cow<'a, str>>,
    database: Option<Cow<'a, str>>,
    destination: Option<Cow<'a, str>>,
    address: Option<Cow<'a, str>>,
    system: Option<Cow<'a, str>>,
}

impl Traces {
    pub(super) fn new(resources: Arc<Resources>) -> Self {
        Self { resources }
    }

    /// Reads a whole request.
    pub(super) fn read(&self, message: &[u8], taken: &mut Taken) -> Result<(), ReadError> {
        let mut groups = Fields::of(message);
        while let Some((number, group)) = groups.next()? {
            if number == 1 {
                self.group(group.bytes(1)?, taken)?;
            }
        }
        Ok(())
    }

    /// Reads `ResourceSpans`: resource (1), scopes (2), each with spans (2).
    fn group(&self, group: &[u8], taken: &mut Taken) -> Result<(), ReadError> {
        let resource = self.resources.labels(submessage(group, 1)?)?;
        let mut scopes = Fields::of(group);
        while let Some((number, scope)) = scopes.next()? {
            if number != 2 {
                continue;
            }
            let mut spans = scope.fields(2)?;
            while let Some((number, span)) = spans.next()? {
                if number == 2 {
                    match Raw::read(span.bytes(2)?) {
                        Ok(raw) => self.span(&raw, &resource, taken)?,
                        Err(error) => taken.reject(&format!("a span: {error}")),
                    }
                }
            }
        }
        Ok(())
    }

    fn span(&self, raw: &Raw<'_>, resource: &Labels, taken: &mut Taken) -> Result<(), ReadError> {
        let (Some(trace), Some(id)) = (trace_id(raw.trace), span_id(raw.id)) else {
            taken.reject("a span has no valid trace id and span id");
            return Ok(());
        };
        let Some(start) = time_of_ns(raw.start_ns) else {
            taken.reject("a span has no start time");
            return Ok(());
        };
        if raw.end_ns < raw.start_ns {
            taken.reject("a span ends before it starts");
            return Ok(());
        }
        for (at_ns, text) in &raw.exceptions {
            let at = time_of_ns(*at_ns).unwrap_or(start);
            taken.push(exception(at, text, resource, trace, id))?;
        }
        let name = &raw.name[..raw.name.floor_char_boundary(NAME_BYTES_MAX)];
        taken.push(Signal::Span(Box::new(Span {
            trace,
            id,
            parent: span_id(raw.parent),
            resource: resource.clone(),
            name: self.resources.text(name),
            kind: match raw.kind {
                2 => SpanKind::Server,
                3 => SpanKind::Client,
                4 => SpanKind::Producer,
                5 => SpanKind::Consumer,
                _ => SpanKind::Internal,
            },
            start,
            duration_us: (raw.end_ns - raw.start_ns) / 1_000,
            error: raw.error,
            peer: raw.peer.name().map(|peer| self.resources.text(&peer)),
            weight: raw.sampling.weight(&raw.trace_state),
        })))
    }
}

impl<'a> Raw<'a> {
    fn read(span: &'a [u8]) -> Result<Self, WireError> {
        let mut raw = Self::default();
        let mut fields = Fields::of(span);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => raw.trace = value.bytes(1)?,
                2 => raw.id = value.bytes(2)?,
                3 => raw.trace_state = value.text_lossy(3)?,
                4 => raw.parent = value.bytes(4)?,
                5 => raw.name = value.text_lossy(5)?,
                6 => raw.kind = value.uint(6)?,
                7 => raw.start_ns = value.uint(7)?,
                8 => raw.end_ns = value.uint(8)?,
                9 => {
                    let (key, value) = key_value(value.bytes(9)?)?;
                    match raw.sampling.place(key) {
                        Some(place) => *place = scalar(value)?,
                        None => raw.peer.see(key, value)?,
                    }
                }
                11 => raw.exceptions.extend(exception_event(value.bytes(11)?)?),
                15 => raw.error = is_error(value.bytes(15)?)?,
                _ => {}
            }
        }
        Ok(raw)
    }
}

impl<'a> Peer<'a> {
    /// Keeps the attribute if it names the other side. Old and new names of the conventions.
    fn see(&mut self, key: &str, value: &'a [u8]) -> Result<(), WireError> {
        let kept = match key {
            "peer.service" => &mut self.service,
            "db.system" | "db.system.name" => &mut self.system,
            "db.name" | "db.namespace" => &mut self.database,
            "messaging.destination" | "messaging.destination.name" => &mut self.destination,
            "server.address" | "net.peer.name" | "http.host" => &mut self.address,
            _ => return Ok(()),
        };
        *kept = scalar(value)?.filter(|text| !text.is_empty());
        Ok(())
    }

    /// The other side: a service by name, a database or queue as `kind/name`, else its address.
    fn name(&self) -> Option<Cow<'_, str>> {
        if let Some(service) = &self.service {
            return Some(Cow::Borrowed(service));
        }
        if let Some(system) = &self.system {
            let name = self.database.as_ref().or(self.address.as_ref());
            return Some(Cow::Owned(format!("database/{}", name.unwrap_or(system))));
        }
        if let Some(destination) = &self.destination {
            return Some(Cow::Owned(format!("queue/{destination}")));
        }
        self.address.as_deref().map(Cow::Borrowed)
    }
}

/// Time and text of an `Event` that is an exception: time (1), name (2), attributes (3).
fn exception_event(event: &[u8]) -> Result<Option<(u64, String)>, WireError> {
    let (mut at_ns, mut name) = (0, "");
    let mut attributes = Vec::new();
    let mut fields = Fields::of(event);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => at_ns = value.uint(1)?,
            2 => name = value.text(2)?,
            3 => attributes.push(value.bytes(3)?),
            _ => {}
        }
    }
    if name != "exception" {
        return Ok(None);
    }
    Ok(exception_text(&attributes)?.map(|text| (at_ns, text)))
}

fn exception(at: Time, text: &str, resource: &Labels, trace: TraceId, span: SpanId) -> Signal {
    Signal::Log(Box::new(LogLine {
        at,
        labels: resource.clone(),
        level: Some(LogLevel::Error),
        text: text.into(),
        trace: Some(trace),
        span: Some(span),
    }))
}

/// Whether a `Status` has code (3) `ERROR` (2).
fn is_error(status: &[u8]) -> Result<bool, WireError> {
    const STATUS_CODE_ERROR: u64 = 2;
    let mut fields = Fields::of(status);
    let mut error = false;
    while let Some((number, value)) = fields.next()? {
        if number == 3 {
            error = value.uint(3)? == STATUS_CODE_ERROR;
        }
    }
    Ok(error)
}

/// 16 bytes, not all zero.
pub(super) fn trace_id(bytes: &[u8]) -> Option<TraceId> {
    let id = u128::from_be_bytes(bytes.try_into().ok()?);
    (id != 0).then_some(TraceId(id))
}

/// 8 bytes, not all zero.
pub(super) fn span_id(bytes: &[u8]) -> Option<SpanId> {
    let id = u64::from_be_bytes(bytes.try_into().ok()?);
    (id != 0).then_some(SpanId(id))
}

//! What requests leave behind, put together as it arrives and turned into evidence when asked.
//!
//! Joins operations, calls and log lines into [`Behaviour`] and [`Gaps`] under one list of services. Bounded;
//! what does not fit is counted. Must never keep a log line's values: it holds template ids and operation names.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::behaviour::{Behaviour, Event, EventId, EventKind, OddEvent, ServiceIx};
use super::case::{Case, LogSign};
use super::gaps::Gaps;
use crate::engine::logs::TemplateId;
use crate::model::{EntityId, Time};

/// Kinds of events known by name; further ones are not learned, and counted.
const EVENTS_MAX: usize = 65_536;
/// Lines of one service this close together count as one request when they carry no trace.
const SESSION_GAP_MS: i64 = 500;
/// A run of untraced lines is cut after this long, else a busy service would be one endless request.
const SESSION_MS_MAX: i64 = 2_000;
/// Signs handed over per service.
const SIGNS_MAX: usize = 5;
/// Effects may precede the onset that was noticed by this much; the time between is neither normal nor odd.
pub const GUARD_MS: i64 = 120_000;

/// What an event stands for.
#[derive(Clone, Debug)]
enum Meaning {
    /// An operation, or a call to a service.
    Span(Box<str>),
    /// A log template, at a place in the source (hashed; 0 when the line names none).
    Log(TemplateId, u64),
}

/// A run of lines without a trace.
#[derive(Clone, Copy, Debug)]
struct Session {
    key: u64,
    began: Time,
    last: Time,
}

/// The streaming memory of requests.
#[derive(Clone, Debug, Default)]
pub struct Witness {
    services: Vec<EntityId>,
    index: BTreeMap<EntityId, ServiceIx>,
    behaviour: Behaviour,
    gaps: Gaps,
    callees: Vec<Vec<ServiceIx>>,
    meanings: BTreeMap<EventId, Meaning>,
    sessions: BTreeMap<ServiceIx, Session>,
    sessions_begun: u64,
    events_dropped: u64,
}

impl Witness {
    /// The position of a service, added when new.
    pub fn service(&mut self, id: &EntityId) -> ServiceIx {
        if let Some(at) = self.index.get(id) {
            return *at;
        }
        let at = self.services.len();
        self.services.push(id.clone());
        self.index.insert(id.clone(), at);
        self.callees.push(Vec::new());
        at
    }

    /// A span of `service` with this operation name.
    pub fn span(&mut self, trace: u64, service: ServiceIx, operation: &str, error: bool, at: Time) {
        let id = xxh3_64(operation.as_bytes());
        let error = error || names_failure(operation);
        self.note(trace, service, id, EventKind::Span, error, at, || {
            Meaning::Span(operation.into())
        });
    }

    /// A call, both ends seen: the caller waited `client_us`, the callee served for `server_us`.
    pub fn call(
        &mut self,
        trace: u64,
        ends: (ServiceIx, ServiceIx),
        client_us: u64,
        server_us: u64,
        at: Time,
    ) {
        let (from, to) = ends;
        if let Some(callees) = self.callees.get_mut(from)
            && !callees.contains(&to)
        {
            callees.push(to);
        }
        self.gaps.observe(from, to, client_us, server_us, at);
        let callee = self.services.get(to).map_or("?", |id| id.name());
        let meaning = format!("call to {callee}");
        let id = xxh3_64(meaning.as_bytes());
        self.note(trace, from, id, EventKind::Span, false, at, || {
            Meaning::Span(meaning.into())
        });
    }

    /// A log line of `service`: its template, the line itself (only its code location is looked at), its level.
    pub fn line(
        &mut self,
        trace: Option<u64>,
        service: ServiceIx,
        template: TemplateId,
        text: &str,
        error: bool,
        at: Time,
    ) {
        let place = code_location(text).map_or(0, |place| xxh3_64(place.as_bytes()));
        let trace = trace.unwrap_or_else(|| self.session(service, at));
        let id = log_event(template, place);
        self.note(trace, service, id, EventKind::Log, error, at, || {
            Meaning::Log(template, place)
        });
    }

    /// Moves on to `now`: completes requests, folds old ones into counts.
    pub fn advance(&mut self, now: Time) {
        self.behaviour.advance(now);
    }

    /// Drops what was seen since `since`: an incident must not teach what is normal.
    pub fn forget(&mut self, since: Time) {
        self.behaviour.forget(since);
        self.gaps.forget(since);
    }

    /// Events that were not learned because there are too many kinds.
    pub fn events_dropped(&self) -> u64 {
        self.events_dropped
    }

    /// Requests whose detail was given up before its time because there were too many.
    pub fn folded_early(&self) -> u64 {
        self.behaviour.folded_early()
    }

    /// Adds log signs and gaps since `since` to the subjects of `case`; services that are no subject are left out.
    ///
    /// `current` follows merges of templates, `words` gives a template's text.
    pub fn testify<'a>(
        &self,
        case: &mut Case,
        since: Time,
        current: impl Fn(TemplateId) -> TemplateId,
        words: impl Fn(TemplateId) -> Option<&'a str>,
    ) {
        let resolve = |id: EventId| match self.meanings.get(&id) {
            Some(Meaning::Log(template, place)) => log_event(current(*template), *place),
            _ => id,
        };
        // A merged template's event may never have been seen under its new name.
        let templates: BTreeMap<EventId, TemplateId> = self
            .meanings
            .values()
            .filter_map(|meaning| match meaning {
                Meaning::Log(template, place) => {
                    let now = current(*template);
                    Some((log_event(now, *place), now))
                }
                Meaning::Span(_) => None,
            })
            .collect();
        let text = |id: EventId| match self.meanings.get(&id) {
            Some(Meaning::Span(name)) => Some(&**name),
            _ => templates.get(&id).and_then(|template| words(*template)),
        };
        let odd = self.behaviour.odd(since, GUARD_MS, &self.callees, resolve);
        let gaps = self.gaps.odd(since, GUARD_MS, self.services.len());
        for ((id, odd), gap) in self.services.iter().zip(odd).zip(gaps) {
            let Some(at) = case.find(id) else { continue };
            let subject = &mut case.subjects[at];
            subject.traces.gap = gap;
            subject.logs.extend(
                odd.iter()
                    .take(SIGNS_MAX)
                    .map(|event| sign(event, text(event.event))),
            );
        }
    }

    fn session(&mut self, service: ServiceIx, at: Time) -> u64 {
        let known = self.sessions.get(&service).copied().filter(|session| {
            at.since(session.last) <= SESSION_GAP_MS && at.since(session.began) <= SESSION_MS_MAX
        });
        let session = known.unwrap_or_else(|| {
            self.sessions_begun += 1;
            // Seeded away from trace ids, which come from elsewhere.
            let key = xxh3_64_with_seed(&self.sessions_begun.to_le_bytes(), service as u64 + 1);
            Session {
                key,
                began: at,
                last: at,
            }
        });
        self.sessions.insert(
            service,
            Session {
                last: at,
                ..session
            },
        );
        session.key
    }

    #[allow(clippy::too_many_arguments)]
    fn note(
        &mut self,
        trace: u64,
        service: ServiceIx,
        id: EventId,
        kind: EventKind,
        error: bool,
        at: Time,
        meaning: impl FnOnce() -> Meaning,
    ) {
        if !self.meanings.contains_key(&id) {
            if self.meanings.len() >= EVENTS_MAX {
                self.events_dropped += 1;
                return;
            }
            self.meanings.insert(id, meaning());
        }
        self.behaviour
            .observe(trace, service, Event { id, kind, error }, at);
    }
}

fn log_event(template: TemplateId, place: u64) -> EventId {
    xxh3_64_with_seed(&template.0.to_le_bytes(), place.wrapping_add(1))
}

fn sign(odd: &OddEvent, text: Option<&str>) -> LogSign {
    LogSign {
        change: odd.change,
        error: odd.error,
        template: text.unwrap_or("?").into(),
        count: odd.count,
        since: odd.since,
        score: odd.score,
    }
}

/// Words at the start of a line among which its location is looked for.
const LOCATION_WORDS_MAX: usize = 8;
/// Extensions that tell `main.go:42` from `db.example:5432`.
const SOURCE_EXTENSIONS: [&str; 16] = [
    "java", "kt", "scala", "go", "rs", "py", "rb", "js", "ts", "c", "cc", "cpp", "h", "cs", "php",
    "ex",
];

/// The place in the source a log line names, as `Class#12` or `file.go:12`: part of its identity where given.
///
/// Two statements may write the same words; which one spoke can be all that a fault changes.
pub fn code_location(line: &str) -> Option<&str> {
    line.split_whitespace()
        .take(LOCATION_WORDS_MAX)
        .find_map(|word| {
            let word = word.trim_matches(|c: char| !c.is_alphanumeric());
            let (name, number) = word.rsplit_once(['#', ':'])?;
            let numbered =
                (1..=5).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
            let extension = name.rsplit_once('.').map(|(_, extension)| extension);
            let in_source =
                extension.is_some_and(|extension| SOURCE_EXTENSIONS.contains(&extension));
            let hashed = word.as_bytes().get(name.len()) == Some(&b'#');
            let named = hashed && name.bytes().any(|b| b.is_ascii_alphabetic());
            (numbered && (named || in_source)).then_some(word)
        })
}

/// Whether an operation's name speaks of failure: error handlers and the like.
pub fn names_failure(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    ["error", "exception", "fail", "panic"]
        .iter()
        .any(|word| lower.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_locations_are_found() {
        let cases = [
            (
                "16:42:22 INFO t.s.TravelServiceImpl#532 TraceID: a",
                Some("t.s.TravelServiceImpl#532"),
            ),
            (
                "E1121 09:11:12.131415 7 main.go:42] lost",
                Some("main.go:42"),
            ),
            ("[app/views.py:7] done", Some("app/views.py:7")),
            ("connect to db.example:5432 failed", None),
            ("10.0.0.1:8080 refused", None),
            ("issue #12 closed", None),
            ("", None),
        ];
        for (line, place) in cases {
            assert_eq!(code_location(line), place, "{line}");
        }
    }

    #[test]
    fn a_new_error_and_a_missing_line_are_told() {
        let mut witness = Witness::default();
        let (web, pay) = (
            witness.service(&EntityId::parse("web")),
            witness.service(&EntityId::parse("pay")),
        );
        let mut request = |trace: u64, at: Time, fails: bool| {
            witness.line(Some(trace), web, TemplateId(1), "order", false, at);
            witness.call(trace, (web, pay), 2_000, 1_000, at);
            let said = if fails {
                (TemplateId(3), "no card")
            } else {
                (TemplateId(2), "paid")
            };
            witness.line(Some(trace), pay, said.0, said.1, fails, at);
        };
        for trace in 0..60 {
            request(trace, Time::from_secs(trace as i64), false);
        }
        for trace in 60..90 {
            request(trace, Time::from_secs(300 + trace as i64), true);
        }
        witness.advance(Time::from_secs(400));
        let mut case = Case::new(Time::from_secs(400), Time::from_secs(300), 1);
        for name in ["web", "pay"] {
            case.subject(&EntityId::parse(name));
        }
        let words = |template: TemplateId| {
            ["", "order", "paid", "no card"]
                .get(template.0 as usize)
                .copied()
        };
        witness.testify(&mut case, Time::from_secs(300), |template| template, words);
        let told: Vec<(&str, u64)> = case.subjects[1]
            .logs
            .iter()
            .map(|sign| (&*sign.template, sign.count))
            .collect();
        assert_eq!(told, [("no card", 30), ("paid", 0)]);
        assert_eq!(case.subjects[0].logs, []);
    }
}

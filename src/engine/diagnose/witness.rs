//! What requests leave behind, put together as it arrives and turned into evidence when asked.
//!
//! Joins operations, calls and log lines into [`Behaviour`] and [`Gaps`]. Looks at a share of the requests where
//! there are many ([`Sampling`]); bounded, and what does not fit is counted. Must never keep a log line's values: it
//! holds template ids, and the shapes of operation names.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use rustc_hash::{FxBuildHasher, FxHashSet};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::behaviour::{
    Behaviour, Entries, Event, EventId, History, OddEvent, Question, ServiceIx,
};
use super::case::{Case, EventKind, LogSign, SubjectIx};
use super::gaps::Gaps;
use super::sampling::Sampling;
use super::troubles::Troubles;
use crate::engine::logs::TemplateId;
use crate::model::Time;

/// Kinds of events known by name; further ones are not learned, and counted.
const EVENTS_MAX: usize = 16_384;
/// Lines of one service this close together count as one request when they carry no trace.
const SESSION_GAP_MS: i64 = 500;
/// A run of untraced lines is cut after this long, else a busy service would be one endless request.
const SESSION_MS_MAX: i64 = 2_000;
/// And after so many lines.
const SESSION_LINES_MAX: u32 = 1_000;
/// Signs handed over per service.
const SIGNS_MAX: usize = 5;
/// Characters of an operation's name that are kept.
const OPERATION_CHARS_MAX: usize = 200;
/// Effects may precede the onset that was noticed by this much; the time between is neither normal nor odd.
pub const GUARD_MS: i64 = 120_000;

/// What an event stands for.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Meaning {
    /// An operation.
    Operation(Box<str>),
    /// A call to a service.
    Call(ServiceIx),
    /// A log template, at a place in the source (hashed; 0 when the line names none).
    Log(TemplateId, u64),
}

/// A run of lines without a trace.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Session {
    key: u64,
    began: Time,
    last: Time,
    lines: u32,
    /// What its lines said: said again, it says nothing more. After a restart it may.
    #[serde(skip)]
    said: Said,
}

/// What a run of lines said.
#[derive(Clone, Debug, Default)]
struct Said {
    /// By lines that name no place in the source.
    anywhere: FxHashSet<TemplateId>,
    /// By lines that name one.
    at_places: FxHashSet<EventId>,
}

impl Said {
    /// Whether a line says anything new. Whether it names a place is only looked at where one of its template did.
    fn is_new(&mut self, template: TemplateId, text: &str) -> bool {
        if self.anywhere.contains(&template) {
            return false;
        }
        match code_location(text) {
            None => self.anywhere.insert(template),
            Some(place) => {
                let event = log_event(template, xxh3_64(place.as_bytes()));
                self.at_places.insert(event)
            }
        }
    }

    fn clear(&mut self) {
        self.anywhere.clear();
        self.at_places.clear();
    }
}

/// A request that is looked at, in one service.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    trace: u64,
    service: ServiceIx,
    at: Time,
}

/// How those who ask call things.
pub trait Vocabulary {
    /// What a template is called by now: templates merge.
    fn current(&self, template: TemplateId) -> TemplateId;
    /// Its text, untrusted.
    fn template(&self, template: TemplateId) -> Option<&str>;
    /// A service's name, untrusted.
    fn service(&self, service: ServiceIx) -> &str;
}

/// Everything but what was counted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Ground {
    sampling: Sampling,
    troubles: Troubles,
    callees: BTreeMap<ServiceIx, BTreeSet<ServiceIx>>,
    meanings: BTreeMap<EventId, Meaning>,
    sessions: IndexMap<ServiceIx, Session, FxBuildHasher>,
    sessions_begun: u64,
    events_dropped: u64,
}

/// A part of what a checkpoint keeps, each a few megabytes at most.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum SavedPart<'a> {
    /// Names and shares.
    Ground(Cow<'a, Ground>),
    /// Requests one by one.
    Entries(Cow<'a, Entries>),
    /// Requests as counts.
    History(Cow<'a, History>),
    /// Waits between services.
    Gaps(Cow<'a, Gaps>),
}

/// The streaming memory of requests.
#[derive(Clone, Debug, Default)]
pub struct Witness {
    ground: Ground,
    behaviour: Behaviour,
    gaps: Gaps,
}

impl Witness {
    /// Something of `service` at `at`: the request it belongs to, if that is looked at.
    pub fn look(&mut self, trace: u64, service: ServiceIx, at: Time) -> Option<Seen> {
        let seen = Seen { trace, service, at };
        self.ground.sampling.keeps(trace, at).then_some(seen)
    }

    /// The same for a line without a trace: it belongs to what its service said just before. `None` also when that
    /// said the same.
    pub fn look_at_run(
        &mut self,
        service: ServiceIx,
        at: Time,
        template: TemplateId,
        text: &str,
    ) -> Option<Seen> {
        let session = self.session(service, at);
        if !session.said.is_new(template, text) {
            return None;
        }
        let trace = session.key;
        self.look(trace, service, at)
    }

    /// A span with this operation name.
    pub fn span(&mut self, seen: Seen, operation: &str, error: bool) {
        let shape = shape_of(operation);
        let event = Event {
            id: xxh3_64(shape.as_bytes()),
            kind: EventKind::Span,
            error: error || names_failure(operation),
        };
        self.note(seen, event, || Meaning::Operation(shape.into()));
    }

    /// A call of `to`, both ends seen: the caller waited `client_us`, the callee served for `server_us`.
    pub fn call(&mut self, seen: Seen, to: ServiceIx, client_us: u64, server_us: u64) {
        let from = seen.service;
        self.ground.callees.entry(from).or_default().insert(to);
        self.gaps.observe(from, to, client_us, server_us, seen.at);
        let event = Event {
            id: xxh3_64_with_seed(&(to as u64).to_le_bytes(), CALLS),
            kind: EventKind::Span,
            error: false,
        };
        self.note(seen, event, || Meaning::Call(to));
    }

    /// A log line: its template, the line itself (only its code location is looked at), whether it is an error.
    pub fn line(&mut self, seen: Seen, template: TemplateId, text: &str, error: bool) {
        let place = code_location(text).map_or(0, |place| xxh3_64(place.as_bytes()));
        let event = Event {
            id: log_event(template, place),
            kind: EventKind::Log,
            error,
        };
        self.note(seen, event, || Meaning::Log(template, place));
    }

    /// Moves on to `now`: completes requests, folds old ones into counts.
    pub fn advance(&mut self, now: Time) {
        self.behaviour.advance(now, &self.ground.troubles);
    }

    /// Something is wrong with a service from `from` to `to`: it must not teach what is normal.
    pub fn trouble(&mut self, service: ServiceIx, from: Time, to: Time) {
        self.ground.troubles.note(service, from, to);
    }

    /// Forgets what left nothing behind since `since`, and the names that only that had.
    pub fn retire(&mut self, since: Time) {
        let ground = &mut self.ground;
        ground.troubles.forget(since);
        ground.sessions.retain(|_, session| session.last >= since);
        self.behaviour.retire(since);
        self.gaps.retire(since);
        let (mut services, mut events) = (BTreeSet::new(), BTreeSet::new());
        self.behaviour.mentioned(
            |service| _ = services.insert(service),
            |event| _ = events.insert(event),
        );
        ground.meanings.retain(|event, _| events.contains(event));
        ground.callees.retain(|from, callees| {
            callees.retain(|to| services.contains(to));
            services.contains(from) && !callees.is_empty()
        });
    }

    /// Forgets what was seen at a time that never was, after `now`.
    pub fn set_back(&mut self, now: Time) {
        self.ground.sampling.set_back(now);
        self.ground.troubles.set_back(now);
        self.ground.sessions.clear();
        self.behaviour.set_back(now);
        self.gaps.set_back(now);
    }

    /// Every service that is referred to, some more than once.
    pub fn services(&self, mut mark: impl FnMut(ServiceIx)) {
        let ground = &self.ground;
        self.behaviour.mentioned(&mut mark, |_| {});
        self.gaps.services().for_each(&mut mark);
        ground.troubles.services().for_each(&mut mark);
        ground.sessions.keys().copied().for_each(&mut mark);
        for (from, callees) in &ground.callees {
            mark(*from);
            callees.iter().copied().for_each(&mut mark);
        }
        for meaning in ground.meanings.values() {
            if let Meaning::Call(to) = meaning {
                mark(*to);
            }
        }
    }

    /// Events that were not learned because there are too many kinds.
    pub fn events_dropped(&self) -> u64 {
        self.ground.events_dropped
    }

    /// Requests whose detail was given up before its time because there were too many.
    pub fn folded_early(&self) -> u64 {
        self.behaviour.folded_early()
    }

    /// The parts that a checkpoint keeps, by number; `None` after the last.
    pub fn saved_part(&self, number: u8) -> Option<SavedPart<'_>> {
        Some(match number {
            0 => SavedPart::Ground(Cow::Borrowed(&self.ground)),
            1 => SavedPart::Entries(Cow::Borrowed(&self.behaviour.entries)),
            2 => SavedPart::History(Cow::Borrowed(&self.behaviour.history)),
            3 => SavedPart::Gaps(Cow::Borrowed(&self.gaps)),
            _ => return None,
        })
    }

    /// Puts a part back.
    pub fn restore(&mut self, part: SavedPart<'_>) {
        match part {
            SavedPart::Ground(ground) => self.ground = ground.into_owned(),
            SavedPart::Entries(entries) => self.behaviour.entries = entries.into_owned(),
            SavedPart::History(history) => self.behaviour.history = history.into_owned(),
            SavedPart::Gaps(gaps) => self.gaps = gaps.into_owned(),
        }
    }

    /// Adds log signs and gaps since `since` to those subjects of `case` that are in `subjects`, by service.
    pub fn testify(
        &self,
        case: &mut Case,
        since: Time,
        subjects: &BTreeMap<ServiceIx, SubjectIx>,
        words: &impl Vocabulary,
    ) {
        let ground = &self.ground;
        let mut renamed = BTreeMap::new();
        // A merged template's event may never have been seen under its new name.
        let mut templates = BTreeMap::new();
        for (id, meaning) in &ground.meanings {
            if let Meaning::Log(template, place) = meaning {
                let now = words.current(*template);
                let event = log_event(now, *place);
                templates.insert(event, now);
                if event != *id {
                    renamed.insert(*id, event);
                }
            }
        }
        let text = |id: EventId| -> Option<Cow<'_, str>> {
            Some(match ground.meanings.get(&id) {
                Some(Meaning::Operation(name)) => Cow::Borrowed(&**name),
                Some(Meaning::Call(to)) => Cow::Owned(format!("call to {}", words.service(*to))),
                _ => Cow::Borrowed(words.template(*templates.get(&id)?)?),
            })
        };
        let services: BTreeSet<ServiceIx> = subjects.keys().copied().collect();
        let odd = self.behaviour.odd(&Question {
            since,
            guard_ms: GUARD_MS,
            services: &services,
            callees: &ground.callees,
            renamed: &renamed,
            troubles: &ground.troubles,
        });
        for (service, events) in odd {
            let subject = &mut case.subjects[subjects[&service]];
            for event in events.iter().take(SIGNS_MAX) {
                let text = text(event.event);
                subject.add_sign(sign(event, text.as_deref()));
            }
        }
        let gaps = self.gaps.odd(since, GUARD_MS, &services, &ground.troubles);
        for (service, gap) in gaps {
            let known = &mut case.subjects[subjects[&service]].traces.gap;
            if known.is_none_or(|known| known.z < gap.z) {
                *known = Some(gap);
            }
        }
    }

    fn session(&mut self, service: ServiceIx, at: Time) -> &mut Session {
        let Ground {
            sessions,
            sessions_begun,
            ..
        } = &mut self.ground;
        let session = sessions.entry(service).or_insert_with(|| Session {
            key: 0,
            began: at,
            last: at,
            lines: SESSION_LINES_MAX,
            said: Said::default(),
        });
        let goes_on = at.since(session.last) <= SESSION_GAP_MS
            && at.since(session.began) <= SESSION_MS_MAX
            && session.lines < SESSION_LINES_MAX;
        if !goes_on {
            *sessions_begun += 1;
            // Seeded away from trace ids, which come from elsewhere.
            session.key = xxh3_64_with_seed(&sessions_begun.to_le_bytes(), service as u64 + 1);
            session.began = at;
            session.lines = 0;
            session.said.clear();
        }
        session.last = at;
        session.lines += 1;
        session
    }

    fn note(&mut self, seen: Seen, event: Event, meaning: impl FnOnce() -> Meaning) {
        let ground = &mut self.ground;
        if !ground.meanings.contains_key(&event.id) {
            if ground.meanings.len() >= EVENTS_MAX {
                ground.events_dropped += 1;
                return;
            }
            ground.meanings.insert(event.id, meaning());
        }
        let Seen { trace, service, at } = seen;
        let troubles = &ground.troubles;
        if self.behaviour.observe(trace, service, event, at, troubles) {
            ground.sampling.begin();
        }
    }
}

/// Sets calls apart from operations.
const CALLS: u64 = 0x63_61_6c_6c;

fn log_event(template: TemplateId, place: u64) -> EventId {
    xxh3_64_with_seed(&template.0.to_le_bytes(), place.wrapping_add(1))
}

fn sign(odd: &OddEvent, text: Option<&str>) -> LogSign {
    LogSign {
        kind: odd.kind,
        change: odd.change,
        error: odd.error,
        template: text.unwrap_or("?").into(),
        count: odd.count,
        requests: Some(odd.of),
        since: odd.since,
        score: odd.score,
    }
}

/// An operation's name without what differs from request to request: parts with a digit become `*`.
fn shape_of(operation: &str) -> Cow<'_, str> {
    let end = operation.char_indices().nth(OPERATION_CHARS_MAX);
    let operation = end.map_or(operation, |(end, _)| &operation[..end]);
    if !operation.bytes().any(|byte| byte.is_ascii_digit()) {
        return Cow::Borrowed(operation);
    }
    let is_inside = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    let mut shape = String::with_capacity(operation.len());
    let mut rest = operation;
    while let Some(first) = rest.chars().next() {
        let len = match rest.find(|c| !is_inside(c)) {
            Some(0) => first.len_utf8(),
            Some(len) => len,
            None => rest.len(),
        };
        let (part, after) = rest.split_at(len);
        let varies = part.bytes().any(|byte| byte.is_ascii_digit());
        shape.push_str(if varies { "*" } else { part });
        rest = after;
    }
    Cow::Owned(shape)
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
    use crate::model::EntityId;

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
    fn names_of_operations_are_told_without_what_varies() {
        let cases = [
            ("GET /", "GET /"),
            ("GET /users/4711/cart", "GET /users/*/cart"),
            ("GET /o/0c9e7f2a-11d4-4b1e", "GET /o/*"),
            ("SELECT käse2", "SELECT *"),
            ("", ""),
        ];
        for (name, shape) in cases {
            assert_eq!(shape_of(name), shape, "{name}");
        }
        let long = "ä".repeat(500);
        assert_eq!(shape_of(&long).chars().count(), OPERATION_CHARS_MAX);
    }

    struct Words;

    impl Vocabulary for Words {
        fn current(&self, template: TemplateId) -> TemplateId {
            // The fourth was merged into the third.
            TemplateId(template.0.min(3))
        }

        fn template(&self, template: TemplateId) -> Option<&str> {
            let texts = ["", "order", "paid", "no card"];
            texts.get(template.0 as usize).copied()
        }

        fn service(&self, service: ServiceIx) -> &str {
            ["web", "pay"][service]
        }
    }

    const WEB: ServiceIx = 0;
    const PAY: ServiceIx = 1;

    fn request(witness: &mut Witness, trace: u64, at: Time, said: (u64, &str, bool)) {
        let web = witness.look(trace, WEB, at).unwrap();
        witness.line(web, TemplateId(1), "order", false);
        witness.call(web, PAY, 2_000, 1_000);
        let pay = witness.look(trace, PAY, at).unwrap();
        let (template, text, error) = said;
        witness.line(pay, TemplateId(template), text, error);
    }

    const PAID: (u64, &str, bool) = (2, "paid", false);

    /// Sixty requests that are paid, then thirty that fail from `since` on.
    fn failing(witness: &mut Witness, since: i64) {
        for trace in 0..60 {
            request(witness, trace, Time::from_secs(trace as i64), PAID);
        }
        for trace in 60..90 {
            let at = Time::from_secs(since + trace as i64 - 60);
            request(witness, trace, at, (3 + trace % 2, "no card", true));
        }
    }

    fn told(witness: &Witness, since: Time) -> [Vec<(String, u64)>; 2] {
        let mut case = Case::new(since.plus_ms(60_000), since, 1);
        let subjects = [WEB, PAY].map(|ix| (ix, case.subject(&EntityId::parse(Words.service(ix)))));
        witness.testify(&mut case, since, &subjects.into(), &Words);
        [WEB, PAY].map(|ix| {
            let signs = case.subjects[ix].logs.iter();
            signs
                .map(|sign| (sign.template.to_string(), sign.count))
                .collect()
        })
    }

    #[test]
    fn a_new_error_and_a_missing_line_are_told() {
        let mut witness = Witness::default();
        failing(&mut witness, 300);
        witness.advance(Time::from_secs(400));
        let [web, pay] = told(&witness, Time::from_secs(300));
        let expected = [("no card".to_owned(), 30), ("paid".to_owned(), 0)];
        assert_eq!((web, pay), (vec![], expected.to_vec()));
    }

    #[test]
    fn a_trouble_teaches_nobody_what_is_normal() {
        let mut witness = Witness::default();
        failing(&mut witness, 300);
        let mut quiet = witness.clone();
        let (from, to) = (Time::from_secs(300), Time::from_secs(400));
        for service in [WEB, PAY] {
            witness.trouble(service, from, to);
        }
        // An hour later the same begins again.
        for seconds in 3_600..3_660 {
            for witness in [&mut witness, &mut quiet] {
                let at = Time::from_secs(seconds);
                witness.advance(at);
                request(witness, seconds as u64, at, (3, "no card", true));
            }
        }
        let since = Time::from_secs(3_600);
        let score = |witness: &Witness| {
            let [_, pay] = told(witness, since);
            pay.iter().any(|(template, _)| template == "no card")
        };
        assert!(
            score(&witness),
            "it is new again: {:?}",
            told(&witness, since)
        );
        let known = told(&quiet, since);
        assert!(known[1].is_empty() || known[1] != told(&witness, since)[1]);
    }

    #[test]
    fn a_checkpoint_keeps_everything() {
        let mut witness = Witness::default();
        failing(&mut witness, 300);
        witness.advance(Time::from_secs(400));
        let mut back = Witness::default();
        for number in 0.. {
            let Some(part) = witness.saved_part(number) else {
                break;
            };
            let bytes = postcard::to_allocvec(&part).unwrap();
            back.restore(postcard::from_bytes(&bytes).unwrap());
        }
        let since = Time::from_secs(300);
        assert_eq!(told(&back, since), told(&witness, since));
        assert_ne!(told(&back, since)[1], []);
    }

    #[test]
    fn services_that_fell_silent_are_forgotten_with_their_names() {
        let mut witness = Witness::default();
        failing(&mut witness, 300);
        witness.advance(Time::from_secs(2_000));
        witness.retire(Time::from_secs(10_000));
        let mut marked = 0;
        witness.services(|_| marked += 1);
        assert_eq!((marked, witness.ground.meanings.len()), (0, 0));
    }
}

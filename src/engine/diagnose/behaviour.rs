//! What one request normally leaves behind in each service, and which of it is new or missing.
//!
//! Spans and log lines of one trace in one service form an *entry*: a set of events (operation names, log
//! templates). The share of entries that hold an event is compared with quiet history. Streaming and
//! bounded; must never look past the lines it was given, nor learn from an incident (see [`Troubles`]).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::case::{EventKind, LogChange};
use super::troubles::Troubles;
use crate::model::Time;

/// An event's identity: a template or an operation name, as numbered by the caller.
pub type EventId = u64;

/// A service's identity: its position in a list of the caller.
pub type ServiceIx = usize;

/// Entries kept one by one; older ones are folded into counts early when there are more.
pub const RECENT_ENTRIES_MAX: usize = 16_384;
/// Entries being put together at once; the oldest is closed early when there are more.
const OPEN_ENTRIES_MAX: usize = 4_096;
/// Events kept of one entry.
const EVENTS_PER_ENTRY_MAX: usize = 256;
/// Distinct events counted per service; further ones are not learned, and none is called new any more.
const EVENTS_PER_SERVICE_MAX: usize = 1_024;
/// An entry without news for this long is complete.
const ENTRY_IDLE_MS: i64 = 30_000;
/// Entries older than this are only counts, in milliseconds.
pub const RECENT_MS: i64 = 15 * 60_000;
/// At this many entries a service's counts are halved, so that it forgets.
const HISTORY_ENTRIES_MAX: f64 = 100_000.0;
/// Share by which the mix of work sways presence: adds (this · 2p(1−p))² to the variance.
const MIX_SWAY: f64 = 0.6;
/// An entry whose dependency shows as much counts this much: it only passes trouble on.
const PASSED_ON_WEIGHT: f64 = 0.2;
/// A dependency shows "as much" from this share on.
const PASSED_ON_SHARE: f64 = 0.65;
/// An error never seen before says more than its count.
const NEW_ERROR_WEIGHT: f64 = 1.5;
/// An error new here but long known in other services is mostly passed on.
const KNOWN_ELSEWHERE_WEIGHT: f64 = 0.5;
/// Deviations below this are not reported.
const REPORT_Z_MIN: f64 = 1.0;
/// Entries with background errors are set aside only while at least this share remains.
const CLEAN_SHARE_MIN: f64 = 0.3;

/// An event whose presence changed.
#[derive(Clone, Debug, PartialEq)]
pub struct OddEvent {
    /// The event.
    pub event: EventId,
    /// What it is.
    pub kind: EventKind,
    /// What changed.
    pub change: LogChange,
    /// Whether it is an error.
    pub error: bool,
    /// Entries in the window that hold it.
    pub count: u64,
    /// Entries in the window that hold any event of its kind.
    pub of: u64,
    /// First of them.
    pub since: Option<Time>,
    /// Standard deviations, after weighting and after crediting dependencies.
    pub score: f64,
}

/// An event as it is observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Which.
    pub id: EventId,
    /// Where from.
    pub kind: EventKind,
    /// Whether it speaks of an error.
    pub error: bool,
}

/// One request in one service.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    trace: u64,
    service: ServiceIx,
    at: Time,
    last: Time,
    /// By id, each once.
    events: Vec<Event>,
}

/// In how many entries of a service its events were.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Counts {
    /// Entries that hold any event of the kind: spans, logs.
    totals: [Tally; 2],
    events: BTreeMap<EventId, Seen>,
    /// Time of the latest entry.
    last: Time,
}

/// A number of entries, and how many of them hold no error.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Tally {
    entries: f64,
    clean: f64,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Seen {
    kind: EventKind,
    error: bool,
    tally: Tally,
}

impl Tally {
    fn add(&mut self, clean: bool) {
        self.entries += 1.0;
        self.clean += f64::from(u8::from(clean));
    }

    fn halve(&mut self) {
        self.entries /= 2.0;
        self.clean /= 2.0;
    }
}

/// The entries that are kept one by one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Entries {
    #[serde(with = "indexmap::map::serde_seq")]
    open: IndexMap<(u64, ServiceIx), Entry>,
    /// In order of their begin.
    recent: VecDeque<Entry>,
    folded_early: u64,
}

/// What older entries held, by service.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct History {
    of: BTreeMap<ServiceIx, Counts>,
}

/// The streaming memory.
#[derive(Clone, Debug, Default)]
pub struct Behaviour {
    pub(super) entries: Entries,
    pub(super) history: History,
}

/// What is asked of the memory.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Begin of the window that is compared.
    pub since: Time,
    /// The time before it that is neither normal nor odd, in milliseconds.
    pub guard_ms: i64,
    /// Whose events.
    pub services: &'a BTreeSet<ServiceIx>,
    /// Each service's dependencies.
    pub callees: &'a BTreeMap<ServiceIx, BTreeSet<ServiceIx>>,
    /// What events are called by now that had another name (templates merge).
    pub renamed: &'a BTreeMap<EventId, EventId>,
    /// When nothing is normal.
    pub troubles: &'a Troubles,
}

impl Behaviour {
    /// Notes that `trace` left `event` in `service`; whether an entry began with it.
    pub fn observe(
        &mut self,
        trace: u64,
        service: ServiceIx,
        event: Event,
        at: Time,
        troubles: &Troubles,
    ) -> bool {
        let mut began = false;
        let open = &mut self.entries.open;
        let entry = open.entry((trace, service)).or_insert_with(|| {
            began = true;
            Entry {
                trace,
                service,
                at,
                last: at,
                events: Vec::new(),
            }
        });
        entry.at = entry.at.min(at);
        entry.last = entry.last.max(at);
        entry.put(event);
        if open.len() > OPEN_ENTRIES_MAX
            && let Some((_, entry)) = open.shift_remove_index(0)
        {
            self.close(entry, troubles);
        }
        began
    }

    /// Closes entries that are complete at `now` and folds old ones into counts, but for those of a trouble.
    pub fn advance(&mut self, now: Time, troubles: &Troubles) {
        let done = now.plus_ms(-ENTRY_IDLE_MS);
        let is_done = |entry: &Entry| entry.last <= done;
        if self.entries.open.values().any(is_done) {
            let open = std::mem::take(&mut self.entries.open);
            for (key, entry) in open {
                if is_done(&entry) {
                    self.close(entry, troubles);
                } else {
                    self.entries.open.insert(key, entry);
                }
            }
        }
        let old = now.plus_ms(-RECENT_MS);
        while (self.entries.recent.front()).is_some_and(|entry| entry.at < old) {
            self.fold_oldest(troubles);
        }
    }

    /// Entries that were folded before their time because there were too many.
    pub fn folded_early(&self) -> u64 {
        self.entries.folded_early
    }

    /// Forgets services that left nothing behind since `since`.
    pub fn retire(&mut self, since: Time) {
        self.history.of.retain(|_, counts| counts.last >= since);
    }

    /// Tells every event and every service that is remembered.
    pub fn mentioned(&self, mut service: impl FnMut(ServiceIx), mut event: impl FnMut(EventId)) {
        let entries = self.entries.recent.iter().chain(self.entries.open.values());
        for entry in entries {
            service(entry.service);
            entry.events.iter().for_each(|held| event(held.id));
        }
        for (ix, counts) in &self.history.of {
            service(*ix);
            counts.events.keys().for_each(|id| event(*id));
        }
    }

    /// Forgets entries of a time that never was, after `now`.
    pub fn set_back(&mut self, now: Time) {
        self.entries.open.retain(|_, entry| entry.last <= now);
        self.entries.recent.retain(|entry| entry.at <= now);
        for counts in self.history.of.values_mut() {
            counts.last = counts.last.min(now);
        }
    }

    /// The events of the services asked about whose presence since `since` differs from before `since − guard_ms`.
    pub fn odd(&self, asked: &Question<'_>) -> BTreeMap<ServiceIx, Vec<OddEvent>> {
        let quiet_until = asked.since.plus_ms(-asked.guard_ms);
        let mut history: BTreeMap<ServiceIx, Counts> = asked
            .services
            .iter()
            .map(|service| {
                let known = self.history.of.get(service);
                let known = known.map(|counts| counts.renamed(asked.renamed));
                (*service, known.unwrap_or_default())
            })
            .collect();
        let mut window: Vec<Cow<'_, Entry>> = Vec::new();
        for entry in (self.entries.recent.iter()).chain(self.entries.open.values()) {
            let Some(counts) = history.get_mut(&entry.service) else {
                continue;
            };
            if entry.at >= asked.since {
                window.push(entry.renamed(asked.renamed));
            } else if entry.at < quiet_until && !asked.troubles.hold(entry.service, entry.at) {
                counts.add(&entry.renamed(asked.renamed), None);
            }
        }
        let mut now: BTreeMap<ServiceIx, Counts> = BTreeMap::new();
        for entry in &window {
            let known = history.get(&entry.service);
            now.entry(entry.service).or_default().add(entry, known);
        }
        let errors: BTreeSet<EventId> = history
            .values()
            .flat_map(|counts| &counts.events)
            .filter(|(_, seen)| seen.error)
            .map(|(event, _)| *event)
            .collect();
        let elsewhere = |event: EventId| errors.contains(&event);
        let odd: BTreeMap<ServiceIx, BTreeMap<EventId, Odd>> = now
            .iter()
            .filter_map(|(service, now)| Some((*service, now, history.get(service)?)))
            .map(|(service, now, history)| (service, compare(now, history, &elsewhere)))
            .collect();
        report(&window, odd, &now, asked.callees)
    }

    fn close(&mut self, entry: Entry, troubles: &Troubles) {
        // Entries close out of order by at most the idle time; keep them sorted by start.
        let recent = &mut self.entries.recent;
        let at = recent.partition_point(|other| other.at <= entry.at);
        recent.insert(at, entry);
        if recent.len() > RECENT_ENTRIES_MAX {
            self.entries.folded_early += 1;
            self.fold_oldest(troubles);
        }
    }

    fn fold_oldest(&mut self, troubles: &Troubles) {
        let Some(entry) = self.entries.recent.pop_front() else {
            return;
        };
        if !troubles.hold(entry.service, entry.at) {
            let counts = self.history.of.entry(entry.service).or_default();
            counts.last = counts.last.max(entry.at);
            counts.add(&entry, None);
        }
    }
}

impl Entry {
    /// Adds an event, unless it is there; at most so many.
    fn put(&mut self, event: Event) {
        match self.events.binary_search_by_key(&event.id, |held| held.id) {
            Ok(at) => self.events[at].error |= event.error,
            Err(at) if self.events.len() < EVENTS_PER_ENTRY_MAX => self.events.insert(at, event),
            Err(_) => {}
        }
    }

    /// The entry with its events as they are called by now.
    fn renamed(&self, renamed: &BTreeMap<EventId, EventId>) -> Cow<'_, Self> {
        if renamed.is_empty() || !self.events.iter().any(|e| renamed.contains_key(&e.id)) {
            return Cow::Borrowed(self);
        }
        let mut entry = Self {
            events: Vec::with_capacity(self.events.len()),
            ..*self
        };
        for event in &self.events {
            let id = renamed.get(&event.id).copied().unwrap_or(event.id);
            entry.put(Event { id, ..*event });
        }
        Cow::Owned(entry)
    }

    fn holds(&self, id: EventId) -> bool {
        self.events
            .binary_search_by_key(&id, |event| event.id)
            .is_ok()
    }

    fn has(&self, kind: EventKind) -> bool {
        self.events.iter().any(|event| event.kind == kind)
    }
}

impl Counts {
    /// Adds an entry; an error sets it aside as not clean: in the incident's window only one `known` from before.
    fn add(&mut self, entry: &Entry, known: Option<&Self>) {
        let background = |id: &EventId| known.is_none_or(|known| known.events.contains_key(id));
        let clean = !entry
            .events
            .iter()
            .any(|event| event.error && background(&event.id));
        for kind in [EventKind::Span, EventKind::Log] {
            if entry.has(kind) {
                self.totals[kind as usize].add(clean);
            }
        }
        for event in &entry.events {
            if self.is_full() && !self.events.contains_key(&event.id) {
                continue;
            }
            let fresh = Seen {
                kind: event.kind,
                error: false,
                tally: Tally::default(),
            };
            let seen = self.events.entry(event.id).or_insert(fresh);
            seen.error |= event.error;
            seen.tally.add(clean);
        }
        if self
            .totals
            .iter()
            .any(|total| total.entries > HISTORY_ENTRIES_MAX)
        {
            self.halve();
        }
    }

    fn halve(&mut self) {
        self.totals.iter_mut().for_each(Tally::halve);
        self.events.values_mut().for_each(|seen| seen.tally.halve());
        self.events.retain(|_, seen| seen.tally.entries >= 0.5);
    }

    /// The counts with events as they are called by now.
    fn renamed(&self, renamed: &BTreeMap<EventId, EventId>) -> Self {
        if renamed.is_empty() {
            return self.clone();
        }
        let mut events: BTreeMap<EventId, Seen> = BTreeMap::new();
        for (id, seen) in &self.events {
            let total = self.totals[seen.kind as usize];
            events
                .entry(renamed.get(id).copied().unwrap_or(*id))
                .and_modify(|sum| {
                    sum.error |= seen.error;
                    sum.tally.entries = (sum.tally.entries + seen.tally.entries).min(total.entries);
                    sum.tally.clean = (sum.tally.clean + seen.tally.clean).min(total.clean);
                })
                .or_insert(*seen);
        }
        Self {
            totals: self.totals,
            events,
            last: self.last,
        }
    }

    /// Whether an event that it does not know may still be an old one.
    fn is_full(&self) -> bool {
        self.events.len() >= EVENTS_PER_SERVICE_MAX
    }
}

/// An odd event before dependencies are credited.
struct Odd {
    kind: EventKind,
    change: LogChange,
    error: bool,
    z: f64,
}

/// Presence now against history, event by event: two-proportion z with extra variance for the mix of work.
fn compare(
    now: &Counts,
    history: &Counts,
    elsewhere: &impl Fn(EventId) -> bool,
) -> BTreeMap<EventId, Odd> {
    let mut odd = BTreeMap::new();
    for event in now.events.keys().chain(history.events.keys()) {
        let (after, before) = (now.events.get(event), history.events.get(event));
        let Some(seen) = after.or(before) else {
            continue;
        };
        if before.is_none() && history.is_full() {
            continue;
        }
        let error = after.is_some_and(|seen| seen.error) || before.is_some_and(|seen| seen.error);
        let (now, history) = (
            now.totals[seen.kind as usize],
            history.totals[seen.kind as usize],
        );
        // Where errors are the rule, setting them aside would leave nothing to compare.
        let all = error || history.clean < CLEAN_SHARE_MIN * history.entries;
        let count = |tally: Tally| if all { tally.entries } else { tally.clean };
        let (n1, n0) = (count(now), count(history));
        if n1 < 1.0 || n0 < 1.0 {
            continue;
        }
        let k1 = after.map_or(0.0, |seen| count(seen.tally));
        let k0 = before.map_or(0.0, |seen| count(seen.tally));
        let (p1, p0) = (k1 / n1, k0 / n0);
        let pooled = (k1 + k0 + 0.5) / (n1 + n0 + 1.0);
        let usual = (k0 + 0.5) / (n0 + 1.0);
        let sway = MIX_SWAY * 2.0 * usual * (1.0 - usual);
        let variance = pooled * (1.0 - pooled) * (1.0 / n1 + 1.0 / n0) + sway * sway;
        let z = (p1 - p0) / variance.sqrt();
        let (change, weight) = match (z > 0.0, error) {
            (true, true) if k0 == 0.0 && elsewhere(*event) => {
                (LogChange::New, KNOWN_ELSEWHERE_WEIGHT)
            }
            (true, true) if k0 == 0.0 => (LogChange::New, NEW_ERROR_WEIGHT),
            (true, true) => (LogChange::More, 1.0),
            // A new ordinary event may be a new feature in use; a common one that grows is mix.
            (true, false) => (
                if k0 == 0.0 {
                    LogChange::New
                } else {
                    LogChange::More
                },
                (1.0 - p0).powi(4) / 2.0,
            ),
            (false, false) => (LogChange::Gone, 1.0),
            (false, true) => continue,
        };
        if z.abs() * weight >= REPORT_Z_MIN {
            odd.insert(
                *event,
                Odd {
                    kind: seen.kind,
                    change,
                    error,
                    z: z.abs() * weight,
                },
            );
        }
    }
    odd
}

/// Credits dependencies: within one trace, an entry whose dependency is as odd passes trouble on.
fn report(
    window: &[Cow<'_, Entry>],
    odd: BTreeMap<ServiceIx, BTreeMap<EventId, Odd>>,
    totals: &BTreeMap<ServiceIx, Counts>,
    callees: &BTreeMap<ServiceIx, BTreeSet<ServiceIx>>,
) -> BTreeMap<ServiceIx, Vec<OddEvent>> {
    let shows = |entry: &Entry, event: EventId, odd: &Odd| {
        entry.has(odd.kind) && entry.holds(event) != (odd.change == LogChange::Gone)
    };
    let strength: Vec<f64> = window
        .iter()
        .map(|entry| {
            let odd = odd.get(&entry.service).into_iter().flatten();
            odd.filter(|(event, odd)| shows(entry, **event, odd))
                .map(|(_, odd)| odd.z)
                .fold(0.0, f64::max)
        })
        .collect();
    let mut by_trace: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (at, entry) in window.iter().enumerate() {
        by_trace.entry(entry.trace).or_default().push(at);
    }
    let mut below = Below::of(callees);
    let weight: Vec<f64> = window
        .iter()
        .zip(&strength)
        .map(|(entry, own)| {
            let mut others = by_trace[&entry.trace].iter();
            let deeper = *own > 0.0
                && others.any(|other| {
                    strength[*other] >= PASSED_ON_SHARE * own
                        && below.holds(entry.service, window[*other].service)
                });
            if deeper { PASSED_ON_WEIGHT } else { 1.0 }
        })
        .collect();
    let mut of_service: BTreeMap<ServiceIx, Vec<(&Entry, f64)>> = BTreeMap::new();
    for (entry, weight) in window.iter().zip(weight) {
        let entries = of_service.entry(entry.service).or_default();
        entries.push((entry, weight));
    }
    odd.into_iter()
        .map(|(service, odd)| {
            let entries = of_service.get(&service).map_or(&[][..], Vec::as_slice);
            let totals = totals.get(&service).map(|counts| counts.totals);
            let mut events: Vec<OddEvent> = odd
                .iter()
                .map(|(event, odd)| {
                    let mut weights = Vec::with_capacity(entries.len());
                    for (entry, weight) in entries {
                        if shows(entry, *event, odd) {
                            weights.push(*weight);
                        }
                    }
                    let carried = match weights.len() {
                        0 => 1.0,
                        carriers => weights.iter().sum::<f64>() / carriers as f64,
                    };
                    let holders = || entries.iter().filter(|(entry, _)| entry.holds(*event));
                    OddEvent {
                        event: *event,
                        kind: odd.kind,
                        change: odd.change,
                        error: odd.error,
                        count: holders().count() as u64,
                        of: totals.map_or(0.0, |all| all[odd.kind as usize].entries) as u64,
                        since: holders().map(|(entry, _)| entry.at).min(),
                        score: odd.z * carried,
                    }
                })
                .collect();
            events.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.event.cmp(&b.event)));
            (service, events)
        })
        .collect()
}

/// All dependencies below services, direct or not, themselves excluded; found when they are asked for.
struct Below<'a> {
    callees: &'a BTreeMap<ServiceIx, BTreeSet<ServiceIx>>,
    known: BTreeMap<ServiceIx, BTreeSet<ServiceIx>>,
}

impl<'a> Below<'a> {
    fn of(callees: &'a BTreeMap<ServiceIx, BTreeSet<ServiceIx>>) -> Self {
        Self {
            callees,
            known: BTreeMap::new(),
        }
    }

    /// Whether `other` is below `service`.
    fn holds(&mut self, service: ServiceIx, other: ServiceIx) -> bool {
        let callees = self.callees;
        let below = self.known.entry(service).or_insert_with(|| {
            let mut seen = BTreeSet::new();
            let mut stack = vec![service];
            while let Some(at) = stack.pop() {
                for &to in callees.get(&at).into_iter().flatten() {
                    if to != service && seen.insert(to) {
                        stack.push(to);
                    }
                }
            }
            seen
        });
        below.contains(&other)
    }
}

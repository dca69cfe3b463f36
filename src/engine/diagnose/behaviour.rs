//! What one request normally leaves behind in each service, and which of it is new or missing.
//!
//! Spans and log lines of one trace in one service form an *entry*: a set of events (operation names, log
//! templates). The share of entries that hold an event is compared with quiet history. Streaming and
//! bounded; must never look past the lines it was given, nor learn from an incident (see [`Behaviour::forget`]).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use indexmap::IndexMap;

use super::case::LogChange;
use crate::model::Time;

/// An event's identity: a template or an operation name, as numbered by the caller.
pub type EventId = u64;

/// Position of a service in the caller's list.
pub type ServiceIx = usize;

/// Entries kept one by one; older ones are folded into counts early when there are more.
const RECENT_ENTRIES_MAX: usize = 65_536;
/// Entries being put together at once; the oldest is closed early when there are more.
const OPEN_ENTRIES_MAX: usize = 16_384;
/// Events kept of one entry.
const EVENTS_PER_ENTRY_MAX: usize = 256;
/// Distinct events counted per service; further ones are not learned.
const EVENTS_PER_SERVICE_MAX: usize = 4_096;
/// An entry without news for this long is complete.
const ENTRY_IDLE_MS: i64 = 30_000;
/// Entries older than this are only counts.
const RECENT_MS: i64 = 15 * 60_000;
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
    /// What changed.
    pub change: LogChange,
    /// Whether it is an error.
    pub error: bool,
    /// Entries in the window that hold it.
    pub count: u64,
    /// First of them.
    pub since: Option<Time>,
    /// Standard deviations, after weighting and after crediting dependencies.
    pub score: f64,
}

/// Where an event came from; each kind is compared among the entries that hold any of its kind, since
/// spans may be sampled and log lines may lack a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventKind {
    /// An operation or a called dependency.
    Span,
    /// A log template.
    Log,
}

/// An event as it is observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event {
    /// Which.
    pub id: EventId,
    /// Where from.
    pub kind: EventKind,
    /// Whether it speaks of an error.
    pub error: bool,
}

/// One request in one service.
#[derive(Clone, Debug)]
struct Entry {
    trace: u64,
    service: ServiceIx,
    at: Time,
    last: Time,
    /// Sorted, unique once closed.
    events: Vec<Event>,
}

#[derive(Clone, Debug, Default)]
struct Counts {
    /// Entries that hold any event of the kind: spans, logs.
    totals: [Tally; 2],
    events: BTreeMap<EventId, Seen>,
}

/// A number of entries, and how many of them hold no error.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    entries: f64,
    clean: f64,
}

#[derive(Clone, Copy, Debug)]
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

/// The streaming memory.
#[derive(Clone, Debug, Default)]
pub struct Behaviour {
    open: IndexMap<(u64, ServiceIx), Entry>,
    recent: VecDeque<Entry>,
    history: Vec<Counts>,
    folded_early: u64,
}

impl Behaviour {
    /// Notes that `trace` left `event` in `service`. Lines without a trace are their own trace.
    pub fn observe(&mut self, trace: u64, service: ServiceIx, event: Event, at: Time) {
        let entry = self.open.entry((trace, service)).or_insert_with(|| Entry {
            trace,
            service,
            at,
            last: at,
            events: Vec::new(),
        });
        entry.at = entry.at.min(at);
        entry.last = entry.last.max(at);
        if entry.events.len() < EVENTS_PER_ENTRY_MAX {
            entry.events.push(event);
        }
        if self.open.len() > OPEN_ENTRIES_MAX
            && let Some((_, entry)) = self.open.shift_remove_index(0)
        {
            self.close(entry);
        }
    }

    /// Closes entries that are complete at `now` and folds old ones into counts.
    pub fn advance(&mut self, now: Time) {
        let done = now.plus_ms(-ENTRY_IDLE_MS);
        let mut still = IndexMap::with_capacity(self.open.len());
        for (key, entry) in std::mem::take(&mut self.open) {
            if entry.last <= done {
                self.close(entry);
            } else {
                still.insert(key, entry);
            }
        }
        self.open = still;
        let old = now.plus_ms(-RECENT_MS);
        while self.recent.front().is_some_and(|entry| entry.at < old) {
            self.fold_oldest();
        }
    }

    /// Drops what was seen since `since`: an incident must not teach what is normal.
    pub fn forget(&mut self, since: Time) {
        self.open.retain(|_, entry| entry.at < since);
        self.recent.retain(|entry| entry.at < since);
    }

    /// Entries that were folded before their time because there were too many.
    pub fn folded_early(&self) -> u64 {
        self.folded_early
    }

    /// The events of each service whose presence since `since` differs from before `since − guard_ms`.
    ///
    /// `callees` lists each service's dependencies; `resolve` maps an event to what it is called by now
    /// (templates merge).
    pub fn odd(
        &self,
        since: Time,
        guard_ms: i64,
        callees: &[Vec<ServiceIx>],
        resolve: impl Fn(EventId) -> EventId,
    ) -> Vec<Vec<OddEvent>> {
        let quiet_until = since.plus_ms(-guard_ms);
        let mut history: Vec<Counts> = self
            .history
            .iter()
            .map(|counts| counts.resolved(&resolve))
            .collect();
        history.resize_with(callees.len().max(history.len()), Counts::default);
        let mut window: Vec<Entry> = Vec::new();
        for entry in self.recent.iter().chain(self.open.values()) {
            let mut entry = entry.clone();
            entry.close(&resolve);
            if entry.at >= since {
                window.push(entry);
            } else if entry.at < quiet_until
                && let Some(counts) = history.get_mut(entry.service)
            {
                counts.add(&entry, None);
            }
        }
        let mut now = vec![Counts::default(); history.len()];
        for entry in &window {
            if let (Some(now), Some(history)) =
                (now.get_mut(entry.service), history.get(entry.service))
            {
                now.add(entry, Some(history));
            }
        }
        let errors: BTreeSet<EventId> = history
            .iter()
            .flat_map(|counts| {
                counts
                    .events
                    .iter()
                    .filter(|(_, seen)| seen.error)
                    .map(|(event, _)| *event)
            })
            .collect();
        let elsewhere = |event: EventId| errors.contains(&event);
        let odd: Vec<BTreeMap<EventId, Odd>> = now
            .iter()
            .zip(&history)
            .map(|(now, history)| compare(now, history, &elsewhere))
            .collect();
        report(&window, odd, callees)
    }

    fn close(&mut self, mut entry: Entry) {
        entry.close(&|event| event);
        // Entries close out of order by at most the idle time; keep them sorted by start.
        let at = self.recent.partition_point(|other| other.at <= entry.at);
        self.recent.insert(at, entry);
        if self.recent.len() > RECENT_ENTRIES_MAX {
            self.folded_early += 1;
            self.fold_oldest();
        }
    }

    fn fold_oldest(&mut self) {
        let Some(entry) = self.recent.pop_front() else {
            return;
        };
        if self.history.len() <= entry.service {
            self.history.resize_with(entry.service + 1, Counts::default);
        }
        self.history[entry.service].add(&entry, None);
    }
}

impl Entry {
    fn close(&mut self, resolve: &impl Fn(EventId) -> EventId) {
        for event in &mut self.events {
            event.id = resolve(event.id);
        }
        self.events.sort_unstable();
        self.events.dedup_by_key(|event| event.id);
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
            if self.events.len() >= EVENTS_PER_SERVICE_MAX && !self.events.contains_key(&event.id) {
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

    fn resolved(&self, resolve: &impl Fn(EventId) -> EventId) -> Self {
        let mut events: BTreeMap<EventId, Seen> = BTreeMap::new();
        for (id, seen) in &self.events {
            let total = self.totals[seen.kind as usize];
            events
                .entry(resolve(*id))
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
        }
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
    window: &[Entry],
    odd: Vec<BTreeMap<EventId, Odd>>,
    callees: &[Vec<ServiceIx>],
) -> Vec<Vec<OddEvent>> {
    let shows = |entry: &Entry, event: EventId, odd: &Odd| {
        entry.has(odd.kind) && entry.holds(event) != (odd.change == LogChange::Gone)
    };
    let strength: Vec<f64> = window
        .iter()
        .map(|entry| {
            odd.get(entry.service).map_or(0.0, |odd| {
                odd.iter()
                    .filter(|(event, odd)| shows(entry, **event, odd))
                    .map(|(_, odd)| odd.z)
                    .fold(0.0, f64::max)
            })
        })
        .collect();
    let below = below(callees);
    let mut by_trace: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (at, entry) in window.iter().enumerate() {
        by_trace.entry(entry.trace).or_default().push(at);
    }
    let weight: Vec<f64> = window
        .iter()
        .zip(&strength)
        .map(|(entry, own)| {
            let deeper = by_trace[&entry.trace].iter().any(|other| {
                strength[*other] >= PASSED_ON_SHARE * own
                    && *own > 0.0
                    && below
                        .get(entry.service)
                        .is_some_and(|b| b.contains(&window[*other].service))
            });
            if deeper { PASSED_ON_WEIGHT } else { 1.0 }
        })
        .collect();
    odd.into_iter()
        .enumerate()
        .map(|(service, odd)| {
            let mut events: Vec<OddEvent> = odd
                .iter()
                .map(|(event, odd)| {
                    let mut carried = 0.0;
                    let mut carriers = 0.0;
                    let mut count = 0;
                    let mut since = None;
                    for (entry, weight) in window.iter().zip(&weight) {
                        if entry.service != service {
                            continue;
                        }
                        if entry.holds(*event) {
                            count += 1;
                            since = Some(since.map_or(entry.at, |at: Time| at.min(entry.at)));
                        }
                        if shows(entry, *event, odd) {
                            carried += weight;
                            carriers += 1.0;
                        }
                    }
                    let share = if carriers > 0.0 {
                        carried / carriers
                    } else {
                        1.0
                    };
                    OddEvent {
                        event: *event,
                        change: odd.change,
                        error: odd.error,
                        count,
                        since,
                        score: odd.z * share,
                    }
                })
                .collect();
            events.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.event.cmp(&b.event)));
            events
        })
        .collect()
}

/// All dependencies below each service, direct or not, itself excluded.
fn below(callees: &[Vec<ServiceIx>]) -> Vec<BTreeSet<ServiceIx>> {
    (0..callees.len())
        .map(|start| {
            let mut seen = BTreeSet::new();
            let mut stack = vec![start];
            while let Some(at) = stack.pop() {
                for &to in &callees[at] {
                    if to != start && seen.insert(to) {
                        stack.push(to);
                    }
                }
            }
            seen
        })
        .collect()
}

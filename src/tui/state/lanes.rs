//! What is shown of the timeline, and what is followed through the panes of an incident.

use std::collections::BTreeSet;

use crate::model::{EntityId, Lane, LogGroup, SafeText, Time, TimelineEntry, TraceId, TraceView};
use crate::tui::session::Bookmarks;

use super::Tab;

/// A value stands at the beginning of its step, so that what a change did may be told of this long before
/// it, in milliseconds.
const STEP_MS_MAX: i64 = 15_000;

/// What is shown of the timeline.
#[derive(Clone, Debug, Default)]
pub struct Lanes {
    /// Only this time; everything without it.
    pub range: Option<(Time, Time)>,
    /// Where a range was begun.
    pub from: Option<Time>,
    /// Only what belongs to this, if something is followed.
    pub along: Option<Along>,
    /// Entries marked: when, and what they say.
    pub bookmarks: Bookmarks,
    /// Bookmarks changed since they were kept.
    pub unsaved: bool,
}

/// A way along the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To what was before.
    Back,
    /// To what came after.
    On,
}

/// What is followed along the timeline, the logs and the traces of an incident.
#[derive(Clone, Debug)]
pub struct Along {
    /// Which.
    pub name: SafeText,
    /// What belongs to it.
    pub thread: Thread,
}

/// What ties entries, log lines and traces together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thread {
    /// A trace: what it went through, while it did.
    Trace {
        /// Which.
        id: TraceId,
        /// What it went through.
        entities: BTreeSet<EntityId>,
        /// When its first span began and its last one ended.
        during: (Time, Time),
    },
    /// A change: what it was made to, since.
    Change {
        /// What was changed.
        entity: EntityId,
        /// When.
        at: Time,
        /// The version it led to, by which others speak of it.
        version: Option<Box<str>>,
    },
    /// An entity.
    Entity(EntityId),
}

impl Along {
    /// The panes that show only what belongs to it.
    pub const TABS: [Tab; 3] = [Tab::Timeline, Tab::Logs, Tab::Traces];

    /// A trace, from its spans.
    pub fn trace(trace: &TraceView) -> Self {
        let last_us = trace
            .spans
            .iter()
            .map(|s| s.offset_us.saturating_add(s.duration_us));
        // A span of longer than an hour is a broken clock, and nothing is long enough to overflow.
        let lasted_ms = last_us.max().unwrap_or(0).div_ceil(1_000).min(3_600_000);
        let end = trace.start.plus_ms(lasted_ms.cast_signed());
        Self {
            name: SafeText::new(&format!("trace {:032x}", trace.trace.0)),
            thread: Thread::Trace {
                id: trace.trace,
                entities: trace.spans.iter().map(|s| s.entity.clone()).collect(),
                during: (trace.start, end),
            },
        }
    }

    /// The change that an entry tells of, if it tells of one.
    pub fn change(entry: &TimelineEntry) -> Option<Self> {
        let entity = entry
            .entity
            .clone()
            .filter(|_| entry.lane == Lane::Change)?;
        let version = entry.text.split_whitespace().find(|word| is_version(word));
        Some(Self {
            name: SafeText::new(&entry.text),
            thread: Thread::Change {
                entity,
                at: entry.at,
                version: version.map(|word| trimmed(word).into()),
            },
        })
    }

    /// An entity.
    pub fn entity(entity: EntityId) -> Self {
        Self {
            name: SafeText::new(entity.name()),
            thread: Thread::Entity(entity),
        }
    }

    /// What is shown of it, after its name.
    pub fn extent(&self) -> String {
        match &self.thread {
            Thread::Trace { entities, .. } if entities.len() > 1 => ", all it went through".into(),
            Thread::Change { entity, .. } => format!(", and {} since", entity.name()),
            Thread::Trace { .. } | Thread::Entity(_) => String::new(),
        }
    }

    /// Whether an entry of the timeline belongs to it.
    pub fn tells(&self, entry: &TimelineEntry) -> bool {
        let of = |entity| entry.entity.as_ref() == Some(entity);
        match &self.thread {
            Thread::Trace { entities, .. } => entities.iter().any(of),
            Thread::Change {
                entity,
                at,
                version,
            } => {
                let names =
                    |version: &str| entry.text.split_whitespace().any(|w| trimmed(w) == version);
                let since = of(entity) && entry.at >= at.plus_ms(-STEP_MS_MAX);
                since || version.as_deref().is_some_and(names)
            }
            Thread::Entity(entity) => of(entity),
        }
    }

    /// Whether a trace belongs to it.
    pub fn has_trace(&self, trace: &TraceView) -> bool {
        let through = |entity: &EntityId| trace.spans.iter().any(|span| span.entity == *entity);
        match &self.thread {
            Thread::Trace { id, .. } => trace.trace == *id,
            Thread::Change { entity, at, .. } => trace.start >= *at && through(entity),
            Thread::Entity(entity) => through(entity),
        }
    }

    /// Whether log lines belong to it: a trace has those that may be of its time.
    pub fn has_lines(&self, group: &LogGroup) -> bool {
        match &self.thread {
            Thread::Trace {
                entities, during, ..
            } => {
                let (from, to) = *during;
                entities.contains(&group.entity)
                    && group.first_seen <= to
                    && group.last_seen >= from
            }
            Thread::Change { entity, at, .. } => group.entity == *entity && group.last_seen >= *at,
            Thread::Entity(entity) => group.entity == *entity,
        }
    }
}

/// Whether a word reads as a version, as `v812` and `1.4.2` do.
fn is_version(word: &str) -> bool {
    let bare = trimmed(word);
    let digits = bare.strip_prefix('v').unwrap_or(bare);
    digits.starts_with(|c: char| c.is_ascii_digit()) && (digits != bare || digits.contains('.'))
}

/// A word without what sentences put around it.
fn trimmed(word: &str) -> &str {
    word.trim_matches(|c: char| !c.is_alphanumeric())
}

//! One whole trace as a tree: self time, critical path, and the rows of the waterfall.
//!
//! Span starts are known to the millisecond only; arithmetic is in microseconds and never negative.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::engine::entities::EntityIx;
use crate::model::{EntityId, SpanId, SpanKind, SpanRow, Time};

/// Deepest nesting followed; what lies deeper is shown at this depth.
const DEPTH_MAX: u32 = 64;

/// What is kept of a span until its trace is whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Part {
    /// Its id.
    pub id: SpanId,
    /// The span that caused it.
    pub parent: Option<SpanId>,
    /// Who emitted it.
    pub entity: EntityIx,
    /// The other side, if attributes name one.
    pub peer: Option<EntityIx>,
    /// Operation, untrusted.
    pub name: Arc<str>,
    /// Which side of a call.
    pub kind: SpanKind,
    /// Start.
    pub start: Time,
    /// Duration, in microseconds.
    pub duration_us: u64,
    /// Whether it failed.
    pub error: bool,
    /// How many spans like it were made for each that was kept, if anybody says.
    pub weight: Option<f32>,
}

/// A trace whose spans know their children.
#[derive(Debug, Serialize, Deserialize)]
pub struct Tree {
    /// The spans, in order of start.
    pub parts: Vec<Part>,
    /// Children of each span, in order of start.
    pub children: Vec<Vec<u32>>,
    /// The parent of each span, if it is here.
    pub parents: Vec<Option<u32>>,
    /// Spans without a parent here, in order of start.
    pub roots: Vec<u32>,
}

impl Part {
    fn start_us(&self) -> u64 {
        self.start.ms().max(0) as u64 * 1_000
    }

    fn end_us(&self) -> u64 {
        self.start_us().saturating_add(self.duration_us)
    }

    /// Whether it makes a request rather than serving one.
    pub fn is_outgoing(&self) -> bool {
        matches!(self.kind, SpanKind::Client | SpanKind::Producer)
    }
}

impl Tree {
    /// Of the spans of one trace, in any order; repeats of a span id are dropped.
    pub fn new(mut parts: Vec<Part>) -> Self {
        parts.sort_by(|a, b| {
            a.start
                .cmp(&b.start)
                .then(b.duration_us.cmp(&a.duration_us))
                .then(a.id.cmp(&b.id))
        });
        let mut index: FxHashMap<SpanId, u32> = FxHashMap::default();
        let mut kept = Vec::with_capacity(parts.len());
        for part in parts {
            if let Entry::Vacant(free) = index.entry(part.id) {
                free.insert(kept.len() as u32);
                kept.push(part);
            }
        }
        let mut tree = Self {
            children: vec![Vec::new(); kept.len()],
            parents: vec![None; kept.len()],
            roots: Vec::new(),
            parts: kept,
        };
        for at in 0..tree.parts.len() as u32 {
            let parent = tree.parts[at as usize]
                .parent
                .and_then(|parent| index.get(&parent).copied())
                .filter(|parent| *parent != at);
            tree.parents[at as usize] = parent;
            match parent {
                Some(parent) => tree.children[parent as usize].push(at),
                None => tree.roots.push(at),
            }
        }
        tree
    }

    /// Time of a span not spent in its children, in microseconds.
    pub fn self_us(&self, at: u32) -> u64 {
        let part = &self.parts[at as usize];
        let (begin, end) = (part.start_us(), part.end_us());
        let mut covered = 0;
        let mut reached = begin;
        let mut spans: Vec<(u64, u64)> = self.children[at as usize]
            .iter()
            .map(|child| &self.parts[*child as usize])
            .map(|child| (child.start_us().max(begin), child.end_us().min(end)))
            .collect();
        spans.sort_unstable();
        for (from, to) in spans {
            let from = from.max(reached);
            if to > from {
                covered += to - from;
                reached = to;
            }
        }
        part.duration_us.saturating_sub(covered)
    }

    /// Whether a span failed without a failing child.
    pub fn fails_by_itself(&self, at: u32) -> bool {
        self.parts[at as usize].error
            && !self.children[at as usize]
                .iter()
                .any(|child| self.parts[*child as usize].error)
    }

    /// How many traces like this one were made for each that was kept, as the first span says that says it.
    pub fn weight(&self) -> Option<f32> {
        self.parts.iter().find_map(|part| part.weight)
    }

    /// Duration of the longest root, in microseconds.
    pub fn duration_us(&self) -> u64 {
        self.roots
            .iter()
            .map(|root| self.parts[*root as usize].duration_us)
            .max()
            .unwrap_or(0)
    }

    /// Start of the first span.
    pub fn start(&self) -> Time {
        self.parts.first().map_or(Time::ZERO, |part| part.start)
    }

    /// The rows of the waterfall, depth first.
    pub fn rows(&self, entity: impl Fn(EntityIx) -> EntityId) -> Vec<SpanRow> {
        let begin_us = self.parts.first().map_or(0, Part::start_us);
        let critical = self.critical();
        let mut rows = Vec::with_capacity(self.parts.len());
        let mut seen = vec![false; self.parts.len()];
        let mut stack: Vec<(u32, u32)> = self.roots.iter().rev().map(|root| (*root, 0)).collect();
        while let Some((at, depth)) = stack.pop() {
            if std::mem::replace(&mut seen[at as usize], true) {
                continue;
            }
            let part = &self.parts[at as usize];
            rows.push(SpanRow {
                entity: entity(part.entity),
                name: part.name.as_ref().into(),
                kind: part.kind,
                depth,
                offset_us: part.start_us() - begin_us,
                duration_us: part.duration_us,
                self_us: self.self_us(at),
                error: part.error,
                critical: critical[at as usize],
            });
            let deeper = (depth + 1).min(DEPTH_MAX);
            stack.extend(
                self.children[at as usize]
                    .iter()
                    .rev()
                    .map(|child| (*child, deeper)),
            );
        }
        rows
    }

    /// Spans without which the trace would have ended earlier: from each root, the child that ends
    /// last, then the one that ended last before that one began, and so on.
    fn critical(&self) -> Vec<bool> {
        let mut critical = vec![false; self.parts.len()];
        let longest = self.roots.iter().copied().max_by_key(|root| {
            (
                self.parts[*root as usize].duration_us,
                std::cmp::Reverse(*root),
            )
        });
        let mut stack: Vec<u32> = longest.into_iter().collect();
        while let Some(at) = stack.pop() {
            if std::mem::replace(&mut critical[at as usize], true) {
                continue;
            }
            let mut children = self.children[at as usize].clone();
            children.sort_by_key(|child| std::cmp::Reverse(self.parts[*child as usize].end_us()));
            // Starts are rounded to the millisecond, so ends may overlap by as much.
            let mut before_us = self.parts[at as usize].end_us() + 1_000;
            for child in children {
                let part = &self.parts[child as usize];
                if part.end_us() <= before_us {
                    stack.push(child);
                    before_us = part.start_us() + 1_000;
                }
            }
        }
        critical
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(id: u64, parent: Option<u64>, start_ms: i64, duration_ms: u64, error: bool) -> Part {
        Part {
            id: SpanId(id),
            parent: parent.map(SpanId),
            entity: EntityIx(id as u32),
            peer: None,
            name: Arc::from(format!("op{id}")),
            kind: SpanKind::Server,
            start: Time::from_ms(start_ms),
            duration_us: duration_ms * 1_000,
            error,
            weight: None,
        }
    }

    #[test]
    fn self_time_and_critical_path() {
        // 1 calls 2 and 3 in parallel, then 4; 3 is the slower one.
        let tree = Tree::new(vec![
            part(4, Some(1), 70, 20, true),
            part(1, None, 0, 100, true),
            part(3, Some(1), 10, 50, false),
            part(2, Some(1), 10, 20, false),
            part(2, Some(1), 10, 20, false),
        ]);
        let rows: Vec<(String, u32, u64, u64, bool)> = tree
            .rows(|ix| EntityId::parse(&format!("e{}", ix.0)))
            .into_iter()
            .map(|row| {
                (
                    row.name.to_string(),
                    row.depth,
                    row.offset_us,
                    row.self_us,
                    row.critical,
                )
            })
            .collect();
        let expected = [
            ("op1", 0, 0, 30_000, true),
            ("op3", 1, 10_000, 50_000, true),
            ("op2", 1, 10_000, 20_000, false),
            ("op4", 1, 70_000, 20_000, true),
        ]
        .map(|(name, depth, offset, own, critical)| {
            (name.to_owned(), depth, offset, own, critical)
        });
        assert_eq!(rows, expected);
        assert_eq!(tree.duration_us(), 100_000);
        assert!(!tree.fails_by_itself(0) && tree.fails_by_itself(3));
    }

    #[test]
    fn one_span_says_how_its_trace_was_sampled() {
        let mut parts = vec![
            part(1, None, 0, 100, false),
            part(2, Some(1), 10, 20, false),
            part(3, Some(1), 40, 20, false),
        ];
        assert_eq!(Tree::new(parts.clone()).weight(), None);
        parts[1].weight = Some(20.0);
        assert_eq!(Tree::new(parts).weight(), Some(20.0));
    }

    #[test]
    fn loops_and_orphans_end() {
        let tree = Tree::new(vec![
            part(1, Some(2), 0, 10, false),
            part(2, Some(1), 0, 10, false),
            part(3, Some(99), 5, 10, false),
            part(4, Some(4), 5, 10, false),
        ]);
        let rows = tree.rows(|_| EntityId::parse("e"));
        assert_eq!(
            rows.len(),
            2,
            "spans that only cause each other have no root"
        );
    }
}

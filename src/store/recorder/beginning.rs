//! What a daemon began from: told at the head of its recording, so that a replay begins from the same.
//!
//! It may be large (what was learned over weeks), and is written once a start. What does not fit is left
//! out as a whole and says so: half of it would replay another history without a word.

use serde::{Deserialize, Serialize};

use crate::config::EngineConfig;
use crate::model::{Dated, Runbook};

/// Settings, memory and decisions of a daemon when it took its first input.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Beginning {
    /// Settings of the engine.
    pub engine: EngineConfig,
    /// Runbooks it had.
    pub runbooks: Vec<Runbook>,
    /// What it had learned, if anything was kept.
    pub learned: Option<Learned>,
    /// What of its journal counts, oldest first.
    pub records: Vec<Dated>,
    /// What it knew and is not told here, a sentence each.
    pub lacks: Vec<String>,
}

/// A checkpoint as it was taken back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// Version of the parts, for the engine to judge.
    pub version: u32,
    /// The parts, in order.
    pub parts: Vec<Vec<u8>>,
}

/// A beginning as it is told before its parts and records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) engine: EngineConfig,
    pub(super) runbooks: Vec<Runbook>,
    pub(super) learned: Option<u32>,
    pub(super) parts: usize,
    pub(super) records: usize,
    pub(super) lacks: Vec<String>,
}

/// One thing of a frame.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Told {
    /// An input.
    Input(crate::model::Stamped),
    /// A daemon began: so much follows.
    Begin(Box<Head>),
    /// A part of what it had learned.
    Part(Vec<u8>),
    /// A record of its journal.
    Record(Box<Dated>),
}

impl Beginning {
    /// Bytes of what was learned.
    pub fn learned_bytes(&self) -> u64 {
        let parts = self.learned.iter().flat_map(|learned| &learned.parts);
        parts.map(|part| part.len() as u64).sum()
    }

    /// Leaves out what was learned when it is too much.
    pub(super) fn keep_within(&mut self, bytes_max: u64) {
        let bytes = self.learned_bytes();
        if bytes > bytes_max {
            self.forget_learned(&format!(
                "it has {bytes} bytes, and {bytes_max} may be used"
            ));
        }
    }

    /// Leaves out what was learned, and says why.
    pub fn forget_learned(&mut self, why: &str) {
        if self.learned.take().is_some() {
            self.lacks.push(format!(
                "what had been learned before a start is not in the recording: {why}"
            ));
        }
    }

    pub(super) fn head(&self) -> Head {
        Head {
            engine: self.engine.clone(),
            runbooks: self.runbooks.clone(),
            learned: self.learned.as_ref().map(|learned| learned.version),
            parts: self.learned.as_ref().map_or(0, |l| l.parts.len()),
            records: self.records.len(),
            lacks: self.lacks.clone(),
        }
    }
}

/// A beginning being put together again.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    beginning: Beginning,
    parts_left: usize,
    records_left: usize,
}

impl Assembly {
    pub(super) fn new(head: Head) -> Self {
        let learned = head.learned.map(|version| Learned {
            version,
            parts: Vec::new(),
        });
        Self {
            beginning: Beginning {
                engine: head.engine,
                runbooks: head.runbooks,
                learned,
                records: Vec::new(),
                lacks: head.lacks,
            },
            parts_left: head.parts,
            records_left: head.records,
        }
    }

    pub(super) fn part(&mut self, part: Vec<u8>) {
        self.parts_left = self.parts_left.saturating_sub(1);
        if let Some(learned) = &mut self.beginning.learned {
            learned.parts.push(part);
        }
    }

    pub(super) fn record(&mut self, record: Dated) {
        self.records_left = self.records_left.saturating_sub(1);
        self.beginning.records.push(record);
    }

    /// What was told; a crash may have cut it short.
    pub(super) fn finish(self) -> Beginning {
        let mut beginning = self.beginning;
        if self.parts_left > 0 {
            beginning.forget_learned("its writing was cut short");
        }
        if self.records_left > 0 {
            beginning.lacks.push(format!(
                "{} records of the journal at a start are not in the recording: its writing was cut short",
                self.records_left
            ));
        }
        beginning
    }
}

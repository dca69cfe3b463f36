//! What is counted of the daemon, gathered for whoever asks: it reads beside the engine and holds nobody up.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::hub::Hub;
use crate::api::View;
use crate::config::Config;
use crate::model::{Phase, RecorderStats, Stats, TickStats};
use crate::notify;
use crate::sources::SourceRegistry;
use crate::store::recorder::{self, RecorderStatus};

/// Where the counts are; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Gauges {
    pub(super) hub: Arc<Hub>,
    pub(super) registry: SourceRegistry,
    pub(super) config: Arc<Config>,
    /// `None` when nothing is to be recorded.
    pub(super) recorder: Option<recorder::Gauge>,
    /// `None` when nobody is to be told.
    pub(super) notifier: Option<notify::Gauge>,
    pub(super) ticks: Ticks,
}

/// How long ticks take: noted by the engine's thread, read by others; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Ticks(Arc<Mutex<TickStats>>);

impl Ticks {
    pub(super) fn note(&self, took: Duration) {
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let mut stats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *stats = TickStats {
            count: stats.count + 1,
            sum_ns: stats.sum_ns.saturating_add(took_ns),
            last_ns: took_ns,
            longest_ns: stats.longest_ns.max(took_ns),
        };
    }

    fn read(&self) -> TickStats {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gauges {
    /// All of it, as it is now.
    pub(super) fn read(&self) -> Stats {
        let phases = [
            Phase::Open,
            Phase::Acknowledged,
            Phase::Mitigated,
            Phase::Resolved,
        ];
        let recorder = self.recorder.as_ref().map(recorder::Gauge::read);
        let notifier = self.notifier.as_ref().map(notify::Gauge::read);
        self.hub.look(|view, now| Stats {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            at: now,
            // Those of the view are as of the last tick; a recording has no others.
            sources: view.sources.values().cloned().collect(),
            counts: view.counts,
            incidents: phases.map(|phase| (phase, of_phase(view, phase))).to_vec(),
            queue: self.registry.queue(),
            ticks: self.ticks.read(),
            recorder: recorder.map(|status| self.recorder(status)),
            receivers: notifier.unwrap_or_default(),
        })
    }

    fn recorder(&self, status: RecorderStatus) -> RecorderStats {
        RecorderStats {
            bytes: status.bytes,
            bytes_max: self.config.recorder.bytes_max,
            segments: status.segments,
            lost_inputs: status.lost_inputs,
            unpinned: status.unpinned,
            failing: status.failing,
        }
    }
}

/// Incidents of the view that are in a phase.
fn of_phase(view: &View, phase: Phase) -> u64 {
    let rows = view.incidents.values();
    rows.filter(|row| row.phase == phase).count() as u64
}

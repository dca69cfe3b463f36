//! What the simulated system tells the outside: the telemetry a team's own tools would send.

mod alerts;
mod logs;
mod metrics;
mod spans;

pub use alerts::Alerts;
pub use logs::Logs;
pub use metrics::Metrics;
pub use spans::Spans;

use crate::model::{Batch, Labels, Signal, SourceId};

/// Wraps signals as one batch of the source `name`; `None` when there are none.
fn batch(name: &str, signals: Vec<Signal>) -> Option<Batch> {
    (!signals.is_empty()).then(|| Batch {
        source: SourceId::new(name),
        signals,
    })
}

/// Labels the simulator writes itself, which are short and never empty.
fn labels<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Labels {
    Labels::from_pairs(pairs).expect("the simulator's labels are short and named")
}

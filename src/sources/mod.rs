//! Telemetry in: one file per protocol. A source parses its wire format into signals, hands them to
//! its [`SignalSender`] and answers its peer; it never judges what it delivers.

mod queue;

pub use queue::{
    QueuedBatch, Rhythm, SIGNALS_QUEUED_MAX, SendError, SignalQueue, SignalSender, SourceRegistry,
    signal_queue,
};

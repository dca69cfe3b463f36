//! The signals that end a console or a wall: each of them in order, so that the terminal is given back.
//!
//! Ctrl-C and Ctrl-\ are keys while the console has the terminal; these come from elsewhere.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What may end it.
#[derive(Debug)]
pub(super) struct Ends {
    terminate: Signal,
    hang_up: Signal,
    interrupt: Signal,
    quit: Signal,
}

impl Ends {
    /// From now on they end nothing by themselves.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    /// Returns when one came. Cancel safe.
    pub(super) async fn came(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.quit.recv() => {}
        }
    }
}

//! What the engine knows of who should speak, asked for while the sources are on screen.

use crate::model::{Ledger, SourceLedger, Time};
use crate::tui::link::Request;

/// On screen it is renewed this often, with whatever wakes the console, never by itself.
const EVERY_MS: i64 = 5_000;

/// The engine's ledger, as it was last told.
#[derive(Debug, Default)]
pub struct Speakers {
    ledger: Option<Box<Ledger>>,
    in_flight: bool,
    not_before: Time,
}

impl Speakers {
    /// What is known of a source.
    pub fn of(&self, source: &str) -> Option<&SourceLedger> {
        self.ledger.as_ref()?.of_source(source)
    }

    /// What to ask for while it is looked at.
    pub fn wanted(&mut self, now: Time) -> Option<Request> {
        if self.in_flight || now < self.not_before {
            return None;
        }
        self.in_flight = true;
        self.not_before = now.plus_ms(EVERY_MS);
        Some(Request::Ledger)
    }

    /// Takes an answer; `true` when it says anything new.
    pub fn put(&mut self, ledger: Box<Ledger>) -> bool {
        self.in_flight = false;
        let ledger = Some(ledger);
        let is_new = self.ledger != ledger;
        self.ledger = ledger;
        is_new
    }

    /// The request failed, or the connection it was made on is gone: it is made again in a while.
    pub fn fail(&mut self) {
        self.in_flight = false;
    }
}

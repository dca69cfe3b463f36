//! The digest an approval binds: SHA-256 over everything the approver was shown.
//!
//! The encoding is canonical and injective: every field is preceded by its length, every list by its
//! count, so that no two different plans give the same bytes. A change here must change [`VERSION`].

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::model::{Action, ExecutorKind, Plan};

/// Names the encoding; the first field hashed.
const VERSION: &str = "stormglass plan 1";

/// The digest of a plan, as 64 hexadecimal digits.
pub fn digest(plan: &Plan) -> String {
    let mut canon = Canon(Sha256::new());
    canon.text(VERSION);
    canon.number(plan.id.0);
    canon.number(plan.incident.0);
    canon.text(&plan.runbook);
    canon.text(&plan.title);
    canon.text(plan.target.as_str());
    canon.text(plan.risk.as_str());
    canon.list(&plan.because, |canon, sentence| canon.text(sentence));
    canon.list(&plan.preconditions, Canon::action);
    canon.list(&plan.steps, Canon::action);
    canon.list(&plan.rollback, |canon, undo| canon.option(undo.as_ref()));
    canon.number(plan.verify.recover_within_ms.unsigned_abs());
    canon.text(plan.verify.watch.as_str());
    canon.option(plan.verify.check.as_ref());
    canon.hex()
}

struct Canon(Sha256);

impl Canon {
    fn number(&mut self, number: u64) {
        self.0.update(number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.update(text.as_bytes());
    }

    fn list<T>(&mut self, items: &[T], mut each: impl FnMut(&mut Self, &T)) {
        self.number(items.len() as u64);
        for item in items {
            each(self, item);
        }
    }

    fn option(&mut self, action: Option<&Action>) {
        self.number(u64::from(action.is_some()));
        if let Some(action) = action {
            self.action(action);
        }
    }

    fn action(&mut self, action: &Action) {
        self.text(&action.title);
        self.text(match action.executor {
            ExecutorKind::Command => "command",
            ExecutorKind::Sim => "sim",
        });
        self.list(&action.argv, |canon, argument| canon.text(argument));
        self.number(action.timeout_ms.unsigned_abs());
    }

    fn hex(self) -> String {
        let mut hex = String::with_capacity(64);
        for byte in self.0.finalize() {
            write!(hex, "{byte:02x}").expect("a String takes any text");
        }
        hex
    }
}

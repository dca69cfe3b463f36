//! Diagnosis: from what was seen to ranked suspects with evidence for and against, or an honest "unknown".
//!
//! The one algorithm behind the live engine and the benchmarks: blame flow along dependencies, then each
//! subject's own evidence in log odds, then honesty limits. Latency and errors are symptoms: without a
//! change, a resource, a loss, a surge or evidence from inside, a suspect stays at low confidence.
//! Pure and deterministic; must never decide on an entity's name or on the text of telemetry.

mod behaviour;
pub mod blame;
mod case;
pub mod deviation;
mod gaps;
mod inside;
mod passed_on;
mod sampling;
mod troubles;
mod verdict;
mod weigh;
mod witness;
pub mod words;

#[cfg(test)]
mod tests;

pub use case::{
    Case, Coverage, Dependency, EventKind, LogChange, LogSign, Loss, Onset, OwnCause, PastRecord,
    Proof, Shift, Subject, SubjectIx, TraceSign,
};

pub use verdict::ABSTAIN_CONFIDENCE;
pub use witness::{GUARD_MS, SavedPart, Vocabulary, Witness};

use crate::model::Diagnosis;

/// Ranks the suspects of `case`, most likely first, and says what could not be seen.
pub fn diagnose(case: &Case) -> Diagnosis {
    verdict::verdict(case, &weigh::weigh(case))
}

/// The score of every subject, in the order of `case.subjects`; higher is more suspect.
pub fn scores(case: &Case) -> Vec<f64> {
    weigh::weigh(case).score
}

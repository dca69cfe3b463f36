//! Benchmark suites: load a public labelled data set or make a simulated one, drive the engine over
//! it exactly as live, and score it by the benchmark's own rule.
//!
//! Nothing here changes a setting of the engine: one configuration, the shipped one, for everything.

pub mod demo;
pub mod drive;
pub mod loghub;
pub mod nab;
pub mod nezha;
pub mod petshop;
pub mod quiet;
pub mod rcd;
mod root_cause;
pub mod storm;
pub mod systems;
pub mod trial;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use serde::Serialize;
use thiserror::Error;

/// Scores by name.
pub type Scores = BTreeMap<Cow<'static, str>, f64>;

/// Scores of which the names are known beforehand.
fn named<const N: usize>(scores: [(&'static str, f64); N]) -> Scores {
    scores.map(|(name, score)| (name.into(), score)).into()
}

/// What a suite reports; printed as one JSON object.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Name of the suite.
    pub suite: &'static str,
    /// Cases scored.
    pub cases: usize,
    /// Scores by the benchmark's own names.
    pub score: Scores,
    /// One object a case: what was expected, what was said.
    pub per_case: Vec<serde_json::Value>,
    /// Time taken by the engine, in seconds.
    pub seconds: f64,
}

/// Why a suite could not be run.
#[derive(Debug, Error)]
pub enum EvalError {
    /// A file of the data set cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of the data set is not what its authors publish.
    #[error("{path}: {what}")]
    Format {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// There is no such suite.
    #[error("there is no suite {0:?}")]
    NoSuite(String),
}

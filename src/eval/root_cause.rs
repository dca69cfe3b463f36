//! What the root-cause suites share: reading files with errors that name them, and honest ranks.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::EvalError;

/// The text of a file; bytes that are not UTF-8 are replaced.
pub fn read_text(path: &Path) -> Result<String, EvalError> {
    fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .map_err(|source| unreadable(path, source))
}

/// The entries of a folder, sorted by name.
pub fn entries(path: &Path) -> Result<Vec<PathBuf>, EvalError> {
    let list = fs::read_dir(path).map_err(|source| unreadable(path, source))?;
    let mut paths = list
        .map(|entry| entry.map(|e| e.path()))
        .collect::<io::Result<Vec<_>>>()
        .map_err(|e| unreadable(path, e))?;
    paths.sort();
    Ok(paths)
}

/// The last part of a path.
pub fn name_of(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// An error that names the file.
pub fn unreadable(path: &Path, source: io::Error) -> EvalError {
    EvalError::Io {
        path: path.to_owned(),
        source,
    }
}

/// An error that names the file and what is wrong with it.
pub fn malformed(path: &Path, what: impl Into<String>) -> EvalError {
    EvalError::Format {
        path: path.to_owned(),
        what: what.into(),
    }
}

/// The rank of the truth from 1, ties pessimistic: everyone who scores as much stands before it.
pub fn pessimistic_rank(scores: &[f64], truth: usize) -> usize {
    let own = scores[truth];
    1 + scores
        .iter()
        .enumerate()
        .filter(|(at, score)| *at != truth && **score >= own)
        .count()
}

/// The share of ranks that are at most `k`; 0 without ranks.
pub fn share_within(ranks: &[usize], k: usize) -> f64 {
    if ranks.is_empty() {
        return 0.0;
    }
    ranks.iter().filter(|rank| **rank <= k).count() as f64 / ranks.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_count_against_the_truth() {
        let cases: [(&[f64], usize, usize); 4] = [
            (&[3.0, 2.0, 1.0], 0, 1),
            (&[3.0, 3.0, 1.0], 0, 2),
            (&[0.0, 0.0, 0.0], 1, 3),
            (&[3.0, 2.0, 1.0], 2, 3),
        ];
        for (scores, truth, rank) in cases {
            assert_eq!(pessimistic_rank(scores, truth), rank, "{scores:?}");
        }
        assert!((share_within(&[1, 2, 6], 5) - 2.0 / 3.0).abs() < 1e-9);
    }
}

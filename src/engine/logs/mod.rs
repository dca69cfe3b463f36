//! Templates from log lines, and what is odd about them.
//!
//! * `scan` splits a line into constants and variables, by shape alone;
//! * `pattern`, `merge` and `miner` learn which constants vary after all;
//! * `watch` counts templates per entity and judges them in `entity`, by `checks` and the tails in `tail`;
//! * `values` watches how the values at a template's places are spread;
//! * `variable` names the types of values, `words` holds the closed word classes;
//! * `peers` reads off a line whom it could not reach.
//!
//! Pure: lines and times come as arguments. Nothing here keeps a value of a variable, or text
//! that was not masked before.

mod bytes;
mod checks;
mod counter;
mod entity;
mod finding;
mod fits;
mod level;
mod merge;
mod miner;
mod offenders;
mod pattern;
mod peers;
mod scan;
mod tail;
mod values;
mod variable;
mod watch;
mod why;
mod words;

pub use counter::{BUCKET_MS, BUCKETS_MAX};
pub use entity::LogStats;
pub use finding::LogFinding;
pub use fits::fits;
pub use miner::{FORMS_MAX, FormId, Learned, Miner, MinerStats, TemplateId};
pub use peers::unreachable;
pub(super) use tail::{chernoff, chernoff_low};
pub use variable::VarType;
pub use watch::LogWatch;

use crate::model::{LogLevel, LogLine};

/// Whether a line is an error, as its sender says or as it reads.
pub fn is_error(line: &LogLine) -> bool {
    line.level.unwrap_or_else(|| level::level_of(&line.text)) >= LogLevel::Error
}
pub(super) use watch::{EntityLogs, SavedRest};

#[cfg(test)]
mod tests;
#[cfg(test)]
mod watch_tests;

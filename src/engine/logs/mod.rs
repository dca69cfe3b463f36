//! Templates from log lines, and what is odd about them.
//!
//! * `scan` splits a line into constants and variables, by shape alone;
//! * `pattern`, `merge` and `miner` learn which constants vary after all;
//! * `variable` names the types of values, `words` holds the closed word classes.
//!
//! Pure: lines and times come as arguments. Nothing here keeps a value of a variable, or text
//! that was not masked before.

mod bytes;
mod merge;
mod miner;
mod offenders;
mod pattern;
mod scan;
mod variable;
mod words;

pub use miner::{FORMS_MAX, FormId, Learned, Miner, MinerStats, TemplateId};
pub use variable::VarType;

#[cfg(test)]
mod tests;

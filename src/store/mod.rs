//! What is kept: the journal, which is the authority, and the database, which is a memory of it.

pub mod journal;

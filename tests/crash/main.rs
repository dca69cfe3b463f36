//! Killed at any moment (SIGKILL), nothing that was acknowledged is lost and nothing runs twice: the engine
//! with its store, in virtual time, and the whole daemon; also on a full disk.

mod engine;
mod full;
mod kept;
mod serve;

//! Chooses a mode and sets the exit code.

fn main() {}

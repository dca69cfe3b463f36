//! Text to `(Config, warnings)`: pure, so that `stormglass check` and every test see what the daemon sees.

mod engine;

pub use engine::{DeclaredEdge, EngineConfig, PolicyConfig};

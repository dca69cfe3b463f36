//! When the operator last looked at each environment, kept between consoles, so that the next one can
//! say what changed since. Losing it costs that sentence and nothing else.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::model::Time;

/// Environments remembered; the one looked at longest ago makes room.
const ENVIRONMENTS_MAX: usize = 32;

/// The file, and what it held.
#[derive(Clone, Debug, Default)]
pub struct Session {
    path: Option<PathBuf>,
    looked_ms: BTreeMap<String, i64>,
}

impl Session {
    /// Reads the file; one that is missing or damaged holds nothing.
    pub(super) fn load(path: Option<&Path>) -> Self {
        let text = path.and_then(|path| std::fs::read_to_string(path).ok());
        let looked_ms = text.and_then(|text| serde_json::from_str(&text).ok());
        Self {
            path: path.map(Path::to_owned),
            looked_ms: looked_ms.unwrap_or_default(),
        }
    }

    /// Engine time of the last look.
    pub(super) fn looked(&self, environment: &str) -> Option<Time> {
        self.looked_ms.get(environment).copied().map(Time::from_ms)
    }

    /// Remembers a look, and writes the file anew beside the old one, so that a crash leaves either.
    pub(super) fn look(&mut self, environment: &str, at: Time) -> io::Result<()> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        self.looked_ms.insert(environment.to_owned(), at.ms());
        while self.looked_ms.len() > ENVIRONMENTS_MAX {
            let oldest = self.looked_ms.iter().min_by_key(|(_, at)| **at);
            let Some(name) = oldest.map(|(name, _)| name.clone()) else {
                break;
            };
            self.looked_ms.remove(&name);
        }
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let text = serde_json::to_string(&self.looked_ms)?;
        let beside = path.with_extension(format!("{}.new", std::process::id()));
        std::fs::write(&beside, text)?;
        std::fs::rename(&beside, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_is_remembered_and_damage_forgets_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/console.json");
        let mut session = Session::load(Some(&path));
        assert_eq!(session.looked("prod"), None);
        session.look("prod", Time::from_ms(42)).unwrap();
        let again = Session::load(Some(&path));
        assert_eq!(again.looked("prod"), Some(Time::from_ms(42)));
        std::fs::write(&path, "{").unwrap();
        assert_eq!(Session::load(Some(&path)).looked("prod"), None);
    }

    #[test]
    fn only_so_many_are_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let mut session = Session::load(Some(&folder.path().join("console.json")));
        for at in 0..=ENVIRONMENTS_MAX as i64 {
            session.look(&format!("e{at}"), Time::from_ms(at)).unwrap();
        }
        assert_eq!(session.looked("e0"), None);
        assert_eq!(session.looked("e1"), Some(Time::from_ms(1)));
    }
}

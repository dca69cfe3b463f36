//! `docs/config.md`, made from the table of settings. It never says what the table does not.

use std::fmt::Write as _;

use super::sections;

/// The whole page.
pub fn markdown() -> String {
    let mut page = String::from(
        "# Config reference\n\n\
         Generated from `src/config/settings/`; `STORMGLASS_BLESS=1 cargo test --test config_reference` writes it anew.\n\n\
         Stormglass runs without a config file. With one (`--config FILE`, else `stormglass/config.toml` in the user's\n\
         config directory) it refuses what it does not know: an unknown setting is an error that names the nearest\n\
         known one, with file and line. `stormglass check` says the same without starting anything.\n",
    );
    for section in sections() {
        let _ = write!(page, "\n## {}\n\n", heading(section.path));
        page.push_str("| setting | takes | default | what |\n|---|---|---|---|\n");
        for setting in section.settings {
            let default = match setting.default {
                "" => "–".to_owned(),
                default => format!("`{default}`"),
            };
            let _ = writeln!(
                page,
                "| `{}` | {} | {default} | {} |",
                setting.name,
                setting.kind.words(),
                setting.doc
            );
        }
    }
    page
}

fn heading(section: &str) -> String {
    match section.strip_suffix("[]") {
        _ if section.is_empty() => "Top level".to_owned(),
        Some(list) => format!("`[[{list}]]`, any number of times"),
        None if section.contains("[]") => {
            let table = section.replace("[]", "");
            let (list, _) = section.rsplit_once("[]").unwrap_or_default();
            format!("`[{table}]`, below each `[[{list}]]`")
        }
        None => format!("`[{section}]`"),
    }
}

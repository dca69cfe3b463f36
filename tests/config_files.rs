//! Every file in `tests/configs`: the good ones give their warnings, the bad ones their errors.
//!
//! A file says what it expects itself, in lines `# expect: LINE: message`.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use stormglass::config::{Config, parse};

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/configs")
        .join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("the folder is in the repository")
        .map(|entry| entry.expect("the folder is readable").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files
}

fn expected(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.strip_prefix("# expect: "))
        .map(|message| format!("it.toml:{message}"))
        .collect()
}

#[test]
fn good_files_are_taken_with_their_warnings() {
    for path in files("valid") {
        let text = std::fs::read_to_string(&path).expect("the file is readable");
        let got = parse(&text, "it.toml").map(|(_, warnings)| {
            warnings
                .into_iter()
                .map(|warning| warning.0)
                .collect::<Vec<_>>()
        });
        assert_eq!(got, Ok(expected(&text)), "{}", path.display());
    }
}

#[test]
fn bad_files_are_refused_with_every_mistake_named() {
    for path in files("invalid") {
        let text = std::fs::read_to_string(&path).expect("the file is readable");
        let got = parse(&text, "it.toml").map_err(|error| error.messages);
        assert_eq!(got, Err(expected(&text)), "{}", path.display());
    }
}

#[test]
fn an_empty_file_is_the_default() {
    assert_eq!(
        parse("", "it.toml").map(|(config, _)| config),
        Ok(Config::default())
    );
}

#[test]
fn what_the_file_says_is_what_the_config_holds() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configs/valid/everything.toml");
    let text = std::fs::read_to_string(path).expect("the file is in the repository");
    let (config, _) = parse(&text, "it.toml").expect("the file is valid");
    assert_eq!(config.environment, "prod-eu");
    assert_eq!(config.listen.port(), 19_797);
    assert_eq!(config.otlp_listen, None);
    assert!(!config.sources.remote_write.enabled);
    assert_eq!(config.sources.host.interval_s, 10);
    assert_eq!(config.sources.tail.len(), 2);
    assert_eq!(config.sources.tail[0].labels["tier"], "edge");
    assert_eq!(config.sources.tail[1].line_bytes_max, 65_536);
    assert_eq!(config.engine.policy.approvals_high, 2);
    assert_eq!(config.engine.dependencies.len(), 1);
    assert_eq!(config.engine.entities[0].aliases.len(), 2);
    assert_eq!(config.engine.entities[0].tier, Some(1));
}

proptest! {
    /// Whatever a file says: it is taken, or refused with at least one message that names it.
    #[test]
    fn any_file_is_taken_or_refused_by_name(
        text in r#"[a-z\[\].={}"',0-9\n#_-]{0,200}"#,
        cut in 0..8_000_usize,
        at in 0..8_000_usize,
        with in any::<char>(),
    ) {
        let good = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configs/valid/everything.toml");
        let good = std::fs::read_to_string(&good).expect("it is there");
        let cut = good.floor_char_boundary(cut.min(good.len()));
        let at = good.floor_char_boundary(at.min(good.len()));
        let bent = format!("{}{with}{}", &good[..at], &good[at..]);
        for text in [text.as_str(), &good[..cut], &bent] {
            if let Err(error) = parse(text, "x.toml") {
                prop_assert!(!error.messages.is_empty());
                prop_assert!(error.messages.iter().all(|why| why.starts_with("x.toml:")), "{error}");
            }
            // A runbook is another file of the same language.
            let _ = stormglass::config::parse_runbook(text, "x.toml");
        }
    }
}

//! Severity of a line whose sender did not say.

use crate::model::LogLevel;
use crate::model::logjoin::is_frame;

/// Words of a line that are looked at: a level stands near the beginning.
const WORDS_MAX: usize = 12;

/// The level a line names, or implies by being a crash; `Info` when it names none.
pub(super) fn level_of(text: &str) -> LogLevel {
    if let Some(level) = crash(text) {
        return level;
    }
    let head = text.lines().next().unwrap_or_default();
    if let Some(level) = klog(head) {
        return level;
    }
    let words = head
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    let mut assigned = false;
    for (at, word) in words.take(WORDS_MAX).enumerate() {
        let shouted = word.len() > 2 && word.bytes().all(|b| b.is_ascii_uppercase());
        // "info" in a sentence says nothing; in capitals, after "level" or in front it does.
        if (shouted || assigned || at == 0 || head.contains(&format!("[{word}]")))
            && let Some(level) = LogLevel::parse(word)
        {
            return level;
        }
        assigned = matches!(
            word.to_ascii_lowercase().as_str(),
            "level" | "lvl" | "severity"
        );
    }
    LogLevel::Info
}

/// Lines that mean a crash, whatever level they were written at.
fn crash(text: &str) -> Option<LogLevel> {
    let head = text.trim_start();
    let fatal = [
        "panic:",
        "fatal error:",
        "Traceback (most recent call last)",
        "thread '",
        "Unhandled exception. ",
        "Unhandled Exception: ",
        "Segmentation fault",
    ];
    if fatal.iter().any(|start| head.starts_with(start))
        && (!head.starts_with("thread '") || head.contains("panicked at"))
    {
        return Some(LogLevel::Fatal);
    }
    let is_trace = text.contains('\n') && text.lines().skip(1).any(is_frame);
    is_trace.then_some(LogLevel::Error)
}

/// `E1121 09:11:12.131415 …`, as klog and glog write.
fn klog(head: &str) -> Option<LogLevel> {
    let bytes = head.as_bytes();
    let dated = bytes.len() > 5 && bytes[1..5].iter().all(u8::is_ascii_digit) && bytes[5] == b' ';
    match bytes.first() {
        Some(b'I') if dated => Some(LogLevel::Info),
        Some(b'W') if dated => Some(LogLevel::Warn),
        Some(b'E') if dated => Some(LogLevel::Error),
        Some(b'F') if dated => Some(LogLevel::Fatal),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read_from_text() {
        let cases = [
            ("2024-01-02 03:04:05 ERROR [main] failed", LogLevel::Error),
            (r#"{"ts":1,"level":"warn","msg":"slow"}"#, LogLevel::Warn),
            ("time=1 level=error msg=\"x\"", LogLevel::Error),
            ("[error] 12#0: connect() failed", LogLevel::Error),
            ("2026-11-21 UTC [12] FATAL:  no database", LogLevel::Fatal),
            ("E1121 09:11:12.131415 12 x.go:1] boom", LogLevel::Error),
            ("panic: nil map", LogLevel::Fatal),
            ("thread 'main' panicked at src/x.rs", LogLevel::Fatal),
            ("request failed\n\tat a.B.c(B.java:1)", LogLevel::Error),
            (
                "price failed\n   at Shop.Price.Get(String id) in /src/Price.cs:line 12",
                LogLevel::Error,
            ),
            (
                "app.rb:3:in 'pay': declined (CardError)\n\tfrom app.rb:7:in '<main>'",
                LogLevel::Error,
            ),
            (
                "Unhandled exception. System.Exception: x\n   at A.B()",
                LogLevel::Fatal,
            ),
            ("all parcels left\n   at the end of the day", LogLevel::Info),
            ("no error was found", LogLevel::Info),
            ("", LogLevel::Info),
        ];
        for (text, level) in cases {
            assert_eq!(level_of(text), level, "{text}");
        }
    }
}

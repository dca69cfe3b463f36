//! Secrets that a URL holds by where they stand: credentials before the host, and the path of a webhook.

use std::ops::Range;

use super::{OPAQUE_BYTES_MIN, begins_masked, is_mixed};

/// Addresses behind which the whole path lets anybody post.
const HOOKS: [&str; 9] = [
    "hooks.slack.com/services/",
    "hooks.slack.com/workflows/",
    "hooks.slack.com/triggers/",
    "discord.com/api/webhooks/",
    "discordapp.com/api/webhooks/",
    "outlook.office.com/webhook/",
    "webhook.office.com/webhookb2/",
    "api.telegram.org/bot",
    "chat.googleapis.com/v1/spaces/",
];
/// Longest address looked through for one of those, in bytes.
const HOOK_BYTES_MAX: usize = 120;

/// The secret of the URL whose host or credentials begin at `start`.
pub fn secret(text: &[u8], start: usize) -> Option<Range<usize>> {
    credentials(text, start).or_else(|| hook(text, start))
}

/// `user:password@`, or a key that stands there alone.
fn credentials(text: &[u8], start: usize) -> Option<Range<usize>> {
    let is_inside = |byte: &&u8| !matches!(byte, b'/' | b'?' | b'#') && !ends(**byte);
    let authority = text[start..].iter().take_while(is_inside).count();
    let authority = &text[start..start + authority];
    let Some(at) = authority.iter().rposition(|&b| b == b'@') else {
        return bare_password(text, start, authority);
    };
    let user = &authority[..at];
    let is_key = user.len() >= OPAQUE_BYTES_MIN && is_mixed(user);
    (user.contains(&b':') || is_key).then(|| start..start + at)
}

/// A password with `/`, `?` or `#` in it that nobody escaped: what stands behind `:` is no port then.
fn bare_password(text: &[u8], start: usize, authority: &[u8]) -> Option<Range<usize>> {
    let colon = authority.iter().position(|byte| *byte == b':')?;
    let behind = &authority[colon + 1..];
    if authority[0] == b'[' || behind.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let url = text[start..].iter().take_while(|byte| !ends(**byte));
    let url = &text[start..start + url.count()];
    let at = url.iter().rposition(|byte| *byte == b'@')?;
    Some(start..start + at)
}

/// What follows the address of a webhook.
fn hook(text: &[u8], start: usize) -> Option<Range<usize>> {
    let url = text[start..]
        .iter()
        .take_while(|byte| !ends(**byte))
        .count();
    let address = &text[start..start + url.min(HOOK_BYTES_MAX)];
    let path = HOOKS.iter().find_map(|hook| {
        let mut places = address.windows(hook.len());
        let at = places.position(|part| part.eq_ignore_ascii_case(hook.as_bytes()))?;
        // Of that host, or of one of its own.
        (at == 0 || address[at - 1] == b'.').then_some(start + at + hook.len())
    })?;
    let end = start + url;
    (path < end && !begins_masked(&text[path..])).then_some(path..end)
}

/// Whether a byte ends a URL in a text.
const fn ends(byte: u8) -> bool {
    matches!(byte, b' ' | b'"' | b'\'' | b'>' | b'<' | b'\n' | b'\t')
}

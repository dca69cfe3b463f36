//! Secrets that a URL holds by where they stand: credentials before the host, and the path of a webhook.

use std::ops::Range;

use super::{OPAQUE_BYTES_MIN, begins_masked, is_mixed};

/// Hosts and paths behind which the rest of the path lets anybody post.
const HOOKS: [(&str, &str); 9] = [
    ("hooks.slack.com", "/services/"),
    ("hooks.slack.com", "/workflows/"),
    ("hooks.slack.com", "/triggers/"),
    ("discord.com", "/api/webhooks/"),
    ("discordapp.com", "/api/webhooks/"),
    ("outlook.office.com", "/webhook/"),
    ("webhook.office.com", "/webhookb2/"),
    ("api.telegram.org", "/bot"),
    ("chat.googleapis.com", "/v1/spaces/"),
];
/// Longest address looked through for one of those, and longest credentials, in bytes: a text of nothing but URLs is
/// read once all the same.
const HOOK_BYTES_MAX: usize = 120;
const CREDENTIALS_BYTES_MAX: usize = 256;

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
    let url = up_to_end(text, start, CREDENTIALS_BYTES_MAX);
    let at = url.iter().rposition(|byte| *byte == b'@')?;
    Some(start..start + at)
}

/// What follows the address of a webhook.
fn hook(text: &[u8], start: usize) -> Option<Range<usize>> {
    let address = up_to_end(text, start, HOOK_BYTES_MAX);
    let slash = address.iter().position(|byte| *byte == b'/')?;
    let (host, path) = address.split_at(slash);
    let (_, shared) = HOOKS.iter().find(|(of, begins)| {
        let end = path.get(..begins.len());
        is_of(host, of.as_bytes())
            && end.is_some_and(|end| end.eq_ignore_ascii_case(begins.as_bytes()))
    })?;
    let secret = start + slash + shared.len();
    let end = start + up_to_end(text, start, text.len()).len();
    (secret < end && !begins_masked(&text[secret..])).then_some(secret..end)
}

/// Whether a host is this one, or one of its own.
fn is_of(host: &[u8], of: &[u8]) -> bool {
    let Some(at) = host.len().checked_sub(of.len()) else {
        return false;
    };
    host[at..].eq_ignore_ascii_case(of) && (at == 0 || host[at - 1] == b'.')
}

/// The URL from `start` on, as far as `bytes_max`.
fn up_to_end(text: &[u8], start: usize, bytes_max: usize) -> &[u8] {
    let rest = &text[start..];
    let bytes = rest.iter().take(bytes_max).take_while(|byte| !ends(**byte));
    &rest[..bytes.count()]
}

/// Whether a byte ends a URL in a text.
const fn ends(byte: u8) -> bool {
    matches!(byte, b' ' | b'"' | b'\'' | b'>' | b'<' | b'\n' | b'\t')
}

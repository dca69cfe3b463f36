//! Structured data of a syslog message: what of it becomes part of the text, and the trace it names.
//!
//! It is never a label: it is up to the sender and may differ from line to line.

use syslog_loose::Message;

use crate::model::TraceId;

/// Elements of structured data that tell of the message, its clock, its way and its signature, not of what happened
/// (RFC 5424, 7; RFC 5848, 4.2 and 5.3.2).
const ELEMENTS_LEFT_OUT: [&str; 5] = ["timeQuality", "origin", "meta", "ssign", "ssign-cert"];
/// Structured data kept of a message, in bytes as it is written; the first parameter that does not fit ends it.
pub(super) const DATA_BYTES_MAX: usize = 1_024;
/// Longest value kept of one parameter, in bytes; what is longer is cut. Log templates take a quoted text of this length
/// for one value.
pub(super) const PARAM_BYTES_MAX: usize = 200;
/// Names under which structured data carries a trace.
const TRACE_PARAMS: [&str; 4] = ["traceId", "trace_id", "traceid", "trace-id"];
/// Length of the id of a trace, in hex digits.
const TRACE_DIGITS: usize = 32;

/// Structured data as it was sent, as far as it tells of what happened: `[element parameter="value" …]` one after the
/// other. Traces are left out, they have a place of their own.
pub(super) fn kept(message: &Message<&str>) -> String {
    let mut data = String::new();
    let elements = message.structured_data.iter();
    for element in elements.filter(|element| !ELEMENTS_LEFT_OUT.contains(&element.id)) {
        let mut head = format!("[{}", element.id);
        if !data.is_empty() {
            head.insert(0, ' ');
        }
        let kept = |name: &str, value: &str| !value.is_empty() && !TRACE_PARAMS.contains(&name);
        let params = element.params.iter();
        for (name, value) in params.filter(|(name, value)| kept(name, value)) {
            let param = format!("{head} {name}=\"{}\"", cut(value));
            // The bracket that closes it needs a byte, too.
            if data.len() + param.len() >= DATA_BYTES_MAX {
                return closed(data, head.is_empty());
            }
            data.push_str(&param);
            head.clear();
        }
        data = closed(data, head.is_empty());
    }
    data
}

/// With the bracket that an element which was begun still needs.
fn closed(mut data: String, is_begun: bool) -> String {
    if is_begun {
        data.push(']');
    }
    data
}

/// The beginning of a value as it is written: no character and no escape is cut in two.
fn cut(value: &str) -> &str {
    let kept = &value[..value.floor_char_boundary(PARAM_BYTES_MAX)];
    let escapes = kept.len() - kept.trim_end_matches('\\').len();
    let is_split = kept.len() < value.len() && escapes % 2 == 1;
    &kept[..kept.len() - usize::from(is_split)]
}

/// The trace a message belongs to, by its structured data.
pub(super) fn trace(message: &Message<&str>) -> Option<TraceId> {
    let elements = message.structured_data.iter();
    let mut params = elements.flat_map(|element| &element.params);
    let (_, id) = params.find(|(name, _)| TRACE_PARAMS.contains(name))?;
    // The parser would take a sign, and shorter ids are those of another format.
    let is_id = id.len() == TRACE_DIGITS && id.bytes().all(|b| b.is_ascii_hexdigit());
    let id = u128::from_str_radix(id, 16).ok().filter(|_| is_id)?;
    Some(TraceId(id))
}

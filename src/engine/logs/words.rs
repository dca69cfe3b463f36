//! Closed word classes of the log template miner: what a word says about its neighbours.
//!
//! The lists hold ordinary English and unit names, the same for every system; a word of one
//! particular product must never appear here.

/// Months and days as logs abbreviate them; before a number they are part of a date.
pub(super) fn is_date_word(word: &[u8]) -> bool {
    matches!(
        word,
        b"Jan"
            | b"Feb"
            | b"Mar"
            | b"Apr"
            | b"May"
            | b"Jun"
            | b"Jul"
            | b"Aug"
            | b"Sep"
            | b"Oct"
            | b"Nov"
            | b"Dec"
            | b"Mon"
            | b"Tue"
            | b"Wed"
            | b"Thu"
            | b"Fri"
            | b"Sat"
            | b"Sun"
    )
}

/// Words that only say in which unit (or zone) the number before them is counted.
pub(super) fn is_unit(word: &[u8]) -> bool {
    if word.len() > 12 {
        return false;
    }
    let mut lower = [0_u8; 12];
    for (to, from) in lower.iter_mut().zip(word) {
        *to = from.to_ascii_lowercase();
    }
    matches!(
        &lower[..word.len()],
        b"ns"
            | b"us"
            | b"ms"
            | b"s"
            | b"sec"
            | b"secs"
            | b"second"
            | b"seconds"
            | b"min"
            | b"mins"
            | b"minute"
            | b"minutes"
            | b"hour"
            | b"hours"
            | b"hrs"
            | b"day"
            | b"days"
            | b"nsec"
            | b"usec"
            | b"msec"
            | b"milliseconds"
            | b"millis"
            | b"microseconds"
            | b"nanoseconds"
            | b"b"
            | b"kb"
            | b"mb"
            | b"gb"
            | b"tb"
            | b"kib"
            | b"mib"
            | b"gib"
            | b"tib"
            | b"byte"
            | b"bytes"
            | b"kbytes"
            | b"mbytes"
            | b"hz"
            | b"khz"
            | b"mhz"
            | b"ghz"
            | b"kbps"
            | b"mbps"
            | b"gbps"
            | b"am"
            | b"pm"
            | b"utc"
            | b"gmt"
            | b"cet"
            | b"cest"
            | b"est"
            | b"edt"
            | b"pst"
            | b"pdt"
    )
}

/// Nouns that a name of their kind usually follows, however the name is written.
pub(super) fn is_named_noun(word: &[u8]) -> bool {
    matches!(
        word,
        b"user"
            | b"username"
            | b"account"
            | b"host"
            | b"hostname"
            | b"node"
            | b"device"
            | b"interface"
            | b"domain"
            | b"group"
            | b"service"
            | b"topic"
            | b"queue"
            | b"table"
            | b"database"
            | b"namespace"
            | b"pod"
            | b"container"
            | b"volume"
            | b"named"
    )
}

/// Prepositions that a name often follows; so does a state, hence names in capitals do not count.
pub(super) fn is_preposition(word: &[u8]) -> bool {
    matches!(
        word,
        b"for"
            | b"from"
            | b"by"
            | b"to"
            | b"at"
            | b"on"
            | b"in"
            | b"of"
            | b"as"
            | b"with"
            | b"via"
            | b"into"
            | b"through"
    )
}

/// Truth values and absent values that are nothing else in any sentence.
pub(super) fn is_truth_value(word: &[u8]) -> bool {
    matches!(
        word,
        b"true"
            | b"false"
            | b"True"
            | b"False"
            | b"TRUE"
            | b"FALSE"
            | b"null"
            | b"NULL"
            | b"nil"
            | b"None"
    )
}

/// Switches: values between delimiters, but what happened after a verb ("turned on").
pub(super) fn is_switch(word: &[u8]) -> bool {
    matches!(word, b"yes" | b"no" | b"on" | b"off" | b"none")
}

/// Truth values and absent values, switches included.
pub(super) fn is_boolean(word: &[u8]) -> bool {
    is_truth_value(word) || is_switch(word)
}

/// Endings of source files: what stands before a line number, not a host before a port.
pub(super) fn is_source_ending(ending: &[u8]) -> bool {
    matches!(
        ending,
        b"c" | b"cc"
            | b"cpp"
            | b"cs"
            | b"go"
            | b"h"
            | b"hpp"
            | b"java"
            | b"js"
            | b"kt"
            | b"php"
            | b"py"
            | b"rb"
            | b"rs"
            | b"scala"
            | b"swift"
            | b"ts"
    )
}

/// Keys whose quoted value is the message itself, not a parameter of it.
pub(super) fn is_message_key(word: &[u8]) -> bool {
    matches!(
        word,
        b"msg"
            | b"message"
            | b"err"
            | b"error"
            | b"event"
            | b"reason"
            | b"Reason"
            | b"log"
            | b"text"
            | b"exception"
    )
}

//! Settings of the sources that read streams of messages. How messages are read is the same for all of them.

use super::asked::DOCUMENT;
use super::{FROM, Section, Setting, WHEN_FULL, needed, setting};
use crate::config::kind::Kind;

pub(super) const SECTIONS: &[Section] = &[
    Section {
        path: "sources.nats[]",
        settings: &[
            setting(
                "name",
                Kind::Text,
                "\"nats\"",
                "Name of the source, `nats NAME`.",
            ),
            needed(
                "url",
                Kind::Text,
                "Address of a NATS server, `nats://HOST:PORT` or `tls://HOST:PORT`; of a cluster, any of it.",
            ),
            needed("stream", Kind::Text, "The JetStream stream."),
            setting(
                "subject",
                Kind::Text,
                "",
                "Subjects of the stream, with `*` and `>`. Default: all.",
            ),
            setting(
                "durable",
                Kind::Text,
                "\"stormglass\"",
                "Name of the durable consumer; it is made if it is not there. The server keeps how far it came.",
            ),
            setting(
                "messages_max",
                Kind::Integer(1, 10_000),
                "500",
                "Messages asked for at once.",
            ),
            setting(
                "from",
                FROM,
                "\"end\"",
                "Where a consumer begins that is not there yet: with the oldest message, or with the next.",
            ),
            setting(
                "when_full",
                WHEN_FULL,
                "\"block\"",
                "What happens while the engine is behind: wait, as the stream has them still, or lose and count them.",
            ),
            setting(
                "token_file",
                Kind::Path,
                "",
                "File that holds the token the server wants, read anew for each connection.",
            ),
            setting(
                "creds_file",
                Kind::Path,
                "",
                "File with a user's credentials, as `nsc` writes it.",
            ),
            setting(
                "ca_file",
                Kind::Path,
                "",
                "Certificates that vouch for the server, besides the system's.",
            ),
        ],
    },
    Section {
        path: "sources.nats[].messages",
        settings: MESSAGES,
    },
    Section {
        path: "sources.nats[].messages.document",
        settings: DOCUMENT,
    },
    Section {
        path: "sources.nats[].messages.metric",
        settings: METRIC,
    },
    Section {
        path: "sources.kafka[]",
        settings: &[
            setting(
                "name",
                Kind::Text,
                "\"kafka\"",
                "Name of the source, `kafka NAME`. How far each topic was read is kept under it.",
            ),
            needed(
                "brokers",
                Kind::TextList,
                "Addresses of brokers to begin with, `HOST:PORT`; they tell of the others.",
            ),
            needed("topics", Kind::TextList, "Topics, all of one format."),
            setting(
                "from",
                FROM,
                "\"end\"",
                "Where to begin in a topic that was not read before: with the oldest message, or with the next.",
            ),
            setting(
                "when_full",
                WHEN_FULL,
                "\"block\"",
                "What happens while the engine is behind: wait, as the topic has them still, or lose and count them.",
            ),
            setting(
                "tls",
                Kind::Flag,
                "false",
                "Whether brokers are spoken to over TLS.",
            ),
            setting(
                "ca_file",
                Kind::Path,
                "",
                "Certificates that vouch for the brokers, besides the system's.",
            ),
            setting(
                "sasl",
                Kind::Choice(&["none", "plain", "scram_sha_256", "scram_sha_512"]),
                "\"none\"",
                "How brokers are told who we are; `plain` needs `tls`.",
            ),
            setting("user", Kind::Text, "", "The user of `sasl`."),
            setting(
                "password_file",
                Kind::Path,
                "",
                "File that holds the password of `sasl`, read anew for each connection.",
            ),
        ],
    },
    Section {
        path: "sources.kafka[].messages",
        settings: MESSAGES,
    },
    Section {
        path: "sources.kafka[].messages.document",
        settings: DOCUMENT,
    },
    Section {
        path: "sources.kafka[].messages.metric",
        settings: METRIC,
    },
];

/// How messages are read.
const MESSAGES: &[Setting] = &[
    needed("format", STREAM_FORMATS, STREAM_FORMAT_DOC),
    setting(
        "mapping",
        Kind::Text,
        "",
        "For `mapped`: the `name` of the `[[sources.webhook]]` whose mapping reads the messages.",
    ),
    setting(
        "labels",
        Kind::TextTable,
        "{}",
        "Labels put on every line and every metric, for `json` and `metrics`.",
    ),
];

/// Which field of a document is what of a metric.
const METRIC: &[Setting] = &[
    setting("name", Kind::Text, "\"name\"", "Field of the name."),
    setting("value", Kind::Text, "\"value\"", "Field of the value."),
    setting(
        "labels",
        Kind::Text,
        "\"labels\"",
        "Field of the object whose entries become labels.",
    ),
];

/// What messages hold.
const STREAM_FORMATS: Kind = Kind::Choice(&[
    "json",
    "metrics",
    "alerts",
    "changes",
    "mapped",
    "otlp_traces",
    "otlp_metrics",
    "otlp_logs",
]);
const STREAM_FORMAT_DOC: &str = "What messages hold: documents of JSON as log lines or metrics, alerts as Alertmanager takes them, changes, alerts or changes of any shape by a mapping, or OTLP as protobuf.";

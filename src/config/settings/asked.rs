//! Settings of the sources that ask others for telemetry.

use super::{FROM, Section, Setting, WHEN_FULL, needed, setting};
use crate::config::kind::Kind;

pub(super) const SECTIONS: &[Section] = &[
    Section {
        path: "sources.scrape[]",
        settings: &[
            setting(
                "job",
                Kind::Text,
                "\"scrape\"",
                "Value of the label `job`, and name of the source.",
            ),
            needed(
                "targets",
                Kind::TextList,
                "Targets asked for their metrics: `HOST:PORT`, or a whole address if they are not at `http://HOST:PORT/metrics`.",
            ),
            setting(
                "interval_s",
                Kind::Integer(1, 3_600),
                "15",
                "Time between two scrapes of a target, in seconds.",
            ),
            setting(
                "timeout_s",
                Kind::Integer(1, 600),
                "10",
                "A target that has not answered by then is down, in seconds.",
            ),
            setting(
                "labels",
                Kind::TextTable,
                "{}",
                "Labels put on every series.",
            ),
            setting(
                "token_file",
                Kind::Path,
                "",
                "File that holds the token the targets want (`Authorization: Bearer`), read anew each time.",
            ),
        ],
    },
    Section {
        path: "sources.promql[]",
        settings: &[
            setting(
                "name",
                Kind::Text,
                "\"prometheus\"",
                "Name of the source, `promql NAME`.",
            ),
            needed(
                "url",
                Kind::Text,
                "Address of a Prometheus, VictoriaMetrics or what answers like one, without `/api/v1`.",
            ),
            setting(
                "select",
                Kind::TextList,
                "",
                "Selectors such as `{job=\"shop\"}`: series keep their names.",
            ),
            setting(
                "named",
                Kind::TextTable,
                "{}",
                "Expressions whose series have no name, by the name they get.",
            ),
            setting(
                "interval_s",
                Kind::Integer(1, 3_600),
                "30",
                "Time between two points of a series, past and present, and between two questions, in seconds.",
            ),
            setting(
                "delay_s",
                Kind::Integer(0, 3_600),
                "30",
                "How long after a point's time it is asked for, in seconds. VictoriaMetrics shows nothing younger than 30 s.",
            ),
            TIMEOUT,
            setting(
                "history_days",
                Kind::Integer(0, 90),
                "14",
                "How much of the past is learned from at the start, in days; what was learned before is not learned again.",
            ),
            setting(
                "warms",
                Kind::Text,
                "",
                "Source that pushes the same series, such as `remote_write`: only the past is asked for then.",
            ),
            setting(
                "labels",
                Kind::TextTable,
                "{}",
                "Labels put on every series.",
            ),
            TOKEN_FILE,
        ],
    },
    Section {
        path: "sources.loki_tail[]",
        settings: &[
            setting(
                "name",
                Kind::Text,
                "\"loki\"",
                "Name of the source, `loki_tail NAME`.",
            ),
            needed(
                "url",
                Kind::Text,
                "Address of a Loki, without `/loki/api/v1`.",
            ),
            needed(
                "query",
                Kind::Text,
                "LogQL that selects lines, such as `{namespace=\"shop\"}`.",
            ),
            setting(
                "tenant",
                Kind::Text,
                "",
                "Tenant that is asked for (`X-Scope-OrgID`).",
            ),
            TIMEOUT,
            setting("labels", Kind::TextTable, "{}", "Labels put on every line."),
            TOKEN_FILE,
        ],
    },
    Section {
        path: "sources.loki_tail[].poll",
        settings: POLL,
    },
    Section {
        path: "sources.elastic[]",
        settings: &[
            setting(
                "name",
                Kind::Text,
                "\"elastic\"",
                "Name of the source, `elastic NAME`.",
            ),
            needed(
                "url",
                Kind::Text,
                "Address of an Elasticsearch or OpenSearch, such as `https://es:9200`.",
            ),
            setting(
                "product",
                Kind::Choice(&["elasticsearch", "opensearch"]),
                "\"elasticsearch\"",
                "Which of the two it is. Elasticsearch (7.12 or later) is read from points in time.",
            ),
            setting(
                "index",
                Kind::Text,
                "\"logs-*\"",
                "Indices, data streams or aliases, with commas and `*`.",
            ),
            setting(
                "query",
                Kind::Text,
                "\"*\"",
                "What is asked for, in the words of a Lucene query: `service.name:cart AND NOT log.level:debug`.",
            ),
            setting(
                "tie_breaker",
                Kind::Text,
                "",
                "Field that orders documents of the same instant, such as `event.sequence`, instead of a point in time or, in OpenSearch, `_id`.",
            ),
            TIMEOUT,
            setting("labels", Kind::TextTable, "{}", "Labels put on every line."),
            setting(
                "auth",
                Kind::Choice(&["api_key", "bearer", "basic"]),
                "\"api_key\"",
                "What the secret is: an encoded API key, a bearer token, or `user:password`.",
            ),
            setting(
                "token_file",
                Kind::Path,
                "",
                "File that holds the secret, read anew each time.",
            ),
        ],
    },
    Section {
        path: "sources.elastic[].document",
        settings: DOCUMENT,
    },
    Section {
        path: "sources.elastic[].poll",
        settings: POLL,
    },
    Section {
        path: "sources.kubernetes[]",
        settings: &[
            setting(
                "name",
                Kind::Text,
                "\"kubernetes\"",
                "Name of the source, `kubernetes NAME`.",
            ),
            setting(
                "cluster",
                Kind::Text,
                "",
                "What the cluster is called: the label `k8s.cluster.name`.",
            ),
            setting(
                "kubeconfig",
                Kind::Path,
                "",
                "File that says where the cluster is and who we are. Default: as `kubectl` finds it, else the service account of the pod we run in.",
            ),
            setting(
                "context",
                Kind::Text,
                "",
                "Context of that file. Default: its current one.",
            ),
            setting(
                "namespace",
                Kind::Text,
                "",
                "The namespace watched. Default: all.",
            ),
            setting(
                "interval_s",
                Kind::Integer(1, 3_600),
                "15",
                "Time between two tellings of how everything is, in seconds.",
            ),
            setting(
                "when_full",
                WHEN_FULL,
                "\"block\"",
                "What happens while the engine is behind: wait, as the cluster tells it again, or lose and count.",
            ),
        ],
    },
];

/// When and how a store of log lines is asked.
const POLL: &[Setting] = &[
    setting(
        "every_s",
        Kind::Integer(1, 3_600),
        "5",
        "Time between two questions, in seconds.",
    ),
    setting(
        "delay_s",
        Kind::Integer(0, 3_600),
        "5",
        "How old a line is at least when it is asked for, in seconds.",
    ),
    setting(
        "late_s",
        Kind::Integer(0, 3_600),
        "60",
        "How far each question goes back behind the last one, for lines that were shown late, in seconds; what was taken is not taken again.",
    ),
    setting(
        "catch_up_s",
        Kind::Integer(60, 172_800),
        "3600",
        "How far back lines are asked for that nobody read, after a stop or an outage, in seconds. What is older is missed, and counted.",
    ),
    setting(
        "lines_max",
        Kind::Integer(1, 10_000),
        "5000",
        "Lines asked for at once. Fewer are asked for while answers are longer than 16 MiB.",
    ),
    setting(
        "from",
        FROM,
        "\"end\"",
        "Where to begin when nothing was read before: `catch_up_s` ago, or now. Later starts go on where the last one was.",
    ),
    setting(
        "when_full",
        WHEN_FULL,
        "\"block\"",
        "What happens while the engine is behind: wait, as the store has the lines still, or lose and count them.",
    ),
];

/// Which field of a document says what.
pub(super) const DOCUMENT: &[Setting] = &[
    setting(
        "timestamp",
        Kind::Text,
        "\"@timestamp\"",
        "Field of the time; a message without one is of when it was published. Fields are written with dots, whether documents nest them or not.",
    ),
    setting(
        "message",
        Kind::Text,
        "\"message\"",
        "Field of the text; a document without it is rejected.",
    ),
    setting("level", Kind::Text, "\"log.level\"", "Field of the level."),
    setting(
        "service",
        Kind::Text,
        "\"service.name\"",
        "Field of the service.",
    ),
    setting(
        "trace",
        Kind::Text,
        "\"trace.id\"",
        "Field of the trace, in hex.",
    ),
    setting(
        "labels",
        Kind::TextTable,
        "{ host = \"host.name\" }",
        "Fields that become labels, by the label's name.",
    ),
];

/// How long an answer is waited for.
const TIMEOUT: Setting = setting(
    "timeout_s",
    Kind::Integer(1, 600),
    "30",
    "An answer that is not there by then is given up and asked for again, in seconds.",
);

/// What we show a server.
const TOKEN_FILE: Setting = setting(
    "token_file",
    Kind::Path,
    "",
    "File that holds the token the server wants (`Authorization: Bearer`), read anew each time.",
);

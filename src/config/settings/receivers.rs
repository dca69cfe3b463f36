//! Settings of the sources that are sent telemetry.

use super::{Section, Setting, WHEN_FULL, needed, setting};
use crate::config::kind::Kind;

pub(super) const SECTIONS: &[Section] = &[
    Section {
        path: "sources",
        settings: &[
            setting(
                "insecure",
                Kind::Flag,
                "false",
                "Take telemetry without TLS, or without a token, on addresses that others can reach: whoever reaches them may send, and read along. Where there is no TLS the API is not served.",
            ),
            setting(
                "token_file",
                Kind::Path,
                "",
                "File that holds a token which every sender over HTTP and gRPC needs (`Authorization: Bearer`). Needed to listen on anything but loopback, unless `sources.insecure`. Forges prove their messages by themselves.",
            ),
            setting(
                "body_bytes_max",
                Kind::Integer(1_024, 1 << 30),
                "67108864",
                "Largest request body, in bytes, both as sent and after decompression. A larger one is answered 413.",
            ),
            setting(
                "requests_concurrent_max",
                Kind::Integer(1, 4_096),
                "64",
                "Requests decoded at the same time; more wait for their turn. Bounds memory together with `body_bytes_max`.",
            ),
        ],
    },
    Section {
        path: "sources.alerts",
        settings: &[setting(
            "enabled",
            Kind::Flag,
            "true",
            "Take alerts as Alertmanager does, at `/api/v2/alerts`.",
        )],
    },
    Section {
        path: "sources.remote_write",
        settings: &[setting(
            "enabled",
            Kind::Flag,
            "true",
            "Take metrics by Prometheus remote write, 1.0 and 2.0, at `/api/v1/write`.",
        )],
    },
    Section {
        path: "sources.otlp",
        settings: &[setting(
            "enabled",
            Kind::Flag,
            "true",
            "Take OTLP over HTTP, at `/v1/traces`, `/v1/metrics` and `/v1/logs`.",
        )],
    },
    Section {
        path: "sources.changes",
        settings: &[setting(
            "enabled",
            Kind::Flag,
            "true",
            "Take changes from pipelines, at `/api/v1/changes`.",
        )],
    },
    Section {
        path: "sources.loki",
        settings: &[setting(
            "enabled",
            Kind::Flag,
            "true",
            "Take logs as Loki does, at `/loki/api/v1/push`.",
        )],
    },
    Section {
        path: "sources.notifications",
        settings: &[
            setting(
                "enabled",
                Kind::Flag,
                "true",
                "Take what Alertmanager and Grafana notify by webhook, at `/webhook/alerts`.",
            ),
            HOLD,
        ],
    },
    Section {
        path: "sources.pagerduty",
        settings: &[
            setting(
                "enabled",
                Kind::Flag,
                "true",
                "Take events of PagerDuty's Events API v2, alerts and changes, at `/v2/enqueue` and `/v2/change/enqueue`.",
            ),
            HOLD,
        ],
    },
    Section {
        path: "sources.webhook[]",
        settings: &[
            needed(
                "name",
                Kind::Text,
                "Last part of its path, `/webhook/in/NAME`, and name of the source.",
            ),
            setting(
                "kind",
                Kind::Choice(&["alert", "change"]),
                "\"alert\"",
                "What its items are.",
            ),
            setting(
                "items",
                Kind::Text,
                "",
                "JSON pointer to the list of items, such as `/alerts`. Default: the body itself, one item or a list.",
            ),
            setting(
                "id",
                Kind::Text,
                "",
                "JSON pointer to what an item is known by. Default: its labels, or for a change what it says and the minute.",
            ),
            setting(
                "title",
                Kind::Text,
                "",
                "JSON pointer to one line about it.",
            ),
            setting(
                "status",
                Kind::Text,
                "",
                "JSON pointer to what says whether an alert is over.",
            ),
            setting(
                "resolved",
                Kind::TextList,
                "[\"resolved\", \"ok\"]",
                "Words of `status` by which an alert is over.",
            ),
            setting(
                "at",
                Kind::Text,
                "",
                "JSON pointer to when it began or happened: RFC 3339, or seconds or milliseconds since the epoch.",
            ),
            setting(
                "version",
                Kind::Text,
                "",
                "JSON pointer to the version that a change led to.",
            ),
            needed(
                "labels",
                Kind::TextTable,
                "Labels by JSON pointers, such as `{ service = \"/app\" }`; without a slash, what is written. A change needs `service`.",
            ),
            setting(
                "hold_s",
                Kind::Integer(60, 604_800),
                "21600",
                "How long an alert fires that nobody resolves, in seconds.",
            ),
        ],
    },
    Section {
        path: "sources.github",
        settings: &[setting(
            "secret_file",
            Kind::Path,
            "",
            "File with the secret of GitHub's webhook, on one line: deployments and releases are taken at `/webhook/github` if the signature fits.",
        )],
    },
    Section {
        path: "sources.gitlab",
        settings: &[setting(
            "secret_file",
            Kind::Path,
            "",
            "File with the secret of GitLab's webhook, on one line: deployments and releases are taken at `/webhook/gitlab` if the token fits.",
        )],
    },
    Section {
        path: "sources.gitea",
        settings: &[setting(
            "secret_file",
            Kind::Path,
            "",
            "File with the secret of Gitea's webhook, on one line: deployments and releases are taken at `/webhook/gitea` if the signature fits.",
        )],
    },
    Section {
        path: "sources.heartbeat[]",
        settings: &[
            needed(
                "name",
                Kind::Text,
                "Last part of its path, `/heartbeat/NAME`, and name of the source.",
            ),
            needed(
                "every_s",
                Kind::Integer(1, 31_622_400),
                "Time between two beats, in seconds.",
            ),
            setting(
                "grace_s",
                Kind::Integer(0, 31_622_400),
                "60",
                "How much later than that a beat may be, in seconds.",
            ),
            setting(
                "severity",
                Kind::Choice(&["critical", "warning", "info"]),
                "\"critical\"",
                "Severity of the alert.",
            ),
            setting(
                "labels",
                Kind::TextTable,
                "{}",
                "Labels of the alert; `service` or `host` say whose it is.",
            ),
        ],
    },
    Section {
        path: "sources.syslog",
        settings: &[
            setting(
                "udp",
                Kind::AddressOrOff,
                "\"\"",
                "Take syslog datagrams here (RFC 5424 and 3164). What finds no room is lost and counted.",
            ),
            setting(
                "tcp",
                Kind::AddressOrOff,
                "\"\"",
                "Take syslog streams here, framed by lines or octet counts.",
            ),
            setting(
                "tls",
                Kind::AddressOrOff,
                "\"\"",
                "Take syslog streams over TLS here, with the certificate of `[tls]`.",
            ),
            setting(
                "client_ca_file",
                Kind::Path,
                "",
                "Certificate authorities, in PEM: over TLS only who shows a certificate of one of them may send. Default: anybody.",
            ),
            setting(
                "when_full",
                WHEN_FULL,
                "\"block\"",
                "What a stream does while the engine is behind: wait, so that the sender keeps what it has, or drop and count.",
            ),
            ALLOW,
        ],
    },
    Section {
        path: "sources.statsd",
        settings: &[
            setting(
                "udp",
                Kind::AddressOrOff,
                "\"\"",
                "Take StatsD and DogStatsD datagrams here. What finds no room is lost and counted.",
            ),
            setting(
                "flush_s",
                Kind::Integer(1, 300),
                "10",
                "Time over which metrics are put together before they are handed over, in seconds.",
            ),
            ALLOW,
        ],
    },
];

/// How long an alert fires that is only told to begin.
const HOLD: Setting = setting(
    "hold_s",
    Kind::Integer(60, 604_800),
    "21600",
    "How long an alert fires that nobody resolves, in seconds: longer than until it is notified again.",
);

/// Who may send by a protocol without tokens.
const ALLOW: Setting = setting(
    "allow",
    Kind::TextList,
    "",
    "Networks that may send, such as `10.0.0.0/8`, or single addresses; what others send is rejected and counted. Default: all that can reach us. Over UDP a sender can claim any address.",
);

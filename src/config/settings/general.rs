//! Settings of the whole: where it listens and keeps things, who may use it, and who is told.

use super::{Section, needed, setting};
use crate::config::kind::{KEYMAPS, Kind, THEMES};

pub(super) const SECTIONS: &[Section] = &[
    Section {
        path: "",
        settings: &[
            setting(
                "environment",
                Kind::Text,
                "\"local\"",
                "Name of what is watched, shown in the header and in every export.",
            ),
            setting(
                "data_dir",
                Kind::Path,
                "",
                "Where journal, database and recorder live. Default: `stormglass` in the user's state directory.",
            ),
            setting(
                "socket",
                Kind::Path,
                "",
                "The API's Unix socket. Default: `stormglass.sock` in the user's runtime directory.",
            ),
            setting(
                "socket_group",
                Kind::Text,
                "",
                "A group of this machine whose members may open the socket too (mode 0660), by name or number; without it, only the daemon's own user and root. The folders above the socket must let them through.",
            ),
            setting(
                "listen",
                Kind::Address,
                "\"127.0.0.1:9797\"",
                "Where all receivers listen: alerts, remote write, OTLP and changes.",
            ),
            setting(
                "otlp_listen",
                Kind::AddressOrOff,
                "\"127.0.0.1:4318\"",
                "A second address for OTLP over HTTP, the one that OpenTelemetry SDKs use by default. Empty for none.",
            ),
            setting(
                "otlp_grpc_listen",
                Kind::AddressOrOff,
                "\"127.0.0.1:4317\"",
                "Where OTLP over gRPC is taken, the address that OpenTelemetry SDKs use by default. Empty for none.",
            ),
            setting(
                "runbooks_dir",
                Kind::Path,
                "",
                "A directory of your own runbooks (`*.toml`), besides the built-in ones. The same name replaces a built-in one.",
            ),
            setting(
                "catalogue",
                Kind::PathList,
                "",
                "Backstage catalogues: files, and directories searched for `catalog-info.yaml` below them. Components and resources bring owners, links and dependencies; `[[entities]]` goes before them.",
            ),
            setting(
                "theme",
                Kind::Named(THEMES),
                "",
                "Name of a theme, or path of one. Default: chosen by what the terminal can show.",
            ),
            setting(
                "keymap",
                Kind::Named(KEYMAPS),
                "",
                "Name of a keymap, or path of one.",
            ),
        ],
    },
    Section {
        path: "operators[]",
        settings: &[
            needed(
                "name",
                Kind::Text,
                "A person who may use the API: their name in the journal. On the socket it is a user of this machine.",
            ),
            setting(
                "uid",
                Kind::Integer(0, 4_294_967_295),
                "",
                "Number of their user on this machine, which the socket vouches for: goes before the name, also for users that `/etc/passwd` does not list.",
            ),
            setting(
                "role",
                Kind::Choice(&["viewer", "responder", "commander", "admin"]),
                "\"viewer\"",
                "What they may do; each role includes the ones before it.",
            ),
            setting(
                "token_file",
                Kind::Path,
                "",
                "File that holds their token for the listener, on one line.",
            ),
            setting(
                "token_env",
                Kind::Text,
                "",
                "Environment variable that holds their token instead.",
            ),
        ],
    },
    Section {
        path: "notify[]",
        settings: &[
            needed(
                "name",
                Kind::Text,
                "A receiver of notifications: an incident is bad, worse, or over. Its name in messages.",
            ),
            setting(
                "url",
                Kind::Text,
                "",
                "Where a JSON object is posted to, again and again until it is taken.",
            ),
            setting(
                "url_env",
                Kind::Text,
                "",
                "Environment variable that holds the address instead, as it may be a secret.",
            ),
            setting(
                "token_file",
                Kind::Path,
                "",
                "File that holds a bearer token for it.",
            ),
            setting(
                "token_env",
                Kind::Text,
                "",
                "Environment variable that holds the token instead.",
            ),
            setting(
                "severity",
                Kind::Choice(&["error", "critical"]),
                "\"error\"",
                "Milder incidents are not told.",
            ),
        ],
    },
    Section {
        path: "alertmanagers[]",
        settings: &[
            needed(
                "name",
                Kind::Text,
                "An Alertmanager whose silences are kept in step with ours: listed, made and ended on both sides. Its name in lists.",
            ),
            needed(
                "url",
                Kind::Text,
                "Where it is: what stands before `/api/v2`.",
            ),
            setting(
                "token_file",
                Kind::Path,
                "",
                "File that holds a bearer token for it, read anew each time.",
            ),
            setting(
                "every_s",
                Kind::Integer(1, 3_600),
                "15",
                "How often it is asked, in seconds.",
            ),
            setting(
                "push",
                Kind::Flag,
                "true",
                "Make silences there that are made here, and end there what is ended here. Without it theirs are taken, and nothing is changed there.",
            ),
        ],
    },
    Section {
        path: "tls",
        settings: &[
            setting(
                "cert_file",
                Kind::Path,
                "",
                "Certificate of the listeners with those that vouch for it, in PEM. Needed to listen on anything but loopback, unless `sources.insecure`.",
            ),
            setting("key_file", Kind::Path, "", "Its private key, in PEM."),
        ],
    },
];

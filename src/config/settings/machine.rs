//! Settings of the sources that look at the machine they run on.

use super::{FROM, Section, needed, setting};
use crate::config::kind::Kind;

pub(super) const SECTIONS: &[Section] = &[
    Section {
        path: "sources.host",
        settings: &[
            setting(
                "enabled",
                Kind::Flag,
                "true",
                "Watch this host: processor, memory, disks, network, load, and Stormglass itself.",
            ),
            setting(
                "interval_s",
                Kind::Integer(1, 3_600),
                "5",
                "Time between two looks at this host, in seconds.",
            ),
            setting(
                "name",
                Kind::Text,
                "",
                "Name of this host's entity. Default: the host name.",
            ),
        ],
    },
    Section {
        path: "sources.journald",
        settings: &[
            setting(
                "enabled",
                Kind::Flag,
                "false",
                "Follow the systemd journal, with `journalctl`. The user needs the group `systemd-journal` for what is not its own.",
            ),
            setting(
                "units",
                Kind::TextList,
                "",
                "Only these units, such as `[\"checkout.service\"]`. Default: all.",
            ),
            setting(
                "files",
                Kind::PathList,
                "",
                "Files of journals to follow instead of this machine's own.",
            ),
            setting(
                "from",
                FROM,
                "\"end\"",
                "Where to begin when nothing was read before; later starts go on where the last one was.",
            ),
        ],
    },
    Section {
        path: "sources.tail[]",
        settings: &[
            needed(
                "paths",
                Kind::PathList,
                "Log files to follow. `*` and `?` match within a path component, `**` over directories.",
            ),
            setting(
                "service",
                Kind::Text,
                "",
                "Service the lines belong to. Default: the file's name without its extension.",
            ),
            setting("labels", Kind::TextTable, "{}", "Labels put on every line."),
            setting(
                "from",
                FROM,
                "\"end\"",
                "Where to begin in a file that is there when Stormglass starts. Files that appear later are read from their start.",
            ),
            setting(
                "multiline",
                Kind::Flag,
                "true",
                "Join continuation lines, such as stack traces, to the line they belong to.",
            ),
            setting(
                "line_bytes_max",
                Kind::Integer(256, 1 << 20),
                "65536",
                "Longest line kept, in bytes. The rest of a longer line is cut and counted.",
            ),
        ],
    },
];

//! Whether what a config names is there on this machine: `check` says it. Without what says who may come in, `serve` does
//! not start; without what one source or receiver of notifications needs, it starts, and says so.
//!
//! It only looks, at files, their modes and `/proc`; what is in a file is judged by whoever reads it.

use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::place::Place;
use crate::config::{self, Config, NamedFile};
use crate::daemon::{self, Fault, Weight};

/// Permissions by which everybody on this machine reads a file.
const READ_BY_ALL: u32 = 0o004;
/// Ports below this one are for root, unless the kernel says otherwise.
const PRIVILEGED_PORT_MAX: u16 = 1_024;
/// Where it says otherwise.
const PORT_START: &str = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
/// Where a process finds what it may do.
const STATUS: &str = "/proc/self/status";
/// The bit of the right to listen on any port.
const CAP_NET_BIND_SERVICE: u32 = 10;

/// What is found of what a config names: sentences that begin with file and line.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// With any of these, `serve` does not start.
    pub errors: Vec<String>,
    /// It starts without what these are about, and shows it as failed. `check` refuses them like errors.
    pub lacking: Vec<String>,
    /// Whether any of that may come while it runs: a file may, a variable of the environment cannot.
    pub may_come: bool,
    /// It starts with these.
    pub warnings: Vec<String>,
}

impl Found {
    /// Everything that is wrong, worst first; nothing for a config that is right.
    pub(super) fn wrong(&self) -> Option<String> {
        let wrong: Vec<&str> = self
            .errors
            .iter()
            .chain(&self.lacking)
            .map(String::as_str)
            .collect();
        (!wrong.is_empty()).then(|| wrong.join("\n"))
    }

    /// Looks at the files that a config names; gives those that are not there.
    fn look_at_files(
        &mut self,
        text: &str,
        at: impl Fn(Option<usize>) -> String,
    ) -> Vec<NamedFile> {
        let mut gone = Vec::new();
        for named in config::named_files(text) {
            let place = at(Some(named.line));
            match openable(&named.path) {
                Err(why) => {
                    let weight = if named.lets_in {
                        Weight::Refuses
                    } else {
                        Weight::Lacks
                    };
                    self.add(weight, format!("{place}: {}", missing(&named, &why)));
                    gone.push(named);
                }
                Ok(mode) if named.is_secret && mode & READ_BY_ALL != 0 => {
                    self.warnings.push(format!("{place}: {}", readable(&named)));
                }
                Ok(_) => {}
            }
        }
        gone
    }

    fn add(&mut self, weight: Weight, sentence: String) {
        match weight {
            Weight::Refuses => self.errors.push(sentence),
            Weight::Lacks => {
                self.may_come = true;
                self.lacking
                    .push(format!("{sentence}; the daemon does without until then"));
            }
            Weight::LacksVariable => self.lacking.push(format!(
                "{sentence}; the daemon does without until it is started with it"
            )),
        }
    }
}

/// Looks at everything that the config in force names.
pub(super) fn look(place: &Place) -> Found {
    let text = place.file.as_ref().map(std::fs::read_to_string);
    // It was read a moment ago; without a file nothing is named.
    look_with(place, &text.and_then(Result::ok).unwrap_or_default())
}

/// The same with the text of the config at hand: what the file says by now may not be what is in force.
pub(super) fn look_with(place: &Place, text: &str) -> Found {
    let mut found = Found::default();
    let Some(file) = &place.file else {
        return found;
    };
    let shown = file.display().to_string();
    let at =
        |line: Option<usize>| line.map_or_else(|| shown.clone(), |line| format!("{shown}:{line}"));
    let told = found.look_at_files(text, at);
    if let Some(index) = unbuilt(&place.config) {
        let place = at(config::line_of(text, "sources.kubernetes", index));
        found.errors.push(format!("{place}: [[sources.kubernetes]]: this program was built without Kubernetes: build it with `--features kubernetes`, or leave the section out"));
    }
    // What is there may still be none of what it should be; what is not was told.
    let mut faults = daemon::faults(&place.config);
    faults.retain(|fault| !told.iter().any(|named| is_about(fault, named)));
    for fault in faults {
        let line = match fault.index {
            Some(index) => config::line_of(text, fault.setting, index),
            None => config::line_of_setting(text, fault.setting),
        };
        found.add(fault.weight, format!("{}: {}", at(line), fault.why));
    }
    let rights = Rights::own();
    for (setting, address) in listeners(&place.config) {
        if !rights.may_listen(address.port()) {
            let place = at(config::line_of_setting(text, setting));
            found.warnings.push(format!(
                "{place}: `{setting}` is port {}, and only root may listen below {}: give the daemon CAP_NET_BIND_SERVICE (systemd: `AmbientCapabilities=CAP_NET_BIND_SERVICE`), or take a higher port",
                address.port(),
                rights.port_start
            ));
        }
    }
    found
}

/// Whether a fault is that of a file.
fn is_about(fault: &Fault, named: &NamedFile) -> bool {
    let of = fault.file.as_ref();
    of.is_some_and(|(setting, path)| named.setting == *setting && named.path == *path)
}

fn missing(named: &NamedFile, why: &str) -> String {
    format!(
        "`{}` names {}, which cannot be read: {why}; write it there, or name another",
        named.setting,
        named.path.display()
    )
}

fn readable(named: &NamedFile) -> String {
    let path = named.path.display();
    format!(
        "`{}` names {path}, which everybody on this machine can read: `chmod o-r {path}`",
        named.setting
    )
}

/// The mode of a file that can be read, else why it cannot.
fn openable(path: &Path) -> Result<u32, String> {
    // Asked first: opening a pipe would wait for whoever writes to it.
    let about = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if about.is_dir() {
        return Err("it is a folder".to_owned());
    }
    if about.is_file() {
        File::open(path).map_err(|error| error.to_string())?;
    }
    Ok(about.permissions().mode())
}

/// The first cluster, where none can be watched.
fn unbuilt(config: &Config) -> Option<usize> {
    let is_built = cfg!(feature = "kubernetes");
    (!is_built && !config.sources.kubernetes.is_empty()).then_some(0)
}

/// What is listened on, by setting.
fn listeners(config: &Config) -> impl Iterator<Item = (&'static str, SocketAddr)> {
    let syslog = &config.sources.syslog;
    let all = [
        ("listen", Some(config.listen)),
        ("otlp_listen", config.otlp_listener()),
        ("otlp_grpc_listen", config.grpc_listener()),
        ("sources.syslog.udp", syslog.udp),
        ("sources.syslog.tcp", syslog.tcp),
        ("sources.syslog.tls", syslog.tls),
        ("sources.statsd.udp", config.sources.statsd.udp),
    ];
    all.into_iter()
        .filter_map(|(setting, address)| Some((setting, address?)))
}

/// What this process may listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rights {
    /// The first port that anybody may.
    port_start: u16,
    /// Whether it may on all of them.
    is_privileged: bool,
}

impl Rights {
    fn own() -> Self {
        let start = std::fs::read_to_string(PORT_START).ok();
        let status = std::fs::read_to_string(STATUS).unwrap_or_default();
        Self {
            port_start: start
                .and_then(|text| text.trim().parse().ok())
                .unwrap_or(PRIVILEGED_PORT_MAX),
            is_privileged: has_capability(&status, CAP_NET_BIND_SERVICE),
        }
    }

    const fn may_listen(self, port: u16) -> bool {
        // 0 asks for any port that is free.
        port == 0 || port >= self.port_start || self.is_privileged
    }
}

/// Whether a process' status says that it has a right in effect.
fn has_capability(status: &str, bit: u32) -> bool {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective
        .and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok())
        .is_some_and(|set| set >> bit & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::client::Address;

    #[test]
    fn low_ports_are_for_those_who_may() {
        let anybody = Rights {
            port_start: 1_024,
            is_privileged: false,
        };
        let root = Rights {
            is_privileged: true,
            ..anybody
        };
        for (port, expected) in [(0, true), (514, false), (1_023, false), (1_024, true)] {
            assert_eq!(anybody.may_listen(port), expected, "{port}");
            assert!(root.may_listen(port), "{port}");
        }
        let status = |set: &str| format!("Name:\tx\nCapPrm:\t0000000000000000\nCapEff:\t{set}\n");
        for (set, expected) in [
            ("0000000000000400", true),
            ("000001ffffffffff", true),
            ("0000000000000200", false),
            ("", false),
        ] {
            assert_eq!(
                has_capability(&status(set), CAP_NET_BIND_SERVICE),
                expected,
                "{set}"
            );
        }
    }

    #[test]
    fn what_is_told_of_one_file_hides_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        // There, and too short to be any.
        std::fs::write(path("t-mia"), "abc").unwrap();
        let text = format!(
            "[[operators]]\nname = \"mia\"\ntoken_file = \"{}\"\n[[sources.scrape]]\ntargets = [\"h:1\"]\ntoken_file = \"{}\"\n[[notify]]\nname = \"pager\"\nurl_env = \"STORMGLASS_NO_SUCH\"\n",
            path("t-mia"),
            path("t")
        );
        let file = folder.path().join("c.toml");
        std::fs::write(&file, &text).unwrap();
        let place = Place {
            config: config::parse(&text, "c.toml").unwrap().0,
            warnings: Vec::new(),
            file: Some(file),
            data_dir: folder.path().to_owned(),
            address: Address::Socket(folder.path().join("s")),
        };
        let found = look_with(&place, &text);
        assert!(found.may_come, "{found:?}");
        let is_told = |told: &[String], what: &str| told.iter().any(|line| line.contains(what));
        assert!(is_told(&found.errors, "[[operators]] mia: "), "{found:?}");
        assert!(is_told(
            &found.lacking,
            "`sources.scrape.token_file` names "
        ));
        assert!(is_told(&found.lacking, "STORMGLASS_NO_SUCH"));
        // Nothing but a variable is lacking then, which cannot come any more.
        for name in ["t", "t-mia"] {
            std::fs::write(path(name), "a token of a good length").unwrap();
        }
        let found = look_with(&place, &text);
        assert_eq!(
            (found.lacking.len(), found.may_come),
            (1, false),
            "{found:?}"
        );
    }

    #[test]
    fn files_that_are_not_there_or_open_to_all_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        assert!(openable(&path).unwrap_err().starts_with("No such file"));
        assert_eq!(openable(folder.path()).unwrap_err(), "it is a folder");
        std::fs::write(&path, "secret").unwrap();
        for (mode, is_open) in [(0o600, false), (0o640, false), (0o644, true)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(
                openable(&path).unwrap() & READ_BY_ALL != 0,
                is_open,
                "{mode:o}"
            );
        }
    }
}

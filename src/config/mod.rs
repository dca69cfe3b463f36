//! Text to `(Config, warnings)`: pure, so that `stormglass check` and every test see what the daemon sees.
//!
//! It never reads a file, a clock or the environment, and it never guesses: a setting that is not
//! in the table of `settings` is an error that names the nearest one, with file and line.

mod access;
mod alertmanagers;
mod catalogue;
mod engine;
mod hold;
mod kind;
mod names;
mod networks;
mod notify;
mod parse;
mod polls;
mod pulls;
pub mod reference;
mod runbook;
mod settings;
mod slo;
mod sources;
mod streams;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use access::{OperatorConfig, TlsConfig};
pub use alertmanagers::AlertmanagerConfig;
pub use catalogue::{Added, Catalogue, CatalogueError};
pub use engine::{DeclaredEdge, DeclaredEntity, EngineConfig, PolicyConfig};
pub use hold::{InhibitConfig, MaintenanceConfig, RuleConfig, Schedule};
pub use kind::{KEYMAPS, Kind, THEMES, is_path};
pub use networks::Networks;
pub use notify::NotifyConfig;
pub use parse::{
    ConfigError, NamedFile, Warning, line_of, line_of_setting, line_of_tail_path, named_files,
    parse, shipped_like, without_token,
};
pub use polls::{
    DocumentFields, ElasticAuth, ElasticConfig, ElasticProduct, LokiTailConfig, PollConfig,
};
pub use pulls::{JournaldConfig, KubernetesConfig, PromqlConfig};
pub use runbook::{RunbookFileError, demo_runbooks, parse_runbook, shipped_runbooks, with_own};
pub use settings::{Section, Setting, sections};
pub use slo::SloConfig;
pub use sources::{
    ForgeConfig, HeartbeatConfig, HookConfig, HostConfig, ReceiverConfig, ScrapeConfig,
    SourcesConfig, StatsdConfig, SyslogConfig, TailConfig, TailFrom, WebhookConfig, WebhookKind,
    WhenFull,
};
pub use streams::{
    KafkaConfig, KafkaSasl, MessageConfig, MessageSettings, MetricFields, NatsConfig, StreamFormat,
};

/// Default port of the receivers' listener.
pub const LISTEN_PORT: u16 = 9797;
/// Default port of OTLP over HTTP, as the OpenTelemetry specification sets it.
pub const OTLP_PORT: u16 = 4318;
/// Default port of OTLP over gRPC, as the OpenTelemetry specification sets it.
pub const OTLP_GRPC_PORT: u16 = 4317;

/// Everything Stormglass may be told. The default is what runs without a config file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Name of the environment watched, shown in the header: `prod-eu`, …
    pub environment: String,
    /// Journal, database and recorder; the platform's state directory if not given.
    pub data_dir: Option<PathBuf>,
    /// The API's Unix socket; inside the runtime directory if not given.
    pub socket: Option<PathBuf>,
    /// Group of this machine whose members may open the socket, by name or number; only the owner if
    /// not given.
    pub socket_group: Option<String>,
    /// Where all receivers listen.
    pub listen: SocketAddr,
    /// Where OpenTelemetry senders expect a receiver besides; empty in the file for nowhere.
    #[serde(with = "address_or_off")]
    pub otlp_listen: Option<SocketAddr>,
    /// Where OpenTelemetry senders expect gRPC; empty in the file for nowhere.
    #[serde(with = "address_or_off")]
    pub otlp_grpc_listen: Option<SocketAddr>,
    /// A team's own runbooks, beside the built-in ones.
    pub runbooks_dir: Option<PathBuf>,
    /// Backstage catalogues: files, and folders searched for `catalog-info.yaml`.
    pub catalogue: Vec<PathBuf>,
    /// Name or path of the theme; the console chooses by the terminal if not given.
    pub theme: Option<String>,
    /// Name or path of the keymap.
    pub keymap: Option<String>,
    /// People who may use the API.
    pub operators: Vec<OperatorConfig>,
    /// Who is told of incidents.
    pub notify: Vec<NotifyConfig>,
    /// Alertmanagers whose silences are kept in step with ours.
    pub alertmanagers: Vec<AlertmanagerConfig>,
    /// The listeners' certificate.
    pub tls: TlsConfig,
    /// Telemetry in.
    pub sources: SourcesConfig,
    /// The flight recorder.
    pub recorder: RecorderConfig,
    /// The engine. In the file, its `dependencies`, `entities`, `slo`, `maintenance`, `inhibit` and `rules` are
    /// lists at the top level, such as `[[entities]]`.
    pub engine: EngineConfig,
}

/// What is recorded for replay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecorderConfig {
    /// Whether anything is.
    pub enabled: bool,
    /// Bytes on disk all segments may take together.
    pub bytes_max: u64,
}

impl Default for RecorderConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            bytes_max: 2 << 30,
        }
    }
}

impl Config {
    /// Where OTLP is taken besides `listen`, if it is taken at all.
    pub fn otlp_listener(&self) -> Option<SocketAddr> {
        let address = self.otlp_listen.filter(|_| self.sources.otlp.enabled);
        address.filter(|address| *address != self.listen)
    }

    /// Where OTLP over gRPC is taken, if it is taken at all.
    pub fn grpc_listener(&self) -> Option<SocketAddr> {
        self.otlp_grpc_listen.filter(|_| self.sources.otlp.enabled)
    }

    /// Listeners with TLS that others can reach and where everybody may send all the same: no token is
    /// asked for there, or their protocol knows none. Setting and address.
    pub fn tokenless_listeners(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        // Without TLS they are exposed already.
        let lacks_token = self.tls.is_on() && self.sources.token_file.is_none();
        let http = |address: Option<SocketAddr>| address.filter(|_| lacks_token);
        // Who may connect is said in another way.
        let syslog = &self.sources.syslog;
        let is_syslog_kept_to = !syslog.allow.is_empty() || syslog.client_ca_file.is_some();
        beyond_loopback([
            ("listen", http(Some(self.listen))),
            ("otlp_listen", http(self.otlp_listener())),
            ("otlp_grpc_listen", http(self.grpc_listener())),
            (
                "sources.syslog.tls",
                syslog.tls.filter(|_| !is_syslog_kept_to),
            ),
        ])
    }

    /// Listeners that others can reach although nothing there would be secret: setting and address.
    pub fn exposed_listeners(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        let is_open = !self.tls.is_on();
        let syslog = &self.sources.syslog;
        beyond_loopback([
            ("listen", Some(self.listen).filter(|_| is_open)),
            ("otlp_listen", self.otlp_listener().filter(|_| is_open)),
            ("otlp_grpc_listen", self.grpc_listener().filter(|_| is_open)),
            ("sources.syslog.udp", syslog.udp),
            ("sources.syslog.tcp", syslog.tcp),
            ("sources.statsd.udp", self.sources.statsd.udp),
        ])
    }
}

/// Those of some listeners that others can reach.
fn beyond_loopback<const N: usize>(
    listeners: [(&'static str, Option<SocketAddr>); N],
) -> impl Iterator<Item = (&'static str, SocketAddr)> {
    listeners
        .into_iter()
        .filter_map(|(setting, address)| Some((setting, address?)))
        .filter(|(_, address)| !address.ip().is_loopback())
}

impl Default for Config {
    fn default() -> Self {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self {
            environment: "local".to_owned(),
            data_dir: None,
            socket: None,
            socket_group: None,
            listen: SocketAddr::new(loopback, LISTEN_PORT),
            otlp_listen: Some(SocketAddr::new(loopback, OTLP_PORT)),
            otlp_grpc_listen: Some(SocketAddr::new(loopback, OTLP_GRPC_PORT)),
            runbooks_dir: None,
            catalogue: Vec::new(),
            theme: None,
            keymap: None,
            operators: Vec::new(),
            notify: Vec::new(),
            alertmanagers: Vec::new(),
            tls: TlsConfig::default(),
            sources: SourcesConfig::default(),
            recorder: RecorderConfig::default(),
            engine: EngineConfig::default(),
        }
    }
}

/// An address, or the empty text for none: TOML has no null, and leaving it out means the default.
mod address_or_off {
    use super::{Deserialize, Deserializer, Serialize, Serializer, SocketAddr};

    #[expect(
        clippy::ref_option,
        reason = "serde calls it with a reference to the field"
    )]
    pub fn serialize<S: Serializer>(
        address: &Option<SocketAddr>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        address
            .map_or_else(String::new, |a| a.to_string())
            .serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<SocketAddr>, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listeners_that_are_opened_are_exposed_or_lack_a_token() {
        let with_tls = "[tls]\ncert_file = \"c.pem\"\nkey_file = \"k.pem\"\n";
        let everywhere = "otlp_listen = \"0.0.0.0:4318\"\notlp_grpc_listen = \"0.0.0.0:4317\"\n";
        let off = "[sources.otlp]\nenabled = false\n";
        let same = "listen = \"0.0.0.0:80\"\notlp_listen = \"0.0.0.0:80\"\n";
        let cases: [(&str, &str, &[&str]); 3] = [
            (everywhere, "", &["otlp_listen", "otlp_grpc_listen"]),
            (everywhere, off, &[]),
            (same, "", &["listen"]),
        ];
        for (top, section, expected) in cases {
            let config = |tls| toml::from_str::<Config>(&format!("{top}{tls}{section}")).unwrap();
            let (clear, tls) = (config(""), config(with_tls));
            let names = |listeners: &mut dyn Iterator<Item = (&'static str, SocketAddr)>| {
                listeners.map(|(name, _)| name).collect::<Vec<_>>()
            };
            assert_eq!(names(&mut clear.exposed_listeners()), expected);
            assert_eq!(names(&mut clear.tokenless_listeners()), [""; 0]);
            assert_eq!(names(&mut tls.tokenless_listeners()), expected);
            assert_eq!(names(&mut tls.exposed_listeners()), [""; 0]);
        }
    }
}

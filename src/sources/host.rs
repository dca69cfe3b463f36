//! This host's own telemetry: processor, memory, disks, network, load, and what we cost ourselves.
//!
//! It works without any config, so that the first screen is never empty. A look may hang (a dead
//! network disk): it runs on a thread of its own, one at a time, and a hang is shown, not waited for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sysinfo::{Disk, Disks, Networks, Pid, ProcessRefreshKind, ProcessesToUpdate, System};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::{Clock, SignalSender, secrets};
use crate::config::HostConfig;
use crate::model::{Labels, Sample, Series, SeriesKind, Signal, Time, Unit};

/// A look that takes longer, in seconds, is shown as failed until it returns.
const LOOK_S_MAX: u64 = 10;

/// Most disks and most network interfaces watched.
const DEVICES_MAX: usize = 64;

/// File systems that are full by nature.
const FULL_BY_NATURE: [&str; 4] = ["squashfs", "iso9660", "erofs", "cramfs"];

/// Interfaces that are not of the host: the loopback and the ends of container networks.
const INTERFACES_IGNORED: [&str; 2] = ["lo", "veth"];

/// Looks at this host, again and again.
struct Probe {
    labels: Vec<(&'static str, String)>,
    system: System,
    disks: Disks,
    networks: Networks,
    own: Option<Pid>,
    /// Use of processors is known from the second look on: it is counted in between.
    looked_before: bool,
    series: BTreeMap<(&'static str, String), Arc<Series>>,
}

/// What is being written down of one look.
struct Look<'a> {
    at: Time,
    labels: &'a [(&'static str, String)],
    series: &'a mut BTreeMap<(&'static str, String), Arc<Series>>,
    signals: Vec<Signal>,
}

/// The name of this host, as its entity is called.
pub(super) fn name(config: &HostConfig) -> String {
    let given = config.name.clone().or_else(|| System::host_name().ok());
    given
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".to_owned())
}

/// Watches this host until the future is dropped.
pub(super) async fn watch(config: HostConfig, sender: SignalSender, clock: Clock) {
    let mut interval = tokio::time::interval(Duration::from_secs(config.interval_s.into()));
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let host = name(&config);
    let mut probe = None;
    loop {
        interval.tick().await;
        let (at, host, ready) = (clock(), host.clone(), probe.take());
        let look = tokio::task::spawn_blocking(move || {
            let mut probe = match ready {
                Some(probe) => probe,
                None => Probe::new(host)?,
            };
            let signals = probe.look(at);
            Ok((probe, signals))
        });
        match finished(look, &sender).await {
            Ok((back, signals)) => {
                sender.recovered();
                probe = Some(back);
                if sender.send(signals).await.is_err() {
                    return;
                }
            }
            Err(why) => sender.fail(&format!("cannot look at this host: {why}; trying again")),
        }
    }
}

/// What came of a look. One that hangs is shown as failed meanwhile, and never doubled.
async fn finished<T>(
    mut look: JoinHandle<Result<T, sysinfo::Error>>,
    sender: &SignalSender,
) -> Result<T, String> {
    let limit = Duration::from_secs(LOOK_S_MAX);
    let done = if let Ok(done) = tokio::time::timeout(limit, &mut look).await {
        done
    } else {
        sender.fail(&format!(
            "looking at this host takes longer than {LOOK_S_MAX} s: is a network disk gone?"
        ));
        look.await
    };
    match done {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(panicked) => Err(panicked.to_string()),
    }
}

impl Probe {
    fn new(host: String) -> Result<Self, sysinfo::Error> {
        Ok(Self {
            labels: vec![("host", host)],
            system: System::new()?,
            disks: Disks::new_with_refreshed_list()?,
            networks: Networks::new_with_refreshed_list()?,
            own: sysinfo::get_current_pid().ok(),
            looked_before: false,
            series: BTreeMap::new(),
        })
    }

    /// One look, as samples.
    fn look(&mut self, at: Time) -> Vec<Signal> {
        self.system.refresh_cpu_usage();
        self.system.refresh_memory();
        self.disks.refresh(true);
        self.networks.refresh(true);
        if let Some(pid) = self.own {
            let what = ProcessRefreshKind::nothing().with_cpu().with_memory();
            self.system
                .refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, what);
        }
        let mut look = Look {
            at,
            labels: &self.labels,
            series: &mut self.series,
            signals: Vec::new(),
        };
        if self.looked_before {
            let busy = f64::from(self.system.global_cpu_usage()) / 100.0;
            look.gauge("host_cpu_utilization_ratio", Unit::Ratio, "", busy);
        }
        load_and_memory(&self.system, &mut look);
        disks(&self.disks, &mut look);
        networks(&self.networks, &mut look);
        if let Some(process) = self.own.and_then(|pid| self.system.process(pid)) {
            if self.looked_before {
                let share = f64::from(process.cpu_usage()) / 100.0;
                look.gauge("stormglass_cpu_ratio", Unit::Ratio, "", share);
            }
            let bytes = process.memory() as f64;
            look.gauge("stormglass_memory_bytes", Unit::Bytes, "", bytes);
        }
        self.looked_before = true;
        look.signals
    }
}

fn load_and_memory(system: &System, look: &mut Look<'_>) {
    let processors = system.cpus().len().max(1) as f64;
    if let Ok(load) = System::load_average() {
        look.gauge("host_load1_per_cpu", Unit::None, "", load.one / processors);
    }
    if system.total_memory() > 0 {
        let free = system.available_memory() as f64 / system.total_memory() as f64;
        look.gauge("host_memory_utilization_ratio", Unit::Ratio, "", 1.0 - free);
    }
    if system.total_swap() > 0 {
        let used = system.used_swap() as f64 / system.total_swap() as f64;
        look.gauge("host_swap_utilization_ratio", Unit::Ratio, "", used);
    }
}

fn disks(disks: &Disks, look: &mut Look<'_>) {
    // The same device mounted twice, as bind mounts are, is one disk.
    let mut seen = BTreeSet::new();
    let watched = disks.iter().filter(|disk| is_watched(disk));
    for disk in watched
        .filter(|disk| seen.insert(disk.name().to_owned()))
        .take(DEVICES_MAX)
    {
        let mount = disk.mount_point().to_string_lossy();
        let (total, free) = (disk.total_space() as f64, disk.available_space() as f64);
        look.gauge(
            "host_disk_used_ratio",
            Unit::Ratio,
            &mount,
            1.0 - free / total,
        );
        look.gauge("host_disk_free_bytes", Unit::Bytes, &mount, free);
        let moved = disk.usage();
        let (read, written) = (moved.total_read_bytes, moved.total_written_bytes);
        look.counter("host_disk_read_bytes_total", Unit::Bytes, &mount, read);
        look.counter(
            "host_disk_written_bytes_total",
            Unit::Bytes,
            &mount,
            written,
        );
    }
}

fn is_watched(disk: &Disk) -> bool {
    let full_by_nature = FULL_BY_NATURE.iter().any(|fs| disk.file_system() == *fs);
    disk.total_space() > 0 && !disk.is_read_only() && !full_by_nature
}

fn networks(networks: &Networks, look: &mut Look<'_>) {
    let mut watched: Vec<_> = networks
        .iter()
        .map(|(name, data)| (name.to_string_lossy(), data))
        .filter(|(name, _)| !INTERFACES_IGNORED.iter().any(|i| name.starts_with(i)))
        .collect();
    watched.sort_by(|a, b| a.0.cmp(&b.0));
    for (name, data) in watched.into_iter().take(DEVICES_MAX) {
        let errors = data.total_errors_on_received() + data.total_errors_on_transmitted();
        for (metric, unit, value) in [
            (
                "host_network_receive_bytes_total",
                Unit::Bytes,
                data.total_received(),
            ),
            (
                "host_network_transmit_bytes_total",
                Unit::Bytes,
                data.total_transmitted(),
            ),
            ("host_network_errors_total", Unit::None, errors),
        ] {
            look.counter(metric, unit, &name, value);
        }
    }
}

impl Look<'_> {
    fn gauge(&mut self, name: &'static str, unit: Unit, device: &str, value: f64) {
        self.sample(name, SeriesKind::Gauge, unit, device, value);
    }

    fn counter(&mut self, name: &'static str, unit: Unit, device: &str, value: u64) {
        self.sample(name, SeriesKind::Counter, unit, device, value as f64);
    }

    fn sample(
        &mut self,
        name: &'static str,
        kind: SeriesKind,
        unit: Unit,
        device: &str,
        value: f64,
    ) {
        if !value.is_finite() {
            return;
        }
        let labels = self.labels;
        let key = (name, device.to_owned());
        let series = self.series.entry(key).or_insert_with(|| {
            let host = labels.iter().map(|(name, value)| (*name, value.as_str()));
            let device = (!device.is_empty()).then_some(("device", device));
            // A mount point longer than a label is left without its name rather than unwatched.
            let labels = Labels::from_pairs(host.chain(device)).unwrap_or_default();
            Arc::new(secrets::series(name, labels, kind, unit))
        });
        self.signals.push(Signal::Sample(Sample {
            series: Arc::clone(series),
            at: self.at,
            value,
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_tells_of_processor_memory_and_ourselves() {
        let mut probe = Probe::new("here".to_owned()).unwrap();
        let first = probe.look(Time::from_secs(1));
        let second = probe.look(Time::from_secs(6));
        let samples = |signals: Vec<Signal>| -> Vec<Sample> {
            let samples = signals.into_iter().map(|signal| match signal {
                Signal::Sample(sample) => sample,
                other => panic!("not a sample: {other:?}"),
            });
            samples.collect()
        };
        let (first, second) = (samples(first), samples(second));
        for name in [
            "host_cpu_utilization_ratio",
            "host_memory_utilization_ratio",
            "host_load1_per_cpu",
            "stormglass_memory_bytes",
        ] {
            assert!(second.iter().any(|s| &*s.series.name == name), "{name}");
        }
        for sample in &second {
            assert_eq!(sample.series.labels.get("host"), Some("here"));
            assert_eq!(sample.at, Time::from_secs(6));
            if sample.series.unit == Unit::Ratio && sample.series.name.starts_with("host_") {
                assert!((0.0..=1.0).contains(&sample.value), "{sample:?}");
            }
        }
        let same = first
            .iter()
            .zip(&second)
            .filter(|(a, b)| a.series.id == b.series.id);
        for (before, after) in same {
            assert!(Arc::ptr_eq(&before.series, &after.series));
        }
    }

    #[test]
    fn the_name_is_as_configured() {
        let named = HostConfig {
            name: Some("node-1".to_owned()),
            ..HostConfig::default()
        };
        assert_eq!(name(&named), "node-1");
        assert!(!name(&HostConfig::default()).is_empty());
    }
}

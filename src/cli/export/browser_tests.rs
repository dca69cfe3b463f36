//! The page in a real browser: it is laid out, its drawings have a size, and it loads nothing.
//!
//! Runs where a Chromium is installed (or `STORMGLASS_BROWSER` names one), and says so when it does not.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::tests::detail;
use super::*;
use crate::model::{Chart, ChartMark, EntityId, Lane, MetricRole, SeriesId, Unit};

/// Appended to a copy of the page, for the browser to say what it made of it.
const PROBE: &str = "<script>
const all = (what) => [...document.querySelectorAll(what)];
const root = document.documentElement;
document.body.dataset.facts = [
  'overflow=' + (root.scrollWidth > root.clientWidth),
  'flat=' + all('svg').filter((svg) => svg.getBoundingClientRect().height < 20).length,
  'drawn=' + all('svg').length,
  'lines=' + all('polyline').filter((line) => line.getTotalLength() > 100).length,
  'outside=' + all('svg').filter((svg) => {
    const box = svg.getBBox(), view = svg.viewBox.baseVal;
    return box.x < -1 || box.y < -6 || box.x + box.width > view.width + 6 || box.y + box.height > view.height + 6;
  }).length,
  'loaded=' + performance.getEntriesByType('resource').length,
  'scripts=' + (document.scripts.length - 1),
  'links=' + document.links.length,
].join(' ');
</script>";
/// Widths of windows: a laptop's, a telephone's.
const WIDTHS: [u32; 2] = [1_280, 420];

fn browser() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("STORMGLASS_BROWSER") {
        return Some(named.into());
    }
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut candidates = names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    candidates.find(|candidate| candidate.is_file())
}

fn chart() -> Chart {
    let points = 60;
    let times: Vec<Time> = (0..points).map(|n| Time::from_secs(60 + n * 15)).collect();
    Chart {
        series: SeriesId(1),
        entity: EntityId::parse("gateway"),
        title: "gateway p99 <b>latency</b>".into(),
        role: MetricRole::Latency,
        unit: Unit::Seconds,
        values: (0..points)
            .map(|n| if n == 7 { f32::NAN } else { n as f32 })
            .collect(),
        low: vec![2.0; times.len()],
        high: vec![9.0; times.len()],
        abnormal_since: Some(Time::from_secs(300)),
        marks: vec![ChartMark {
            at: Time::from_secs(240),
            lane: Lane::Change,
            text: "deploy".into(),
        }],
        times,
    }
}

fn dumped(browser: &Path, page: &Path, width: u32) -> String {
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--window-size={width},900"))
        .arg("--dump-dom")
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_browser_draws_the_page_and_loads_nothing() {
    let Some(browser) = browser() else {
        eprintln!("SKIPPED: no chromium is installed, so no browser has looked at the page");
        return;
    };
    let detail = detail();
    let panels = Panels {
        charts: vec![chart(), chart()],
        ..Panels::default()
    };
    let page = html::render(&Document {
        detail: &detail,
        panels: &panels,
        environment: "test".to_owned(),
        now: Time::from_secs(120),
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.html");
    std::fs::write(&file, page.replace("</body>", &format!("{PROBE}</body>"))).unwrap();
    for width in WIDTHS {
        let dom = dumped(&browser, &file, width);
        let facts = dom
            .split_once("data-facts=\"")
            .and_then(|(_, rest)| rest.split_once('"'));
        let (facts, _) = facts.unwrap_or_else(|| panic!("nothing was said:\n{dom}"));
        let expected = "overflow=false flat=0 drawn=3 lines=2 outside=0 loaded=0 scripts=0 links=0";
        assert_eq!(facts, expected, "at {width}");
        // Markup in telemetry stays text.
        assert!(!dom.contains("<b>latency"), "{dom}");
    }
}

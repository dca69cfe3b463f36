//! The program as people and scripts run it: exit codes, JSON, a daemon that starts and stops.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::Value;
use stormglass::config::EngineConfig;
use stormglass::model::{
    Alert, Batch, Fingerprint, Input, Labels, Record, Signal, SourceId, Stamped, Time,
};
use stormglass::store::journal::{Entry, Journal};
use stormglass::store::recorder::{Header, SegmentWriter};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_stormglass");
/// A daemon is ready or over within that on any machine.
const STARTS_WITHIN: Duration = Duration::from_mins(2);

/// A daemon of its own, in a directory of its own.
struct Served {
    dir: TempDir,
    child: Running,
    listen: String,
}

/// A child that does not outlive its test, whatever becomes of that.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How a daemon ends that should refuse to start, and what it said. One that starts all the same is ended, whatever it says
/// of that, and the test fails.
fn refused_start(command: &mut Command) -> Output {
    let command = command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = Running(command.spawn().unwrap());
    let log = BufReader::new(child.0.stderr.take().unwrap());
    let (heard, lines) = channel();
    // It ends with the daemon, which is ended when this test fails.
    std::thread::spawn(move || {
        log.split(b'\n')
            .map_while(Result::ok)
            .try_for_each(|line| heard.send(line))
    });
    let until = Instant::now() + STARTS_WITHIN;
    let mut stderr = Vec::new();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match lines.recv_timeout(left) {
            Ok(line) => stderr.extend([line, b"\n".to_vec()].concat()),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                let said = String::from_utf8_lossy(&stderr);
                panic!("it neither ended nor said that it is ready: {said}");
            }
        }
        let said = String::from_utf8_lossy(&stderr);
        assert!(!said.contains(" ready "), "it started: {said}");
    }
    Output {
        status: child.0.wait().unwrap(),
        stdout: Vec::new(),
        stderr,
    }
}

fn program(dir: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .env_clear()
        .env("HOME", dir)
        .args(["--config", dir.join("c.toml").to_str().unwrap()]);
    command
}

fn write_config(dir: &Path, more: &str) {
    let socket = dir.join("s.sock").display().to_string();
    let data = dir.join("data").display().to_string();
    let text = format!(
        "socket = \"{socket}\"\ndata_dir = \"{data}\"\nlisten = \"127.0.0.1:0\"\notlp_listen = \"\"\notlp_grpc_listen = \"\"\n{more}\n[sources.host]\nenabled = false\n"
    );
    std::fs::write(dir.join("c.toml"), text).unwrap();
}

impl Served {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        write_config(dir.path(), "");
        Self::start_in(dir)
    }

    /// A daemon on what was kept in a directory.
    fn start_in(dir: TempDir) -> Self {
        let child = program(dir.path())
            .arg("serve")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut child = Running(child);
        let mut log = BufReader::new(child.0.stderr.take().unwrap()).lines();
        let ready = log
            .by_ref()
            .map(Result::unwrap)
            .find(|line| line.contains("ready"))
            .expect("the daemon says that it is ready");
        // Keep reading, so that the daemon never waits for its log.
        std::thread::spawn(move || log.count());
        let (_, after) = ready.split_once("listen=").unwrap();
        let listen = after.split_whitespace().next().unwrap();
        let listen = listen.trim_matches('"').to_owned();
        Self { dir, child, listen }
    }

    fn run(&self, args: &[&str]) -> Output {
        program(self.dir.path()).args(args).output().unwrap()
    }

    fn json(&self, args: &[&str]) -> Value {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn stop(mut self) -> i32 {
        let id = self.child.0.id().to_string();
        Command::new("kill").arg(&id).status().unwrap();
        let status = self.child.0.wait().unwrap();
        assert!(
            !self.dir.path().join("s.sock").exists(),
            "the socket is gone"
        );
        status.code().unwrap()
    }
}

#[test]
fn a_run_that_was_killed_is_told_and_a_long_journal_is_paged_through() {
    let mut served = Served::start();
    audited(&served, 1);
    served.child.0.kill().unwrap();
    served.child.0.wait().unwrap();
    let Served { dir, .. } = served;
    let path = dir.path().join("data/journal.jsonl");
    let lines_added = 1_200;
    let (mut journal, _) = Journal::open(&path).unwrap();
    let entries: Vec<Entry> = (0..lines_added).map(started).collect();
    journal.append(&entries).unwrap();
    drop(journal);
    let served = Served::start_in(dir);
    let audit = |args: &[&str]| -> Vec<Value> {
        let lines = served.json(&[&["audit", "--json"], args].concat());
        lines.as_array().unwrap().clone()
    };
    let all = audited(&served, lines_added + 2);
    assert_eq!(all.len(), lines_added + 2);
    assert!(all.iter().zip(1..).all(|(line, n)| line["line"] == n));
    assert_eq!(audit(&["--limit", "1100"]), all[all.len() - 1_100..]);
    assert_eq!(audit(&[]), all[all.len() - 50..]);
    assert_eq!(all[0]["record"].get("unclean"), None);
    let last = all.last().unwrap();
    assert_eq!(last["record"]["unclean"], true);
    let told = served.run(&["audit", "--limit", "1"]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(
        told.contains("the run before DID NOT END IN ORDER"),
        "{told}"
    );
    let none = served.run(&["audit", "--limit", "0"]);
    assert_eq!(none.status.code(), Some(2));
    assert_eq!(served.stop(), 0);
}

/// A kill leaves the note of the end behind the journal, and half a line behind its end: `audit verify` says so,
/// and that nobody touched what is kept.
#[test]
fn what_a_kill_leaves_behind_is_no_tampering() {
    let mut served = Served::start();
    audited(&served, 1);
    let note = served.dir.path().join("data/journal.jsonl.head");
    let before = std::fs::read(&note).unwrap();
    served.run(&["ack", "7"]);
    audited(&served, 2);
    served.child.0.kill().unwrap();
    served.child.0.wait().unwrap();
    // Killed between the append and the note of it, and again within the next append.
    std::fs::write(&note, before).unwrap();
    let journal = served.dir.path().join("data/journal.jsonl");
    let whole = std::fs::read_to_string(&journal).unwrap();
    std::fs::write(&journal, whole + "{\"half").unwrap();
    let verify = |dir: &Path| {
        let verified = program(dir).args(["audit", "verify"]).output().unwrap();
        let said = String::from_utf8_lossy(&verified.stdout).into_owned();
        assert_eq!(verified.status.code(), Some(0), "{verified:?}");
        said
    };
    let said = verify(served.dir.path());
    let left = "journal.jsonl.head is 1 line behind, as a crash leaves it: the next start notes the end anew, and 6 bytes of an unfinished line, which the next start drops\n";
    assert!(
        said.contains(": 2 lines, as written; ") && said.ends_with(left),
        "{said}"
    );
    let Served { dir, .. } = served;
    let served = Served::start_in(dir);
    audited(&served, 3);
    let said = verify(served.dir.path());
    assert!(said.ends_with(": 3 lines, as written\n"), "{said}");
    assert_eq!(served.stop(), 0);
}

/// Connections that only wait keep nobody out, not even others of the same user.
/// `--keymap` is how the console takes it: it must not be an unknown option of the table.
#[test]
fn keys_print_the_table_of_the_keymap_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let table = |arguments: &[&str]| {
        let output = Command::new(PROGRAM)
            .env_clear()
            .env("HOME", dir.path())
            .arg("keys")
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    };
    let file = dir.path().join("mine.toml");
    std::fs::write(&file, "inherits = \"vim\"\nsilence = [\"f9\"]\n").unwrap();
    let file = file.to_str().unwrap();
    let usual = table(&[]);
    for name in ["vim", "emacs", file] {
        let named = table(&["--keymap", name]);
        assert_eq!(named, table(&[name]), "{name}");
        assert_ne!(named, usual, "{name}");
    }
    assert_eq!(table(&["--keymap", "default"]), usual);
}

#[test]
fn idle_connections_do_not_block_the_socket() {
    const IDLE: u64 = 1_500;
    let served = Served::start();
    let mut limit = getrlimit(Resource::Nofile);
    let room = limit.maximum.unwrap_or(u64::MAX);
    limit.current = Some(room.min(2 * IDLE));
    setrlimit(Resource::Nofile, limit).unwrap();
    let idle = IDLE.min(room.saturating_sub(200));
    let socket = served.dir.path().join("s.sock");
    let held: Vec<UnixStream> = (0..idle)
        .map(|_| UnixStream::connect(&socket).unwrap())
        .collect();
    let incidents = served.json(&["incidents", "--json"]);
    assert_eq!(incidents, serde_json::json!([]));
    drop(held);
    assert_eq!(served.stop(), 0);
}

/// All lines of the journal, once there are so many: a daemon answers before its start is written.
fn audited(served: &Served, count: usize) -> Vec<Value> {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let lines = served.json(&["audit", "--json", "--limit", "100000"]);
        let lines = lines.as_array().unwrap();
        if lines.len() >= count {
            return lines.clone();
        }
        assert!(std::time::Instant::now() < until, "{} lines", lines.len());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// A line that a daemon writes at its start.
fn started(n: usize) -> Entry {
    let at = Time::from_secs(1_768_392_000);
    Entry {
        at,
        seq: n as u64,
        record: Record::Started {
            version: "test".to_owned(),
            at,
            found: Vec::new(),
            unclean: false,
        },
    }
}

#[test]
fn a_data_folder_that_cannot_be_is_told_with_the_setting() {
    let dir = tempfile::tempdir().unwrap();
    write_config(dir.path(), "");
    let below_a_file = dir.path().join("c.toml/data").display().to_string();
    let mut serve = program(dir.path());
    let output = refused_start(serve.args(["--data-dir", &below_a_file, "serve"]));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let why = format!("cannot keep anything in {below_a_file}: ");
    assert!(said.contains(&why) && said.contains("--data-dir"), "{said}");
    let nowhere = program(dir.path()).args(["audit", "verify"]).output();
    let said = String::from_utf8_lossy(&nowhere.unwrap().stderr).into_owned();
    assert!(said.contains("give --data-dir, or the file"), "{said}");
}

#[test]
fn a_demo_refuses_what_it_would_ignore() {
    let dir = tempfile::tempdir().unwrap();
    write_config(dir.path(), "");
    let cases: [(&[&str], &str); 2] = [
        (
            &["demo", "quiet", "--headless", "--socket", "/tmp/x.sock"],
            "--socket needs a demo with a screen",
        ),
        (&["demo", "--data-dir", "/tmp/x"], "--keep DIR"),
    ];
    for (args, why) in cases {
        let output = program(dir.path()).args(args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn a_daemon_serves_lists_refuses_and_stops() {
    let served = Served::start();
    let socket = std::fs::metadata(served.dir.path().join("s.sock")).unwrap();
    assert!(socket.file_type().is_socket());
    assert_eq!(
        served.json(&["incidents", "--json"]),
        Value::Array(Vec::new())
    );
    assert_eq!(served.json(&["plans", "--json"]), Value::Array(Vec::new()));
    let listed = served.run(&["incidents"]);
    assert_eq!(String::from_utf8_lossy(&listed.stdout), "no incidents\n");
    let listed = served.run(&["alerts"]);
    let said = String::from_utf8_lossy(&listed.stdout).into_owned();
    let begins = "no alerts\nalerts: nothing was sent since the daemon was started; send to http://127.0.0.1:";
    assert!(said.starts_with(begins), "{said}");
    let held = served.run(&["alerts", "--held"]);
    assert_eq!(held.stdout, b"no alerts are held back\n");
    assert_eq!(served.json(&["alerts", "--json"]), Value::Array(Vec::new()));
    let refused = served.run(&["ack", "7", "--json"]);
    assert_eq!(refused.status.code(), Some(1));
    let reply: Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!(reply["refused"]["refused"], "no_incident");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(
        said,
        "{\"code\":1,\"error\":\"refused: there is no incident #7\"}\n"
    );
    let unknown = served.run(&["approve", "5"]);
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert_eq!(unknown.status.code(), Some(1), "{said}");
    assert_eq!(said, "stormglass: there is no plan 5\n");
    assert!(served.listen.starts_with("127.0.0.1:"), "{}", served.listen);
    assert_eq!(served.stop(), 0);
}

/// Tells a daemon's listener of alerts as an Alertmanager would.
fn send_alerts(served: &Served, body: &str) {
    let mut stream = TcpStream::connect(&served.listen).unwrap();
    let size = body.len();
    let head = "POST /api/v2/alerts HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close";
    write!(stream, "{head}\r\ncontent-length: {size}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// The numbers of open incidents, once there are so many.
fn incidents(served: &Served, count: usize) -> Vec<String> {
    let until = Instant::now() + STARTS_WITHIN;
    loop {
        let all = served.json(&["incidents", "--json"]);
        let all = all.as_array().unwrap();
        if all.len() == count {
            return all.iter().map(|row| row["id"].to_string()).collect();
        }
        assert!(Instant::now() < until, "not {count}: {all:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_a_merge_taught_can_be_taken_back_once() {
    let served = Served::start();
    let forget = |served: &Served| {
        let output = served.run(&["forget", "cart", "mail"]);
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    let learned = |served: &Served| {
        let bonds = &served.json(&["labels", "--json"])["bonds"];
        bonds.as_array().unwrap().len()
    };
    let refused = "stormglass: refused: the pair of cart and mail is not learned: nobody merged or split incidents of these two\n";
    assert_eq!(forget(&served), (Some(1), refused.to_owned()));
    for (alert, service, count) in [("SlowCart", "cart", 1), ("FullMail", "mail", 2)] {
        let body = format!(
            r#"[{{"labels":{{"alertname":"{alert}","service":"{service}","severity":"critical"}}}}]"#
        );
        send_alerts(&served, &body);
        incidents(&served, count);
    }
    let ids = incidents(&served, 2);
    let merged = served.run(&["merge", &ids[1], &ids[0]]);
    assert!(merged.status.success(), "{merged:?}");
    assert_eq!(learned(&served), 1);
    let taken_back = "service/cart and service/mail are grouped by evidence alone again\n";
    assert_eq!(forget(&served), (Some(0), taken_back.to_owned()));
    assert_eq!(learned(&served), 0);
    assert_eq!(forget(&served), (Some(1), refused.to_owned()));
}

#[test]
fn the_journal_keeps_decisions_and_names_the_line_that_was_changed() {
    let served = Served::start();
    served.run(&["ack", "7"]);
    let entries = served.json(&["audit", "--json"]);
    let kinds: Vec<&str> = entries
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["record"]["record"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["started", "decision"]);
    let verified = served.json(&["audit", "verify", "--json"]);
    assert_eq!(verified["lines"], 2);
    let dir = served.dir.path().to_owned();
    let journal = dir.join("data/journal.jsonl");
    let text = std::fs::read_to_string(&journal).unwrap();
    std::fs::write(&journal, text.clone() + "{\"half").unwrap();
    let verified = served.run(&["audit", "verify"]);
    let said = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(verified.status.success(), "{said}");
    let unfinished =
        "2 lines, as written, and 6 bytes of an unfinished line, which the next start drops\n";
    assert!(said.ends_with(unfinished), "{said}");
    std::fs::write(&journal, text.replacen("0.1.0", "0.1.1", 1)).unwrap();
    let verified = program(&dir).args(["audit", "verify"]).output().unwrap();
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    assert_eq!(verified.status.code(), Some(1));
    assert!(said.contains("line 1 was changed"), "{said}");
    // Without the note of its end, a shortened one cannot be told from a whole one.
    let first: String = text.split_inclusive('\n').take(1).collect();
    std::fs::write(&journal, first).unwrap();
    let note = dir.join("data/journal.jsonl.head");
    let head = std::fs::read_to_string(&note).unwrap();
    std::fs::remove_file(&note).unwrap();
    for (args, why) in [
        (&["audit", "verify"][..], "journal.jsonl.head is missing"),
        (
            &["audit", "verify", "--head", head.trim()],
            "line 2 was cut off",
        ),
    ] {
        let verified = program(&dir).args(args).output().unwrap();
        let said = String::from_utf8_lossy(&verified.stderr).into_owned();
        assert_eq!(verified.status.code(), Some(1), "{said}");
        assert!(said.contains(why), "{said}");
    }
    assert_eq!(served.stop(), 0);
}

#[test]
fn a_second_daemon_says_who_has_the_socket() {
    let served = Served::start();
    let second = refused_start(program(served.dir.path()).arg("serve"));
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("another daemon answers at"), "{said}");
    assert_eq!(served.stop(), 0);
}

#[test]
fn operators_whom_nothing_lets_in_are_told_and_an_unknown_group_ends_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let operator = "[[operators]]\nname = \"nobody-of-this-machine\"\n";
    write_config(dir.path(), operator);
    let checked = program(dir.path()).arg("check").output().unwrap();
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.success(), "{said}");
    let warned = "warning: `[[operators]]` nobody-of-this-machine cannot open the socket";
    assert!(said.contains(warned), "{said}");
    // The last is -1, by which the operating system would leave the group as it is.
    for group in ["no such group", "4294967295"] {
        write_config(dir.path(), &format!("socket_group = \"{group}\""));
        let why = format!("`socket_group` is \"{group}\", and /etc/group knows no such group: ");
        for command in ["check", "serve"] {
            let refused = refused_start(program(dir.path()).arg(command));
            let said = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert_eq!(refused.status.code(), Some(2), "{said}");
            assert!(said.contains(&format!("{why}give")), "{said}");
        }
    }
}

#[test]
fn a_config_without_end_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(PROGRAM);
    command.env_clear().env("HOME", dir.path());
    let refused = command.args(["--config", "/dev/zero", "check"]).output();
    let refused = refused.unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("/dev/zero: it has more than"), "{said}");
}

#[test]
fn a_daemon_goes_on_when_nobody_reads_its_log() {
    let dir = tempfile::tempdir().unwrap();
    write_config(dir.path(), "");
    let mut command = program(dir.path());
    let child = command.arg("serve").stderr(Stdio::piped()).spawn().unwrap();
    let mut child = Running(child);
    let mut log = BufReader::new(child.0.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("ready") {
        line.clear();
        log.read_line(&mut line).unwrap();
    }
    drop(log);
    let run = |args: &[&str]| program(dir.path()).args(args).output().unwrap();
    // Its signal is logged, and its end.
    assert!(run(&["automation", "stop"]).status.success());
    assert!(run(&["incidents"]).status.success());
    let id = child.0.id().to_string();
    Command::new("kill").arg(&id).status().unwrap();
    assert_eq!(child.0.wait().unwrap().code(), Some(0));
}

#[test]
fn a_port_in_use_names_the_setting() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    write_config(dir.path(), "");
    let text = std::fs::read_to_string(dir.path().join("c.toml")).unwrap();
    std::fs::write(
        dir.path().join("c.toml"),
        text.replace("127.0.0.1:0", &address),
    )
    .unwrap();
    let output = refused_start(program(dir.path()).arg("serve"));
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains(&address) && said.contains("`listen`"),
        "{said}"
    );
    assert!(!said.contains("watches"), "it watches nothing: {said}");
}

#[test]
fn failures_have_codes_and_say_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    write_config(dir.path(), "");
    let cases: [(&[&str], i32, &str); 5] = [
        (&["incidents"], 1, "start one with `stormglass serve`"),
        // Whoever names a daemon is not shown a quiet console of their own instead.
        (&["--socket", "none/here.sock"], 1, "no daemon answers"),
        (&["incidents", "--nonsense"], 2, "--nonsense"),
        (&["approve", "1"], 1, "start one with `stormglass serve`"),
        (&["show", "seven"], 2, "seven"),
    ];
    for (args, code, part) in cases {
        let output = program(dir.path()).args(args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(part), "{args:?}: {said}");
    }
    write_config(dir.path(), "enviroment = \"x\"");
    let output = program(dir.path()).arg("check").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said.contains("c.toml:6") && said.contains("environment"),
        "{said}"
    );
    write_config(dir.path(), "theme = \"themes/drak.toml\"");
    let output = program(dir.path()).arg("check").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("`theme = \"dark\"` meant"), "{said}");
}

#[test]
fn a_bad_config_keeps_no_client_from_the_daemon() {
    let served = Served::start();
    write_config(served.dir.path(), "enviroment = \"x\"");
    for arguments in [
        &["plans"][..],
        &["audit"],
        &["audit", "verify"],
        &["approve", "5"],
    ] {
        let output = served.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let code = i32::from(arguments[0] == "approve");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains("c.toml:6"), "{arguments:?}: {said}");
        assert!(
            said.contains("is not used but for"),
            "{arguments:?}: {said}"
        );
    }
    // A daemon is refused all the same.
    let refused = refused_start(program(served.dir.path()).arg("serve"));
    assert_eq!(refused.status.code(), Some(2));
    // A name that does not load is no reason either.
    write_config(served.dir.path(), "theme = \"pink\"\nkeymap = \"pico\"");
    for arguments in [&["keys"][..], &["keys", "--json"]] {
        let output = served.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
        assert!(
            said.contains("the default is used"),
            "{arguments:?}: {said}"
        );
    }
    // What is no TOML, or says where the daemon is in no way that can be read, may mean another one.
    let at = |name: &str| served.dir.path().join(name).display().to_string();
    let (data, socket) = (at("data"), at("s.sock"));
    for text in ["socket = \"", "data_dir = 5"] {
        std::fs::write(served.dir.path().join("c.toml"), text).unwrap();
        let cases: [(&[&str], i32); 5] = [
            (&["audit", "verify"], 2),
            (&["plans"], 2),
            (&["audit", "verify", "--socket", &socket], 2),
            (&["audit", "verify", "--data-dir", &data], 0),
            (&["plans", "--socket", &socket], 0),
        ];
        for (arguments, code) in cases {
            let output = served.run(arguments);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        }
    }
    assert_eq!(served.stop(), 0);
}

/// An address for OTLP that somebody else has is told with its setting, and not as one that is listened on.
#[test]
fn a_second_address_in_use_is_told_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    // Held until the daemon has tried.
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap();
    write_config(dir.path(), "");
    let file = dir.path().join("c.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text.replace("otlp_listen = \"\"", &format!("otlp_listen = \"{taken}\""));
    std::fs::write(&file, text).unwrap();
    let child = program(dir.path())
        .arg("serve")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut child = Running(child);
    let log = BufReader::new(child.0.stderr.take().unwrap()).lines();
    let mut told = Vec::new();
    for line in log.map(Result::unwrap) {
        let is_last = line.contains("ready");
        told.push(line);
        if is_last {
            break;
        }
    }
    Command::new("kill")
        .arg(child.0.id().to_string())
        .status()
        .unwrap();
    child.0.wait().unwrap();
    drop(other);
    let told = told.join("\n");
    let warned = format!(
        "{taken} is in use by another program: stop it, or give another address by `otlp_listen`"
    );
    assert!(told.contains("WARN") && told.contains(&warned), "{told}");
    assert!(
        !told.contains(&format!("watches otlp: http://{taken}")),
        "{told}"
    );
    assert!(told.contains("otlp_listen=nowhere"), "{told}");
}

/// A socket does not say where its daemon keeps what it keeps: another's journal is not checked instead.
#[test]
fn the_journal_of_another_daemon_is_never_checked_in_its_place() {
    let served = Served::start();
    audited(&served, 1);
    let at = |name: &str| served.dir.path().join(name).display().to_string();
    let (data, socket) = (at("data"), at("s.sock"));
    let refused = served.run(&["--socket", &socket, "audit", "verify"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("give --data-dir DIR, or the file"), "{said}");
    let journal = at("data/journal.jsonl");
    for place in [&["--data-dir", &data][..], &[&journal]] {
        let arguments = [&["--socket", &socket, "audit", "verify"], place].concat();
        let checked = served.run(&arguments);
        assert_eq!(checked.status.code(), Some(0), "{checked:?}");
    }
    assert_eq!(served.stop(), 0);
}

#[test]
fn shells_and_man_are_told_every_command() {
    let dir = tempfile::tempdir().unwrap();
    let cases: [&[&str]; 4] = [
        &["completions", "bash"],
        &["completions", "zsh"],
        &["completions", "fish"],
        &["man"],
    ];
    for arguments in cases {
        let output = program(dir.path()).args(arguments).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{arguments:?}");
        for command in ["demo", "approve", "audit", "completions"] {
            assert!(text.contains(command), "{arguments:?}: {command}");
        }
    }
}

#[test]
fn failures_are_json_for_whoever_asked_for_json() {
    let dir = tempfile::tempdir().unwrap();
    write_config(dir.path(), "");
    let cases: [(&[&str], i32, &str); 4] = [
        (&["--json", "incidents"], 1, "no daemon"),
        (&["ack", "7", "--json"], 1, "no daemon"),
        (&["--json", "ack", "x"], 2, "no incident"),
        (&["--json", "nonsense"], 2, "nonsense"),
    ];
    for (args, code, says) in cases {
        let done = program(dir.path()).args(args).output().unwrap();
        let text = String::from_utf8(done.stderr).unwrap();
        let told: Value = serde_json::from_str(&text).expect(&text);
        assert_eq!(done.status.code(), Some(code), "{args:?}");
        assert_eq!(told["code"], code, "{args:?}");
        assert!(told["error"].as_str().unwrap().contains(says), "{told}");
        assert!(done.stdout.is_empty(), "{args:?}");
    }
    write_config(dir.path(), "environment = \"\"");
    let done = program(dir.path())
        .args(["--json", "check"])
        .output()
        .unwrap();
    let told: Value = serde_json::from_slice(&done.stderr).unwrap();
    assert!(
        told["error"]
            .as_str()
            .unwrap()
            .contains("c.toml:6: `environment` is empty"),
        "{told}"
    );
}

#[test]
fn check_lists_every_source_and_serve_says_what_it_watches() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("no-such.log").display().to_string();
    let more = format!(
        "[[sources.tail]]\npaths = [\"{log}\"]\n[[sources.scrape]]\ntargets = [\"127.0.0.1:9\"]\n\
         [sources.syslog]\nudp = \"127.0.0.1:0\""
    );
    write_config(dir.path(), &more);
    let done = program(dir.path())
        .args(["--json", "check"])
        .output()
        .unwrap();
    let told: Value = serde_json::from_slice(&done.stdout).unwrap();
    let sources: Vec<&str> = told["sources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|source| source["source"].as_str().unwrap())
        .collect();
    for source in ["alerts", "otlp", "changes", "scrape", "syslog", "tail"] {
        assert!(sources.contains(&source), "{source} of {sources:?}");
    }
    let warning = told["warnings"][0].as_str().unwrap();
    assert!(warning.contains("c.toml:7: `sources.tail`"), "{warning}");

    let child = program(dir.path())
        .arg("serve")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut child = Running(child);
    let lines = BufReader::new(child.0.stderr.take().unwrap()).lines();
    let mut said = Vec::new();
    for line in lines.map(Result::unwrap) {
        let is_ready = line.contains("ready");
        said.push(line);
        if is_ready {
            break;
        }
    }
    // A daemon is ready before each of its sources has said how it is.
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let diagnosed = loop {
        let doctor = program(dir.path()).arg("doctor").output().unwrap();
        let told = String::from_utf8_lossy(&doctor.stdout).into_owned();
        if told.contains("source tail") || std::time::Instant::now() > until {
            break told;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    let asked = |source: &str| {
        let args = ["doctor", source];
        program(dir.path()).args(args).output().unwrap()
    };
    let (of_one, unknown) = (asked("tail"), asked("fax"));
    drop(child);
    let of_one = String::from_utf8_lossy(&of_one.stdout).into_owned();
    assert!(of_one.contains("source tail"), "{of_one}");
    assert!(!of_one.contains("runbooks:"), "one source alone: {of_one}");
    assert_eq!(unknown.status.code(), Some(2));
    let refused = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(
        refused.contains("there is no source fax; there are: "),
        "{refused}"
    );
    // It would stay when the file is there: the source says it, for as long as it is so.
    assert!(diagnosed.contains("source tail"), "{diagnosed}");
    assert!(!diagnosed.contains("matches no file yet"), "{diagnosed}");
    for text in [&format!("watches tail: {log}"), "matches no file yet"] {
        assert!(
            said.iter().any(|line| line.contains(text)),
            "{text} in {said:#?}"
        );
    }
}

/// A recording of five alerts, each on a service of its own, in two clusters; the last much later.
fn recording_of_alerts(path: &Path) {
    let start = Time::from_secs(1_768_392_000);
    let header = Header {
        made_by: "test".to_owned(),
        environment: "test".to_owned(),
        from: start,
        redacted: false,
        engine: EngineConfig::default(),
        runbooks: Vec::new(),
    };
    let alert = |name: &str, cluster: &str, at: Time| {
        let alertname = format!("{name} is down");
        let labels = [
            ("alertname", alertname.as_str()),
            ("service", name),
            ("cluster", cluster),
            ("severity", "error"),
        ];
        let labels = Labels::from_pairs(labels).unwrap();
        Input::Signals(Batch {
            source: SourceId::new("test"),
            signals: vec![Signal::Alert(Box::new(Alert {
                fingerprint: Fingerprint::of(&labels),
                labels,
                annotations: Labels::empty(),
                starts_at: at,
                ends_at: at.plus_ms(3_600_000),
                generator_url: None,
            }))],
        })
    };
    let told = [
        (10, "web", "a"),
        (20, "db", "a"),
        (30, "cart", "b"),
        (40, "pay", "a"),
        (900, "mail", "a"),
    ];
    let mut writer = SegmentWriter::new(Vec::new(), &header).unwrap();
    let mut seq = 0;
    for second in 0..1_000 {
        let at = start.plus_ms(second * 1_000);
        let came = told.iter().filter(|(when, ..)| *when == second);
        let came = came.map(|(_, name, cluster)| alert(name, cluster, at));
        for input in came.chain([Input::Tick]) {
            seq += 1;
            writer.put(&Stamped { seq, at, input });
        }
    }
    std::fs::write(path, writer.finish().unwrap()).unwrap();
}

#[test]
fn a_recording_that_breaks_off_is_replayed_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    write_config(dir.path(), "");
    let recording = dir.path().join("alerts.sgrec");
    recording_of_alerts(&recording);
    let replay = || {
        let file = recording.to_str().unwrap();
        let args = ["replay", file, "--speed", "max", "--json"];
        let output = program(dir.path()).args(args).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        let summary: Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
        (summary["torn_bytes"].as_u64().unwrap(), said)
    };
    assert_eq!(replay(), (0, String::new()));
    let whole = std::fs::read(&recording).unwrap();
    std::fs::write(&recording, &whole[..whole.len() - 40]).unwrap();
    let (torn, said) = replay();
    let text = format!("alerts.sgrec breaks off: {torn} bytes of it are no whole record\n");
    assert!(torn > 0 && said.contains(&text), "{torn}: {said}");
}

#[test]
fn who_watches_ends_with_its_reader() {
    let served = Served::start();
    let mut watch = program(served.dir.path())
        .args(["watch", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(watch.stdout.take().unwrap()).lines();
    assert!(told.next().is_some(), "what there is");
    drop(told);
    assert!(watch.wait().unwrap().success(), "nobody reads it any more");
}

#[test]
fn rules_are_tried_on_what_was_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let rule = "[[rules]]\nname = \"one cluster\"\nsame = [\"cluster\"]\n";
    write_config(dir.path(), &format!("{rule}enabled = false"));
    let recording = dir.path().join("alerts.sgrec");
    recording_of_alerts(&recording);
    let run = |args: &[&str]| program(dir.path()).args(args).output().unwrap();
    let recording = recording.to_str().unwrap();

    let tried = run(&["--json", "rules", "try", "--recording", recording]);
    assert!(tried.status.success(), "{tried:?}");
    let tried: Value = serde_json::from_slice(&tried.stdout).unwrap();
    let numbers = ["alerts", "incidents_now", "incidents_then"].map(|name| tried[name].as_u64());
    assert_eq!(numbers, [Some(5), Some(5), Some(3)], "{tried}");
    let [one] = &tried["differ"].as_array().unwrap()[..] else {
        panic!("one incident differs: {tried}")
    };
    assert_eq!(
        (one["alerts"].as_u64(), one["moved"].as_u64()),
        (Some(3), Some(2))
    );
    assert_eq!(one["now"], serde_json::json!([[1, 1], [2, 1], [4, 1]]));
    assert_eq!(tried["rules"][0]["times"], 2);
    assert_eq!(tried["incomplete"], serde_json::json!([]));

    // Another file, with a rule that asks for more than there is.
    let other = dir.path().join("other.toml");
    std::fs::write(&other, format!("{rule}at_least = 4\n")).unwrap();
    let tried = run(&[
        "rules",
        "try",
        other.to_str().unwrap(),
        "--recording",
        recording,
    ]);
    let text = String::from_utf8(tried.stdout).unwrap();
    let expected = "5 alerts -> 5 incidents with these rules, 5 as it is now\n\
        rule one cluster: followed 0 times (all alerts with the same cluster, within 5 min, on 4 entities or more)\n\
        no incident differs\n";
    assert_eq!(text.split_once('\n').unwrap().1, expected);

    let listed = run(&["--json", "rules", "list"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let what = "all alerts with the same cluster, within 5 min";
    let expected = serde_json::json!([
        { "name": "one cluster", "enabled": false, "what": what, "followed": null }
    ]);
    assert_eq!(listed, expected);

    write_config(dir.path(), rule);
    let nothing = run(&["rules", "try", "--recording", recording]);
    assert_eq!(nothing.status.code(), Some(2), "{nothing:?}");
    let said = String::from_utf8(nothing.stderr).unwrap();
    assert!(said.contains("there is nothing to try"), "{said}");
}

/// What says who may come in is refused before anything begins, in the same words by who looks and by who would start.
#[test]
fn what_check_refuses_of_doors_serve_refuses_too() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let gone = dir.path().join("gone").display().to_string();
    let (short, no_pem) = (write("short", "abc"), write("no.pem", "no certificate"));
    let cases = [
        (
            format!("[sources]\ntoken_file = \"{gone}\""),
            "c.toml:7: `sources.token_file` names ",
        ),
        (
            format!(
                "[[operators]]\nname = \"mia\"\ntoken_file = \"{}\"",
                dir.path().display()
            ),
            "it is a folder; write it there, or name another",
        ),
        (
            format!("[tls]\ncert_file = \"{no_pem}\"\nkey_file = \"{gone}\""),
            "c.toml:8: `tls.key_file` names ",
        ),
        (
            "socket_group = \"no such group\"".to_owned(),
            "c.toml:6: `socket_group` is ",
        ),
        (
            format!(
                "[[operators]]\nname = \"mia\"\ntoken_env = \"NOT_SET\"\n[tls]\ncert_file = \"{no_pem}\"\nkey_file = \"{no_pem}\""
            ),
            "c.toml:6: [[operators]] mia: ",
        ),
        (
            format!("[tls]\ncert_file = \"{no_pem}\"\nkey_file = \"{no_pem}\""),
            "c.toml:6: ",
        ),
        (format!("[sources]\ntoken_file = \"{short}\""), "c.toml:7: "),
        (
            "[[notify]]\nname = \"pager\"\nurl = \"ftp://pager\"".to_owned(),
            "c.toml:6: [[notify]] pager: ",
        ),
        // A door is refused whatever else is missing, which is told with it.
        (
            format!(
                "[sources.github]\nsecret_file = \"{gone}\"\n[[operators]]\nname = \"mia\"\ntoken_env = \"NOT_SET\""
            ),
            "c.toml:7: `sources.github.secret_file` names ",
        ),
    ];
    for (more, expected) in cases {
        write_config(dir.path(), &more);
        let said = ["check", "serve"].map(|command| {
            let done = refused_start(program(dir.path()).arg(command));
            assert_eq!(done.status.code(), Some(2), "{command}: {done:?}");
            String::from_utf8_lossy(&done.stderr).into_owned()
        });
        assert!(said[0].contains(expected), "{expected} in {}", said[0]);
        assert!(said[1].ends_with(&said[0]), "{said:#?}");
    }
    if !cfg!(feature = "kubernetes") {
        write_config(dir.path(), "[[sources.kubernetes]]");
        let done = program(dir.path()).arg("check").output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(
            said.contains("c.toml:6: [[sources.kubernetes]]: this program was built without"),
            "{said}"
        );
    }
    // What is odd and works is a warning.
    let open = write("open", "a secret of a good length");
    write_config(
        dir.path(),
        &format!("[sources.github]\nsecret_file = \"{open}\""),
    );
    let done = program(dir.path()).arg("check").output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(
        said.contains("c.toml:7: `sources.github.secret_file` names "),
        "{said}"
    );
    assert!(
        said.contains(&format!("can read: `chmod o-r {open}`")),
        "{said}"
    );
}

/// What is found out when the first incident cannot be told is found out too late.
#[test]
fn a_receiver_that_cannot_be_reached_is_broken_before_there_is_anything_to_tell() {
    let dir = tempfile::tempdir().unwrap();
    let there = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = there.local_addr().unwrap().port();
    // It answers once, and then nobody is there any more.
    let answer = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut asked, _) = there.accept().unwrap();
        let mut head = [0; 4_096];
        let read = asked.read(&mut head).unwrap();
        let no =
            b"HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        asked.write_all(no).unwrap();
        String::from_utf8_lossy(&head[..read]).into_owned()
    });
    let hook = format!("[[notify]]\nname = \"pager\"\nurl = \"http://127.0.0.1:{port}/hook\"");
    write_config(dir.path(), &hook);
    let served = Served::start_in(dir);
    let pager = |doctor: &Output| {
        let told = String::from_utf8_lossy(&doctor.stdout).into_owned();
        let line = told.lines().find(|line| line.contains("notify pager"));
        line.expect("it is looked at").to_owned()
    };
    let line = pager(&served.run(&["doctor"]));
    assert!(line.contains("it answers"), "{line}");
    let asked = answer.join().unwrap();
    assert!(asked.starts_with("HEAD /hook "), "{asked}");
    let doctor = served.run(&["doctor"]);
    let line = pager(&doctor);
    let says = ["BROKEN", "it cannot be told: ", "refused"];
    assert!(says.iter().all(|says| line.contains(says)), "{line}");
    assert_eq!(doctor.status.code(), Some(1));
    assert_eq!(served.stop(), 0);
}

/// At night, one secret that is missing must not keep everything else from being seen.
#[test]
fn a_source_whose_secret_is_missing_fails_alone_and_is_mended_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(path("short"), "abc").unwrap();
    let more = format!(
        "[sources.github]\nsecret_file = \"{}\"\n[sources.gitea]\nsecret_file = \"{}\"\n\
         [[sources.scrape]]\ntargets = [\"127.0.0.1:9\"]\ntoken_file = \"{}\"\n\
         [[notify]]\nname = \"pager\"\nurl_env = \"NOT_SET\"",
        path("github"),
        path("short"),
        path("scrape")
    );
    write_config(dir.path(), &more);
    let checked = program(dir.path()).arg("check").output().unwrap();
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert_eq!(checked.status.code(), Some(2), "{checked:?}");
    let sentences = [
        (
            "c.toml:7: `sources.github.secret_file` names ",
            "No such file",
        ),
        (
            "c.toml:12: `sources.scrape.token_file` names ",
            "No such file",
        ),
        (
            "c.toml:13: [[notify]] pager: `url_env` NOT_SET",
            "not found",
        ),
        (
            "c.toml:9: `sources.gitea.secret_file` ",
            "shorter than 16 bytes",
        ),
    ];
    assert_eq!(said.lines().count(), sentences.len(), "{said}");
    for (begins, why) in sentences {
        let line = said.lines().find(|line| line.contains(begins));
        let line = line.unwrap_or_else(|| panic!("{begins} in {said}"));
        assert!(
            line.contains(why) && line.contains("; the daemon does without until "),
            "{line}"
        );
    }

    let served = Served::start_in(dir);
    let doctor_says = |wanted: &[&str], gone: &[&str]| {
        let until = std::time::Instant::now() + std::time::Duration::from_mins(1);
        loop {
            let doctor = served.run(&["doctor"]);
            let told = String::from_utf8_lossy(&doctor.stdout).into_owned();
            let is_told = wanted.iter().all(|wanted| told.contains(wanted));
            if is_told && !gone.iter().any(|gone| told.contains(gone)) {
                return;
            }
            assert!(
                std::time::Instant::now() < until,
                "{wanted:?}, not {gone:?}: {told}"
            );
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    };
    let missing = "c.toml:7: `sources.github.secret_file` names ";
    let failed = "source github: `sources.github.secret_file` ";
    doctor_says(&[missing, failed], &[]);
    std::fs::write(
        served.dir.path().join("github"),
        "a secret of a good length",
    )
    .unwrap();
    doctor_says(
        &["`stormglass check` tells this and 2 more: "],
        &[missing, failed],
    );
    assert_eq!(served.stop(), 0);
}

#[test]
fn a_document_of_a_catalogue_is_left_out_as_long_as_it_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("catalogue.yaml");
    let component = |name: &str| format!("---\nkind: Component\nmetadata: {{ name: {name} }}\n");
    std::fs::write(
        &file,
        component("cart") + "---\nkind: [\n" + &component("search"),
    )
    .unwrap();
    write_config(dir.path(), &format!("catalogue = [\"{}\"]", file.display()));
    let checked = program(dir.path()).arg("check").output().unwrap();
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
    assert!(said.contains("catalogue     2\n"), "{said}");
    assert!(
        said.contains("catalogue.yaml:4: this document is left out: "),
        "{said}"
    );

    let served = Served::start_in(dir);
    // What it says now is taken when it starts again, and until then that is told.
    let banner_says = |words: &str| {
        let until = std::time::Instant::now() + std::time::Duration::from_mins(1);
        loop {
            let doctor = served.run(&["doctor"]);
            let told = String::from_utf8_lossy(&doctor.stdout).into_owned();
            let is_left_out = told.contains("catalogue.yaml:4: ");
            if told.contains(words) && is_left_out == words.contains("left out") {
                return;
            }
            assert!(std::time::Instant::now() < until, "{words}: {told}");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    };
    banner_says("this document is left out");
    std::fs::write(&file, component("cart") + &component("search")).unwrap();
    banner_says("takes effect at the next start");
    assert_eq!(served.stop(), 0);
}

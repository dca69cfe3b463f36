//! The senders' token: who has it is let in everywhere, who has not nowhere but where anybody may ask.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use tower::ServiceExt;

use crate::harness::Receivers;

const TOKEN: &str = "5f0f6a1c2b3d4e5f60718293a4b5c6d7";
const PATHS: [&str; 11] = [
    "/api/v2/alerts",
    "/api/v1/write",
    "/v1/traces",
    "/v1/metrics",
    "/v1/logs",
    "/api/v1/changes",
    "/loki/api/v1/push",
    "/webhook/alerts",
    "/v2/enqueue",
    "/webhook/in/zabbix",
    "/heartbeat/backup",
];

fn config(token: &tempfile::NamedTempFile, secret: &tempfile::NamedTempFile) -> String {
    std::fs::write(token.path(), TOKEN).expect("writable");
    std::fs::write(secret.path(), "a forge secret of some length").expect("writable");
    format!(
        "[sources]\ntoken_file = \"{}\"\n[sources.github]\nsecret_file = \"{}\"\n\
         [[sources.webhook]]\nname = \"zabbix\"\nlabels = {{ host = \"/host\" }}\n\
         [[sources.heartbeat]]\nname = \"backup\"\nevery_s = 60\n",
        token.path().display(),
        secret.path().display()
    )
}

#[tokio::test]
async fn receivers_say_that_they_speak_tls() {
    let names = [
        ("alerts", "/api/v2/alerts"),
        ("github", "/webhook/github"),
        ("heartbeat backup", "/heartbeat/backup"),
        ("remote_write", "/api/v1/write"),
        ("webhook zabbix", "/webhook/in/zabbix"),
    ];
    let files = [(); 2].map(|()| tempfile::NamedTempFile::new().expect("a file"));
    let clear = config(&files[0], &files[1]);
    let secret = format!("{clear}[tls]\ncert_file = \"c.pem\"\nkey_file = \"k.pem\"\n");
    for (config, scheme) in [(clear, "http"), (secret, "https")] {
        let receivers = Receivers::with(&config);
        for (name, path) in names {
            let place = format!("{scheme}://127.0.0.1:9797{path}");
            assert_eq!(receivers.row(name).detail, place);
        }
    }
}

#[tokio::test]
async fn every_receiver_asks_for_it() {
    let files = [(); 2].map(|()| tempfile::NamedTempFile::new().expect("a file"));
    let receivers = Receivers::with(&config(&files[0], &files[1]));
    let (right, wrong) = (format!("Bearer {TOKEN}"), "Bearer 0000");
    for path in PATHS {
        for headers in [&[][..], &[("authorization", wrong)]] {
            let answer = receivers.send("POST", path, headers, "{}").await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
        }
        let headers = [("authorization", &*right)];
        let answer = receivers.send("POST", path, &headers, "{}").await;
        let is_let_in = ![StatusCode::UNAUTHORIZED, StatusCode::NOT_FOUND].contains(&answer.status);
        assert!(is_let_in, "{path}: {}", answer.status);
    }
    assert_eq!(
        receivers.row("unauthorized").rejected,
        2 * PATHS.len() as u64
    );
    for path in ["/-/healthy", "/-/ready"] {
        assert_eq!(
            receivers.send("GET", path, &[], "").await.status,
            StatusCode::OK
        );
    }
    // A forge proves each message: its own refusal says so.
    let answer = receivers.send("POST", "/webhook/github", &[], "{}").await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(
        !answer.headers.contains_key("www-authenticate"),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn and_so_does_grpc() {
    let files = [(); 2].map(|()| tempfile::NamedTempFile::new().expect("a file"));
    let receivers = Receivers::with(&config(&files[0], &files[1]));
    let path = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
    for (token, status) in [("0", StatusCode::UNAUTHORIZED), (TOKEN, StatusCode::OK)] {
        let request = Request::post(path)
            .header("content-type", "application/grpc")
            .header("authorization", format!("Bearer {token}"))
            .body(Body::from(vec![0; 5]))
            .expect("well formed");
        let router = receivers.grpc().expect("on");
        assert_eq!(
            router.oneshot(request).await.expect("infallible").status(),
            status
        );
    }
}

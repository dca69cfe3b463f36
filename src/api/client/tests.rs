//! What is told of a daemon that does not answer, and how addresses are read.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_daemon_that_says_nothing_is_not_said_to_be_gone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.sock");
    let client = Client::new(Address::Socket(path.clone())).unwrap();
    let gone = client.view().await.unwrap_err().to_string();
    assert!(gone.starts_with("no daemon answers at "), "{gone}");
    let _listener = tokio::net::UnixListener::bind(&path).unwrap();
    let silent = client.view().await.unwrap_err().to_string();
    let said = format!(
        "the daemon at {} did not answer within 10 s: it is stopped, overloaded, or all its connections are taken; its log may say more",
        path.display()
    );
    assert_eq!(silent, said);
}

/// The daemon may do what it was told after all: nobody must be told that it was not done.
#[tokio::test(start_paused = true)]
async fn a_command_without_an_answer_may_still_be_done() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.sock");
    let client = Client::new(Address::Socket(path.clone())).unwrap();
    let approve = Command::Approve {
        plan: crate::model::PlanId(7),
        digest: "d".to_owned(),
    };
    let not_sent = client.command(&approve).await.unwrap_err();
    assert!(matches!(not_sent, ClientError::Unreachable { .. }));
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let silent = client.command(&approve).await.unwrap_err().to_string();
    let at = path.display();
    let rest = "it may still be done: look at plan 7 before trying again";
    let said = format!("approve plan 7: no answer from the daemon at {at} within 10 s; {rest}");
    assert_eq!(silent, said);
    let hangs_up = async {
        // The first is what the command before opened.
        for _ in 0..2 {
            drop(listener.accept().await);
        }
        drop(listener);
    };
    let stop = Command::KillSwitch { on: true };
    let (broken, ()) = tokio::join!(client.command(&stop), hangs_up);
    let broken = broken.unwrap_err().to_string();
    let said = format!("{}: the connection to {at} broke (", stop.phrase());
    assert!(broken.starts_with(&said), "{broken}");
    let rest = "; it may still be done: look whether it was before trying again";
    assert!(broken.ends_with(rest), "{broken}");
}

#[tokio::test]
async fn a_listener_without_tls_is_said_to_have_none() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let routes = axum::Router::new();
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    let client = Client::new(Address::parse(&url, None).unwrap()).unwrap();
    let error = client.view().await.unwrap_err().to_string();
    let said =
        format!("{url} speaks HTTP, not TLS: write http://, or give its listener a certificate");
    assert_eq!(error, said);
}

#[test]
fn addresses_as_people_write_them() {
    let socket = |path: &str| Some(Address::Socket(PathBuf::from(path)));
    let http = |url: &str| {
        Some(Address::Http {
            url: url.to_owned(),
            authority: None,
            token: None,
        })
    };
    let cases = [
        ("/run/s.sock", socket("/run/s.sock")),
        ("unix:s.sock", socket("s.sock")),
        ("./s.sock", socket("./s.sock")),
        ("localhost:9100", http("http://localhost:9100")),
        ("http://10.0.0.1:9100/", http("http://10.0.0.1:9100")),
        ("localhost", None),
        (":9100", None),
        ("host:port", None),
    ];
    for (text, expected) in cases {
        assert_eq!(Address::parse(text, None).ok(), expected, "{text}");
    }
}

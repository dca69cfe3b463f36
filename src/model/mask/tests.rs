//! Tests of what is masked, and what is left as it is.

use super::*;
use proptest::prelude::*;

#[test]
fn secrets_are_masked() {
    let cases = [
        ("login password=hunter2 ok", "login password=<secret> ok"),
        (
            "DB_PASSWORD: s3cr3t, host: db",
            "DB_PASSWORD: <secret>, host: db",
        ),
        (
            r#"{"user":"bob","password":"p\"w"}"#,
            r#"{"user":"bob","password":"<secret>"}"#,
        ),
        ("x-api-key=\"a b c\" next", "x-api-key=\"<secret>\" next"),
        (
            "Authorization: Bearer abc.def-123 done",
            "Authorization: Bearer <secret> done",
        ),
        (
            "curl -H 'authorization: Basic dXNlcjpwYXNz'",
            "curl -H 'authorization: Basic <secret>'",
        ),
        (
            "got bearer 0123abcd4567 from peer",
            "got bearer <secret> from peer",
        ),
        (
            "dial postgres://app:pa55@db:5432/shop",
            "dial postgres://<secret>@db:5432/shop",
        ),
        ("key AKIAIOSFODNN7EXAMPLE used", "key <secret> used"),
        (
            "jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3jVmNHl0w5N",
            "jwt <secret>",
        ),
        (
            "refreshed token 0123456789abcdef0123456789abcdef",
            "refreshed token <secret>",
        ),
        ("-----BEGIN RSA PRIVATE KEY----- MIIE", "<secret>"),
        ("pwd=hunter2 PWD=hunter2", "pwd=<secret> PWD=<secret>"),
        ("pwd=/8fs3 DB_PWD=/8fs3", "pwd=<secret> DB_PWD=<secret>"),
        ("token=a&token=b", "token=<secret>&token=<secret>"),
        ("password='unclosed \u{e9}", "password='<secret>"),
    ];
    for (text, masked) in cases {
        assert_eq!(mask_secrets(text), masked);
    }
}

#[test]
fn secrets_of_issuers_options_and_urls_are_masked() {
    let cases = [
        ("vault hvs.CAESIJ0123456789abcdefgh ok", "vault <secret> ok"),
        ("slack xapp-1-A0123-456-abcdef789", "slack <secret>"),
        ("stripe sk_test_4eC39HqLyjWDarjtT1zd", "stripe <secret>"),
        ("hook whsec_0123456789abcdefghij", "hook <secret>"),
        ("llm sk-ant-api03-0123456789abcdefghijkl", "llm <secret>"),
        (
            "google ya29.a0AfH6SMBx0123456789abcdefgh",
            "google <secret>",
        ),
        (
            "AccountName=shop;AccountKey=Zm9vYmFyMTIz==;Suffix=x",
            "AccountName=shop;AccountKey=<secret>;Suffix=x",
        ),
        (
            r#"{"signing_key":"hunter2","n":1}"#,
            r#"{"signing_key":"<secret>","n":1}"#,
        ),
        (
            "GET /blob?se=2026&sig=aB3dE5fG7hI9jK1lM3nO%3D&sp=r",
            "GET /blob?se=2026&sig=<secret>&sp=r",
        ),
        (
            "GET /login?next=%2Fcart%3Ftoken%3Dhunter2 200",
            "GET /login?next=%2Fcart%3Ftoken%3D<secret> 200",
        ),
        (
            "dsn https://0123456789abcdef0123@sentry.example/7",
            "dsn https://<secret>@sentry.example/7",
        ),
        (
            "run --user bob --password hunter2 -v",
            "run --user bob --password <secret> -v",
        ),
        ("run --token 'a b' --json", "run --token '<secret>' --json"),
        ("GET /x?bearer=hunter2&a=1", "GET /x?bearer=<secret>&a=1"),
        (
            "post https://hooks.slack.com/services/T01/B02/abc failed",
            "post https://hooks.slack.com/services/<secret> failed",
        ),
        (
            "\"https://acme.webhook.office.com/webhookb2/ab@cd/Incoming/x\"",
            "\"https://acme.webhook.office.com/webhookb2/<secret>\"",
        ),
        (
            "https://api.telegram.org/bot12:AAx/sendMessage",
            "https://api.telegram.org/bot<secret>",
        ),
        (
            "dial postgres://app:pa/5?s#w@db:5432/shop now",
            "dial postgres://<secret>@db:5432/shop now",
        ),
    ];
    for (text, masked) in cases {
        assert_eq!(mask_secrets(text), masked);
        assert_eq!(mask_secrets(masked), masked, "twice");
    }
}

#[test]
fn other_text_is_left_alone() {
    for text in [
        "killed sig=9 sig: SIGTERM",
        "ssh://deploy@host/x https://mia@shop.example/",
        "hvs. SG.1 sk-SK sk-ant ya29 pypi-mirror",
        "run --password --verbose",
        "run --no-tokens",
        "Failed password for root from 10.0.0.1 port 22 ssh2",
        "Executing with tokens:",
        "Adding job token for job_1445144423722_0020 to jobTokenSecretManager",
        "password= user=bob",
        "token: null",
        "PWD=/home/bob ; COMMAND=ls",
        "password=<secret>",
        "GET http://host:80/a@b http://[::1]:80/a@b https://shop.example/a:b@c",
        "https://hooks.slack.com/services/ https://nothooks.slack.com/services/x",
        "the bearer = null",
        "basic checks passed",
        "the secret of good soup",
        "",
    ] {
        assert!(matches!(mask_secrets(text), Cow::Borrowed(_)), "{text}");
    }
}

const PEM: &str = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIEpAIBAAKCAQEA04up8hoqzS1+APIB0RhjXyObwHQnOzhAk5Bd7mhkSbPkyhP1\niWlX9HNavcydATJc1ClKsUk4Ieo=\n-----END RSA PRIVATE KEY-----";

#[test]
fn keys_in_pem_are_masked_to_their_end() {
    let escaped = PEM.replace('\n', "\\n");
    let cases = [
        (format!("loaded\n{PEM}\nready"), "loaded\n<secret>\nready"),
        (
            format!(r#"{{"key":"{escaped}\\n","id":7}}"#),
            r#"{"key":"<secret>\\n","id":7}"#,
        ),
        (
            format!("n{} then {PEM}", PEM.replace("RSA", "OPENSSH")),
            "n<secret> then <secret>",
        ),
        (
            "-----BEGIN PGP PRIVATE KEY BLOCK-----\nlQdGBF".to_owned(),
            "<secret>",
        ),
        // A block that came line by line.
        (
            "MIIEpAIBAAKCAQEA04up8hoqzS1+APIB0RhjXyObwHQnOzhAk5Bd7mhkSbPkyhP1".to_owned(),
            "<secret>",
        ),
    ];
    for (text, masked) in cases {
        assert_eq!(mask_secrets(&text), masked);
    }
    for text in [
        "-----BEGIN CERTIFICATE-----\nMIID\n-----END CERTIFICATE-----",
        "----- BEGIN of the PRIVATE KEY chapter -----",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "/usr/share/Projects/2026/Something/that/has/many/folders/in/its/path",
    ] {
        assert_eq!(mask_secrets(text), text);
    }
}

#[test]
fn headers_are_masked_as_a_whole() {
    let cases = [
        (
            "Cookie: theme=dark; sessionid=38afes7a8 done",
            "Cookie: <secret> done",
        ),
        (
            "curl -H 'Cookie: a=b; sid=\"x y\"; c=d' http://h/",
            "curl -H 'Cookie: <secret>' http://h/",
        ),
        (
            "Set-Cookie: sid=s%3Aabc.def; Path=/; HttpOnly",
            "Set-Cookie: <secret>; HttpOnly",
        ),
        (
            r#"{"cookie":"a=b; c=d","n":1}"#,
            r#"{"cookie":"<secret>","n":1}"#,
        ),
        (
            "Authorization: Digest username=\"bob\", realm=\"shop\", response=\"6629fae4\", qop=auth after",
            "Authorization: Digest <secret> after",
        ),
        (
            "Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/x, SignedHeaders=host;x-amz-date, Signature=5d67",
            "Authorization: <secret>",
        ),
        (
            "authorization: Splunk 0123abcd-4567 and more",
            "authorization: <secret> and more",
        ),
        (
            "Proxy-Authorization: Negotiate YIIabcDEF123== ok",
            "Proxy-Authorization: Negotiate <secret> ok",
        ),
        (
            r#"{"h":"Authorization: Digest username=\"bob\", response=\"66\"","n":1}"#,
            r#"{"h":"Authorization: Digest <secret>","n":1}"#,
        ),
    ];
    for (text, masked) in cases {
        assert_eq!(mask_secrets(text), masked);
    }
}

#[test]
fn quoted_values_are_masked_to_their_closing_quote() {
    let cases = [
        (
            r#"{"password":"p\"wordtail99","n":1}"#,
            r#"{"password":"<secret>","n":1}"#,
        ),
        (
            r#"{"password":"ends in \\","n":"1"}"#,
            r#"{"password":"<secret>","n":"1"}"#,
        ),
        (
            r#"{"msg":"{\"password\":\"p\\\"wordtail99\",\"n\":1}"}"#,
            r#"{"msg":"{\"password\":\"<secret>\",\"n\":1}"}"#,
        ),
        (
            r#"{"msg":"password=\"open","n":1}"#,
            r#"{"msg":"password=\"<secret>","n":1}"#,
        ),
        (
            r#"{"password"=>"hunter2", "id"=>"7"}"#,
            r#"{"password"=>"<secret>", "id"=>"7"}"#,
        ),
        ("password := hunter2", "password := <secret>"),
    ];
    for (text, masked) in cases {
        assert_eq!(mask_secrets(text), masked);
    }
    let long = format!("password=\"{}\" next", "x y ".repeat(5_000));
    assert_eq!(mask_secrets(&long), "password=\"<secret>\" next");
}

#[test]
fn lesser_names_announce_what_looks_like_a_secret() {
    let cases = [
        ("smtp pass=hunter2 next", "smtp pass=<secret> next"),
        ("DB_PASS=correcthorse", "DB_PASS=<secret>"),
        ("dbPass: hunter2", "dbPass: <secret>"),
        (r#"{"pass":"correct horse"}"#, r#"{"pass":"<secret>"}"#),
        ("auth=Zm9vOmJhcjE= next", "auth=<secret> next"),
        (
            "GET /x?sessionid=38afes7a8&p=1",
            "GET /x?sessionid=<secret>&p=1",
        ),
        ("session_id=abcdefgh", "session_id=<secret>"),
        ("JSESSIONID=0A1B2C3D4E5F; x", "JSESSIONID=<secret>; x"),
        ("PHPSESSID=r2t5uvjq435r4q7ib3vtdjq120", "PHPSESSID=<secret>"),
        ("connect.sid=s%3Aj6Kx91hT0qZyWw.f2", "connect.sid=<secret>"),
    ];
    for (text, masked) in cases {
        assert_eq!(mask_secrets(text), masked);
    }
    for text in [
        "auth=true auth=ok auth=ldap auth=oauth2 auth=scram-sha-256 auth=10ms",
        "pass=3 fail=1 pass=2/3 pass=99.5% pass=true pass=12ms",
        "PASS: TestUtf8Strings",
        "pass: all of them",
        "compass=north bypass=rule7 author=bob2000",
        "sid=5 sid=orcl SID=S-1-5-21-3623811015-3361044348",
        "session_id=42 sessionid:0x14f05578bd80001 type:create",
        "pass= user=bob",
        r#"{"auth":{"user":"bob"},"pass":null}"#,
    ] {
        assert_eq!(mask_secrets(text), text);
    }
}

#[test]
fn an_attribute_is_masked_by_its_name() {
    assert_eq!(mask_named("api_token", "anything"), MASK);
    assert_eq!(mask_named("api_token", ""), "");
    assert_eq!(
        mask_named("summary", "password=hunter2"),
        "password=<secret>"
    );
    assert_eq!(mask_named(&"x".repeat(100), "plain"), "plain");
}

/// Texts that would take minutes if any byte of them were looked at more than some times.
#[test]
fn hostile_texts_are_read_once() {
    let pieces = [
        "token.",
        "token ",
        "token:",
        "pass:",
        "pass=1",
        "pass=\"",
        "auth='a auth=\"",
        "eyJ.",
        "AKIA.",
        "bearer ",
        "-----BEGIN ",
        "-----BEGIN PRIVATE KEY",
        "Cookie: ",
        "Authorization: a ",
        "://",
        "://a:",
        "\\",
        "\"\\",
        "password=\\\"",
        "sid=a",
        "session_id: ",
        "password   ",
        "a-",
    ];
    for piece in pieces {
        let text = piece.repeat(200_000 / piece.len());
        let masked = mask_secrets(&text);
        assert_eq!(mask_secrets(&masked), masked, "{piece}");
    }
}

/// What names, separates and hides secrets, in any order.
fn fragments() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        proptest::sample::select(vec![
            "password",
            "token",
            "pass",
            "auth",
            "sid",
            "sessionid",
            "Cookie",
            "Authorization",
            "bearer",
            "Digest",
            "Foo",
            "AKIAIOSFODNN7EXAMPLE",
            "eyJ",
            "-----BEGIN RSA PRIVATE KEY-----",
            "-----END RSA PRIVATE KEY-----",
            "://",
            "<secret>",
            "true",
            "0x12",
            "abc123def456ghi789",
            "S-1-",
        ]),
        proptest::sample::select(vec![
            "=", ":", ": ", " ", "; ", ", ", "\"", "'", "\\", "\\\"", "@", "&", "<", ">", "{",
            "\n", "=>", "\u{e9}", "-", "1",
        ]),
    ];
    proptest::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

#[test]
fn labels_that_differed_still_do_and_none_gives_its_secret_away() {
    let cases = [
        ("service", "cart", "cart"),
        ("topic", "auth-token", "auth-token"),
        ("secret", "default-token-x7k2p", "default-token-x7k2p"),
        (
            "secret",
            "sh.helm.release.v1.cart.v12",
            "sh.helm.release.v1.cart.v12",
        ),
        ("secret", "0123456789abcdef0123", "<secret-1bd8fd47>"),
        ("token", "blue", "<secret-164>"),
        ("token", "green", "<secret-ba4>"),
        ("token", "", ""),
        (
            "instance",
            "https://bob:hunter2@shop/up",
            "https://<secret-46b>@shop/up",
        ),
        (
            "cmd",
            "run --password=hunter2 -v",
            "run --password=<secret-e0a> -v",
        ),
        ("key", "ghp_0123456789abcdef0123", "<secret-9f30b875>"),
    ];
    for (name, value, masked) in cases {
        assert_eq!(mask_label(name, value), masked, "{name}={value}");
        assert_eq!(mask_label(name, masked), masked, "twice");
        assert_eq!(mask_secrets(masked), masked, "in a text");
    }
}

proptest! {
    #[test]
    fn masking_a_label_twice_is_masking_it_once(
        name in prop_oneof![Just("token".to_owned()), Just("secret".to_owned()), Just("url".to_owned())],
        value in prop_oneof![fragments(), any::<String>()],
    ) {
        let masked = mask_label(&name, &value).into_owned();
        prop_assert_eq!(mask_label(&name, &masked), masked.as_str());
    }

    #[test]
    fn nothing_is_masked_of_what_is_plain(text in prop_oneof![fragments(), "[A-Za-z0-9_/.-]{0,19}"]) {
        prop_assert!(KEY_PREFIXES.iter().all(|(_, bytes)| *bytes >= KEY_BYTES_MIN));
        prop_assert!(!is_plain(&text) || mask_secrets(&text) == text.as_str());
    }

    #[test]
    fn masking_twice_is_masking_once(text in prop_oneof![fragments(), any::<String>()]) {
        let masked = mask_secrets(&text).into_owned();
        prop_assert_eq!(mask_secrets(&masked), masked.as_str());
    }

    #[test]
    fn nothing_of_a_quoted_secret_stays(inside in "[a-z0-9 \"\\\\,;=\u{e9}]{1,20}", user in "[a-z]{0,8}") {
        let secret = format!("Q{inside}Q");
        let line = serde_json::json!({"user": user, "password": secret, "z": "kept"}).to_string();
        let nested = serde_json::json!({"msg": line, "z": "kept"}).to_string();
        for text in [line, nested] {
            let masked = mask_secrets(&text).into_owned();
            prop_assert!(!masked.contains('Q') && masked.contains("kept"), "{}", masked);
            prop_assert!(serde_json::from_str::<serde_json::Value>(&masked).is_ok(), "{}", masked);
        }
    }
}

//! Tests of what is joined to one event, and what is not.

use super::*;
use proptest::prelude::*;

fn join(text: &str) -> Vec<String> {
    let mut joiner = LogJoiner::new();
    let mut events: Vec<String> = text.lines().filter_map(|line| joiner.push(line)).collect();
    events.extend(joiner.flush());
    events
}

const JAVA: &str = "\
Exception in thread \"main\" shop.CheckoutException: cannot check out
\tat shop.Checkout.run(Checkout.java:41)
\tat java.base/java.lang.Thread.run(Thread.java:829)
\tSuppressed: java.io.IOException: close failed
\t\tat shop.Db.close(Db.java:9)
\t\t... 2 more
Caused by: java.sql.SQLTransientException: pool exhausted
\tat shop.Db.<init>(Db.java:17)
\tat shop.Checkout.lambda$run$0(Native Method)
\t... 23 more
Caused by: java.net.SocketTimeoutException
\t... 25 common frames omitted";

const LOGGED_JAVA: &str = "\
10:00:00.123 ERROR [http-1] s.Checkout - boom
java.io.IOException: x
\tat a.B.c(B.java:1)
Caused by: d.E: y
\tat a.B.d(B.java:2)
\t... 3 more";

const PYTHON: &str = "\
ERROR:shop:cannot charge
Traceback (most recent call last):
  File \"/app/pay.py\", line 12, in charge
    send(card)
    ~~~~^^^^^^
  File \"/app/http.py\", line 3, in send
    raise ConnectTimeout(\"x\")
requests.exceptions.ConnectTimeout: HTTPSConnectionPool(host='pay', port=443): timed out

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File \"/app/pay.py\", line 20, in main
    charge()
subprocess.TimeoutExpired: Command '['sleep', '9']' timed out after 1 seconds

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File \"/app/pay.py\", line 30, in <module>
KeyboardInterrupt";

const PYTHON_GROUP: &str = "\
  + Exception Group Traceback (most recent call last):
  |   File \"/app/a.py\", line 5, in <module>
  |     raise ExceptionGroup(\"two\", [ValueError(1), OSError(2)])
  | ExceptionGroup: two (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | ValueError: 1
    +---------------- 2 ----------------
    | OSError: 2
    +------------------------------------";

const GO: &str = "\
panic: runtime error: invalid memory address or nil pointer dereference
[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x47b2a5]

goroutine 1 [running]:
main.price({0xc00001c0a8, 0x3}, 0x0)
\t/src/shop/main.go:12 +0x1d
main.(*Cart).total(...)
\t/src/shop/main.go:20
main.main()
\t/src/shop/main.go:7 +0x25

goroutine 18 [chan receive, 2 minutes]:
net/http.(*Server).Serve(0xc000110000, {0x6d5a80, 0xc00000e1c8})
\t/usr/local/go/src/net/http/server.go:3056 +0x364
created by main.start in goroutine 1
\t/src/shop/main.go:5 +0x8a
exit status 2";

const GO_SERVED: &str = "\
2026/11/21 10:00:00 http: panic serving 10.0.0.1:50312: nil map
goroutine 34 [running]:
net/http.(*conn).serve.func1()
\t/usr/local/go/src/net/http/server.go:1898 +0xbe
panic({0x62a7c0?, 0x6c7f30?})
\t/usr/local/go/src/runtime/panic.go:770 +0x132";

const RUBY: &str = "\
app.rb:3:in 'Cart#pay': card declined (RuntimeError)
\tfrom app.rb:7:in 'block in Cart#run'
\tfrom /usr/lib/ruby/3.3.0/set.rb:501:in `each'
\t ... 12 levels...
\tfrom app.rb:10:in '<main>'";

const RUBY_SHOWN: &str = "\
app.rb:3:in 'Cart#pay': undefined method 'id' for nil (NoMethodError)

    card.id
        ^^^
\tfrom app.rb:10:in '<main>'";

const RAILS: &str = "\
E, [2026-11-21T10:00:00 #7] ERROR -- : NoMethodError (undefined method 'id' for nil):
app/models/cart.rb:23:in 'Cart#total'
app/controllers/carts_controller.rb:9:in 'show'";

const DOTNET: &str = "\
Unhandled exception. System.InvalidOperationException: price failed
 ---> System.NullReferenceException: Object reference not set to an instance of an object.
   at Shop.Price.Get(String id, Int32 n) in /src/Price.cs:line 12
   at Shop.Price.<GetAsync>d__5.MoveNext()
--- End of stack trace from previous location ---
   at Shop.Cart.Sum[T](T item)
   --- End of inner exception stack trace ---
   at Shop.Cart.Total() in /src/Cart.cs:line 30
   at Program.<Main>$(String[] args) in /src/Program.cs:line 3";

const RUST: &str = "\
thread 'main' panicked at src/main.rs:2:5:
index out of bounds: the len is 3 but the index is 99
stack backtrace:
   0: rust_begin_unwind
             at /rustc/90b35a6239c3d8bdabc530a6a0816f7ff89a0aaf/library/std/src/panicking.rs:665:5
   1: core::panicking::panic_bounds_check
   2: shop::price
             at ./src/main.rs:2:5
note: Some details are omitted, run with `RUST_BACKTRACE=full` for a verbose backtrace.";

const RUST_ASSERTED: &str = "\
thread 'tokio-runtime-worker' (4711) panicked at src/cart.rs:20:9:
assertion `left == right` failed
  left: 1
 right: 2
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace";

const NODE: &str = "\
/app/server.js:10
    throw new Error('cannot price', { cause });
    ^

Error: cannot price
    at price (/app/server.js:10:11)
    at new Cart (/app/cart.js:3:5)
    at async Promise.all (index 0)
    at Array.map (<anonymous>)
    at process.processTicksAndRejections (node:internal/process/task_queues:95:5) {
  [cause]: TypeError: fetch failed
      at node:internal/deps/undici/undici:12618:11
      at async main (file:///app/main.mjs:3:5) {
    code: 'ECONNREFUSED',
    address: {
      port: 443
    }
  }
}

Node.js v20.11.0";

const LOGGED_NODE: &str = "\
TypeError: x is not a function
    at f (/app/a.js:1:2)
    at /app/b.js:3:4 {
  code: 'E_X'
}";

const KEY: &str = "\
loaded -----BEGIN EC PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: AES-128-CBC,0A1B

MIIEpAIBAAKCAQEA04up8hoqzS1+APIB0RhjXyObwHQnOzhAk5Bd7mhkSbPkyhP1
iWlX9HNavcydATJc1ClKsUk4Ieo=
-----END EC PRIVATE KEY-----";

const TRACES: &[(&str, &str)] = &[
    ("java", JAVA),
    ("java, logged", LOGGED_JAVA),
    ("python", PYTHON),
    ("python, a group", PYTHON_GROUP),
    ("go", GO),
    ("go, served", GO_SERVED),
    ("ruby", RUBY),
    ("ruby, with its source", RUBY_SHOWN),
    ("ruby on rails", RAILS),
    (".net", DOTNET),
    ("rust", RUST),
    ("rust, asserted", RUST_ASSERTED),
    ("node", NODE),
    ("node, logged", LOGGED_NODE),
    ("a private key", KEY),
];

/// Lines that are no part of any trace, however near one they stand.
const ORDINARY: &[&str] = &[
    "2026-11-21 10:00:01 INFO order 17 paid",
    "{\"level\":\"info\",\"msg\":\"paid\"}",
    "  indented: the second line of something",
    "\tbehind a tab",
    "at last, the queue is empty",
    "  at the end of the day (see above)",
    "    at 10:30:15 the job began",
    "from now on, orders are taken",
    "\tfrom the warehouse: 3 parcels",
    "   File \"report.pdf\" was written",
    "... and 3 more",
    "  --- end of report ---",
    "Caused by: an operator",
    "INFO: started",
    "goroutine count is 12",
    "note: the disk is nearly full",
    "GET /carts (200)",
    "| total | 12 |",
    "Error: alone",
    "}",
];

#[test]
fn traces_become_one_event_and_nothing_beside_them() {
    for (name, trace) in TRACES {
        for ordinary in ORDINARY {
            let text = format!("before\n{trace}\n{ordinary}\nafter");
            let expected = ["before", trace, ordinary, "after"];
            assert_eq!(join(&text), expected, "{name}, {ordinary}");
        }
    }
}

#[test]
fn a_trace_behind_an_ordinary_line_is_not_part_of_it() {
    for (name, trace) in TRACES {
        for ordinary in ORDINARY {
            let expected = [ordinary, *trace];
            assert_eq!(join(&expected.join("\n")), expected, "{name}, {ordinary}");
        }
    }
}

#[test]
fn one_trace_behind_another_is_another() {
    for (name, trace) in TRACES {
        let others = TRACES.iter().filter(|(other, _)| other != name);
        for (other, behind) in others {
            let expected = [*trace, "2026-11-21 between", behind];
            assert_eq!(join(&expected.join("\n")), expected, "{name}, {other}");
        }
    }
}

#[test]
fn ordinary_lines_stay_apart() {
    assert_eq!(join(&ORDINARY.join("\n")), ORDINARY);
    for pair in ORDINARY
        .iter()
        .flat_map(|a| ORDINARY.iter().map(move |b| [*a, *b]))
    {
        assert_eq!(join(&pair.join("\n")), pair);
    }
}

#[test]
fn an_endless_trace_is_cut_and_counted() {
    let mut joiner = LogJoiner::new();
    joiner.push("java.lang.StackOverflowError");
    for _ in 0..10_000 {
        assert_eq!(joiner.push("\tat a.B.c(B.java:1)"), None);
    }
    let event = joiner.flush().unwrap();
    assert!(event.len() <= BYTES_MAX);
    assert_eq!(joiner.cut_lines(), 10_001 - event.lines().count() as u64);
}

/// Lines as traces have them, whole and broken, and lines of any characters.
fn any_line() -> impl Strategy<Value = String> {
    let lines: Vec<&str> = TRACES.iter().flat_map(|(_, trace)| trace.lines()).collect();
    prop_oneof![
        proptest::sample::select(lines.clone()).prop_map(str::to_owned),
        (
            proptest::sample::select(lines),
            any::<proptest::sample::Index>()
        )
            .prop_map(|(line, at)| {
                line[..line.floor_char_boundary(at.index(line.len() + 1))].to_owned()
            }),
        "[ \\t]?(at |panic: |Caused by: |goroutine )?[a-z.:() \\u{e9}{}]{0,20}",
    ]
}

proptest! {
    #[test]
    fn every_line_comes_out_in_order(lines in proptest::collection::vec(any_line(), 1..60)) {
        let joined = join(&lines.join("\n"));
        let expected: Vec<String> = lines.join("\n").lines().map(str::to_owned).collect();
        prop_assert_eq!(joined.join("\n"), expected.join("\n"));
    }
}

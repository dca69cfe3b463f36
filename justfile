# The recipes CI calls; `just` alone lists them.

[private]
default:
    @just --list

# Everything CI checks, in the order that fails fastest.
ci: fmt lint docs test kubernetes

# Formatting, as rustfmt has it.
fmt:
    cargo fmt --check

# Clippy on everything, warnings are errors.
lint:
    cargo clippy --locked --all-targets -- -D warnings

# The API documentation, warnings are errors.
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items

# The README's test command.
test:
    cargo test

# The feature that is off by default: watching Kubernetes.
kubernetes:
    cargo clippy --locked --all-targets --features kubernetes -- -D warnings
    cargo test --lib --features kubernetes sources::kubernetes

# The published benchmarks against their recorded floors; `test` runs this too.
floors data=env("STORMGLASS_BENCH_DATA", ""):
    STORMGLASS_BENCH_DATA="{{data}}" cargo test --test floors -- --nocapture

# The demo, as a new user starts it.
demo scenario="bad-deploy":
    cargo run --release -- demo {{scenario}}

# Every benchmark, release build; figures go to docs/performance.md with their command.
bench:
    cargo bench

# The pictures in the README, from frames of the console.
screenshots:
    STORMGLASS_BLESS=1 cargo test --test screenshots

# The generated pages: settings and keys.
pages:
    STORMGLASS_BLESS=1 cargo test --test config_reference --test screens_keys the_page

# Every property test of a parser of what others send, each for so many minutes with fresh seeds.
fuzz minutes="5" only="":
    benches/fuzz.sh {{minutes}} {{only}}

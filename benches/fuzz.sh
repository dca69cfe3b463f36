#!/usr/bin/env bash
# Runs the property tests of every parser, and of every view of the console, again and again, each for a time, with fresh seeds and many cases. What fails is
# kept by proptest beside its test (`proptest-regressions`), and is tried first from then on.
#
#   benches/fuzz.sh MINUTES [ONLY]     ONLY: a part of the names
set -euo pipefail
cd "$(dirname "$0")/.."
minutes="${1:-5}" only="${2:-}"
export PROPTEST_CASES="${PROPTEST_CASES:-2000}"

# Binary, and the property tests in it that feed a parser what somebody else may have written.
targets=(
  "lib sources::wire::tests" "lib sources::statsd::message" "lib sources::syslog::message" "lib sources::syslog::frame"
  "lib sources::scrape::text" "lib sources::promql::answer" "lib sources::journald::entry" "lib sources::loki::tail"
  "lib sources::elastic::tests" "lib sources::document" "lib sources::message" "lib sources::polled::window"
  "lib store::recorder::tests" "lib store::journal::tests::any_file" "lib store::checkpoint" "lib engine::checkpoint::tests::bent" "lib model::label_filter" "lib model::mask" "lib model::safe_text" "lib model::logjoin" "lib model::labels"
  "lib config::catalogue" "config_files any_file" "sources properties::any_bytes" "sources properties::real_requests"
  "sources properties::any_json" "sources grpc::any_call" "lib sources::webhook::forge" "lib sources::tail::file::tests::any"
  "lib sources::bookmark::tests::any" "lib daemon::alertmanagers" "lib daemon::http::silences::tests::any"
  "lib engine::logs::tests::any" "kubernetes sources::kubernetes::properties"
  # What is drawn, through a terminal emulator.
  "screens_hostile what_an_incident_says" "screens_hostile no_view_lets_any_text" "screens_hostile neither_alerts"
  "screens_hostile what_telemetry_says"
)

# The test programs that were built, by name; the one of the library is called as told.
executables() {
  python3 -c '
import json, sys
for line in sys.stdin:
    made = json.loads(line)
    if made.get("executable") and made.get("profile", {}).get("test"):
        kind = made["target"]["kind"][0]
        print(sys.argv[1] if kind == "lib" else made["target"]["name"], made["executable"])' "$1"
}

declare -A binary
while read -r name path; do binary[$name]="$path"; done < <(
  cargo test --lib --test sources --test config_files --test screens_hostile --no-run --message-format=json 2>/dev/null | executables lib
  if [[ "kubernetes sources::kubernetes::properties" == *"$only"* ]]; then
    cargo test --lib --features kubernetes --no-run --message-format=json 2>/dev/null | executables kubernetes
  fi
)

failed=0
for target in "${targets[@]}"; do
  read -r which filter <<<"$target"
  [[ "$target" == *"$only"* ]] || continue
  end=$((SECONDS + minutes * 60)) runs=0
  while ((SECONDS < end)); do
    # One run must end well within the time that all of them have: a parser that hangs fails.
    if ! said=$(timeout $((minutes * 60 + 120)) "${binary[$which]}" "$filter" 2>&1); then
      printf '%s\n' "$said" | tail -40
      echo "FAILED $target"
      failed=1
      break
    fi
    grep -q '^test result: ok. 0 passed' <<<"$said" && { echo "NO TEST $target"; failed=1; break; }
    runs=$((runs + 1))
  done
  echo "$target: $runs runs of $PROPTEST_CASES cases in $((SECONDS - end + minutes * 60)) s"
done
exit $failed

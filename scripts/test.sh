#!/usr/bin/env bash
# make test: everything that is tested, against servers of its own that are thrown away. Arguments go to cargo test:
#   scripts/test.sh --test it persons
#
# What the tests get by environment variables:
#   UDACONNECT_TEST_DATABASE_URL  a PostgreSQL with PostGIS, as superuser; kept if given, then none is started
#   UDACONNECT_TEST_KAFKA         host:port of a Kafka; kept if given
#   UDACONNECT_TEST_STATEMENTS    a directory for what the program asks of PostgreSQL in all of them, which is looked at in the end
#   UDACONNECT_TEST_SKIPPED       a file to which tests that cannot run on this machine add a line
#   SCHEMATHESIS                  the program, when there is Python; tests that need it skip themselves otherwise
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

CLUSTER=$ROOT/.dev/test-postgres
KAFKA=$ROOT/.dev/test-kafka
VENV=$ROOT/.dev/venv
CLUSTER_STARTED=
KAFKA_STARTED=
PASSED=()
FAILED=()
SKIPPED=()

finish() {
  local status=$? end=stop
  trap '' INT TERM HUP
  if [ -n "$ATTENDED" ]; then
    forward_signal TERM
    join || true
  fi
  # After a failure the servers' logs may tell why.
  if [ "$status" = 0 ]; then end=remove; fi
  if [ -n "$KAFKA_STARTED" ]; then scripts/kafka.sh "$end" "$KAFKA" || true; fi
  if [ -n "$CLUSTER_STARTED" ]; then scripts/postgres.sh "$end" "$CLUSTER" || true; fi
  exit "$status"
}

# check NAME COMMAND…: one part of the tests. A part that fails does not keep the others from running.
check() {
  local name=$1 status=0 test why
  shift
  say "$name: $*"
  step "$@" || status=$?
  # Single tests that could not run, in a part that could.
  while IFS=$'\t' read -r test why; do skip "$name: $test" "$why"; done <"$UDACONNECT_TEST_SKIPPED"
  : >"$UDACONNECT_TEST_SKIPPED"
  case $status in
    0) PASSED+=("$name") ;;
    77) skip "$name" "see above" ;;
    *)
      warn "$name FAILED (exit status $status)"
      FAILED+=("$name")
      ;;
  esac
}
skip() {
  warn "SKIPPED: $1 ($2)"
  SKIPPED+=("$1")
}

database() {
  if [ -n "${UDACONNECT_TEST_DATABASE_URL:-}" ]; then return 0; fi
  scripts/postgres.sh install
  # What an earlier run left that failed or was killed.
  scripts/postgres.sh remove "$CLUSTER"
  CLUSTER_STARTED=yes
  step scripts/postgres.sh start "$CLUSTER" --fast || die "PostgreSQL could not be started"
  UDACONNECT_TEST_DATABASE_URL=$(scripts/postgres.sh url "$CLUSTER")
  export UDACONNECT_TEST_DATABASE_URL
}

schemathesis() {
  local wanted
  if [ -n "${SCHEMATHESIS:-}" ]; then return 0; fi
  wanted=$(short_hash "$VENV $(cat scripts/requirements.txt)")
  if [ "$(cat "$VENV/.wanted" 2>/dev/null || true)" != "$wanted" ]; then
    rm -rf "$VENV"
    if ! have python3; then
      skip "API against its OpenAPI document" "no python3"
      return 0
    fi
    # Debian packs venv separately.
    if ! python3 -c 'import ensurepip' 2>/dev/null && can_apt; then apt_install python3-venv || true; fi
    say "installing schemathesis (once)"
    if ! python3 -m venv "$VENV" || ! step "$VENV/bin/pip" install -q --disable-pip-version-check -r scripts/requirements.txt; then
      skip "API against its OpenAPI document" "schemathesis could not be installed; it needs Python 3.10 and the package index"
      return 0
    fi
    echo "$wanted" >"$VENV/.wanted"
  fi
  export SCHEMATHESIS=$VENV/bin/schemathesis
}

rust() { check "unit and integration tests" cargo test --locked "$@"; }

# A second pass: tests marked #[ignore] whose name holds "kafka" need a real broker.
kafka() {
  if [ ! -d src/stream ]; then return 0; fi
  if [ -z "${UDACONNECT_TEST_KAFKA:-}" ]; then
    if ! scripts/kafka.sh install; then
      skip "tests against Apache Kafka" "no Docker, and no Java and Maven"
      return 0
    fi
    scripts/kafka.sh remove "$KAFKA"
    KAFKA_STARTED=yes
    step scripts/kafka.sh start "$KAFKA" || die "Kafka could not be started"
    UDACONNECT_TEST_KAFKA=$(scripts/kafka.sh bootstrap "$KAFKA")
    export UDACONNECT_TEST_KAFKA
  fi
  check "tests against Apache Kafka" cargo test --locked --test it -- --ignored kafka
}

# What all passes have asked of the database: none of it touches the rows of two events.
statements() {
  check "statements of the whole suite" cargo test --locked --test it -- --ignored statements_of_the_whole_suite
}

# After the Rust tests, which have built the program that the chart's are tried on, and after Kafka's jars are here.
chart() {
  local program
  program=$(target_dir)/debug/udaconnect
  UDACONNECT=$program check "Helm chart" scripts/chart-test.sh
}

web() {
  if [ ! -f web/package.json ]; then return 0; fi
  check "web: component tests" scripts/web.sh test
  check "web: browser tests" scripts/web.sh e2e
}

mkdir -p .dev
exec 8>.dev/test.lock
if have flock; then flock -n 8 || die "another make test runs in this checkout"; fi
UDACONNECT_TEST_SKIPPED=$ROOT/.dev/test.skipped
export UDACONNECT_TEST_SKIPPED
: >"$UDACONNECT_TEST_SKIPPED"
UDACONNECT_TEST_STATEMENTS=$ROOT/.dev/test.statements
export UDACONNECT_TEST_STATEMENTS
rm -rf "$UDACONNECT_TEST_STATEMENTS"
trap finish EXIT
stop_on_signal

need_cargo
need_native
database
schemathesis
# Before cargo, which embeds it.
if [ -f web/package.json ]; then check "web: build" scripts/web.sh build; fi
rust "$@"
# A second pass, for tests marked #[ignore] because they need more than PostgreSQL.
if [ $# = 0 ] && [ -n "${SCHEMATHESIS:-}" ]; then
  check "API against its OpenAPI document" cargo test --locked --test it -- --ignored schemathesis
fi
# With arguments the caller wants some Rust tests only.
if [ $# = 0 ]; then
  kafka
  statements
  chart
  web
fi

summary="passed: ${#PASSED[@]}, failed: ${#FAILED[@]}, skipped: ${#SKIPPED[@]}"
echo
for name in ${SKIPPED[@]+"${SKIPPED[@]}"}; do echo "SKIPPED  $name"; done
for name in ${FAILED[@]+"${FAILED[@]}"}; do echo "FAILED   $name"; done
if [ ${#FAILED[@]} -gt 0 ]; then
  echo "make test: FAILED ($summary)"
  exit 1
fi
echo "make test: ok ($summary)"

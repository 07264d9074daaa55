#!/usr/bin/env bash
# make bench: the comparisons of docs/benchmarks.md, on a cluster of its own with a server's settings. Arguments go to the
# benchmark:  scripts/bench.sh connections
#
# What the benchmark gets by environment variables:
#   UDACONNECT_BENCH_DATABASE_URL  the cluster, as superuser; kept if given, then none is started
#   UDACONNECT_BENCH_KAFKA         host:port of a Kafka; kept if given, then none is started
#   PGBENCH                        PostgreSQL's own load generator, a baseline
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

CLUSTER=$ROOT/.dev/bench-postgres
KAFKA=$ROOT/.dev/bench-kafka
STARTED=
KAFKA_STARTED=

finish() {
  local status=$?
  trap '' INT TERM HUP
  if [ -n "$ATTENDED" ]; then
    forward_signal TERM
    join || true
  fi
  if [ -n "$KAFKA_STARTED" ]; then scripts/kafka.sh remove "$KAFKA" || true; fi
  # The data stay: loading the standard event again would take minutes.
  if [ -n "$STARTED" ]; then scripts/postgres.sh stop "$CLUSTER" || true; fi
  exit "$status"
}
trap finish EXIT
stop_on_signal

need_cargo
scripts/postgres.sh install
if [ -z "${UDACONNECT_BENCH_DATABASE_URL:-}" ]; then
  if ! scripts/postgres.sh status "$CLUSTER"; then STARTED=yes; fi
  # Room for a whole load between two checkpoints, so that a checkpoint hits no measurement by chance.
  step scripts/postgres.sh start "$CLUSTER" --set max_wal_size=16GB || die "PostgreSQL could not be started"
  UDACONNECT_BENCH_DATABASE_URL=$(scripts/postgres.sh url "$CLUSTER")
  export UDACONNECT_BENCH_DATABASE_URL
fi
if [ -z "${UDACONNECT_BENCH_KAFKA:-}" ] && scripts/kafka.sh install; then
  scripts/kafka.sh remove "$KAFKA"
  KAFKA_STARTED=yes
  step scripts/kafka.sh start "$KAFKA" || die "Kafka could not be started"
  UDACONNECT_BENCH_KAFKA=$(scripts/kafka.sh bootstrap "$KAFKA")
  export UDACONNECT_BENCH_KAFKA
fi
PGBENCH=${PGBENCH:-$(scripts/postgres.sh bin)/pgbench}
export PGBENCH

step cargo bench --locked --bench udaconnect -- "$@"

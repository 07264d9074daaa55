#!/usr/bin/env bash
# make cluster: every role as its own process on this machine, as Kubernetes would run them, with a real PostgreSQL and a real
# Apache Kafka. Ctrl-C stops all. A role may be killed to see what the others do; it is not started again.
#
#   DATABASE_URL, KAFKA_BOOTSTRAP   servers to use instead of own ones
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

CLUSTER=$ROOT/.dev/postgres # the one of make run: the same persons
KAFKA=$ROOT/.dev/kafka/broker
POSTGRES_STARTED=
KAFKA_STARTED=
NAMES=() PIDS=() PORTS=()

finish() {
  local status=$? pid
  trap '' INT TERM HUP
  if [ -n "$ATTENDED" ]; then
    forward_signal TERM
    join || true
  fi
  # All at once, then wait for each.
  for pid in ${PIDS[@]+"${PIDS[@]}"}; do if [ -n "$pid" ]; then kill -TERM "$pid" 2>/dev/null || true; fi; done
  for pid in ${PIDS[@]+"${PIDS[@]}"}; do if [ -n "$pid" ]; then await_end "$pid" 40; fi; done
  if [ -n "$KAFKA_STARTED" ]; then KAFKA_BOOTSTRAP='' scripts/kafka.sh stop "$KAFKA" || true; fi
  if [ -n "$POSTGRES_STARTED" ]; then scripts/postgres.sh stop "$CLUSTER" || true; fi
  if [ -n "$STOPPING" ]; then status=0; fi
  exit "$status"
}

# Puts a name before each line, and outlives the Ctrl-C until there is nothing more to read.
label() {
  trap '' INT TERM HUP
  local line
  while IFS= read -r line; do printf '%-10s | %s\n' "$1" "$line"; done
}

# role NAME PORT ARGUMENTS…
role() {
  local name=$1 port=$2
  shift 2
  if ! has_role "$BIN" "$1"; then
    warn "$1: not in this build yet; left out"
    return 0
  fi
  need_port "127.0.0.1:$port"
  set -m
  LISTEN_ADDR=127.0.0.1:$port "$BIN" "$@" </dev/null > >(label "$name") 2>&1 &
  PIDS+=($!)
  set +m
  NAMES+=("$name")
  PORTS+=("$port")
}

# serve-grpc answers over HTTP, too.
ready() { http_ok 127.0.0.1 "$1" /readyz; }

trap finish EXIT
stop_on_signal
# shellcheck disable=SC2034 # read in lib.sh
ON_STOP=0

need_cargo
if [ -z "${DATABASE_URL:-}" ]; then scripts/postgres.sh install; fi
if [ -z "${KAFKA_BOOTSTRAP:-}" ]; then scripts/kafka.sh install; fi
if [ -f web/package.json ]; then
  step scripts/web.sh build || [ $? = 77 ] || die "the web app could not be built"
fi
say "cargo build --release"
step cargo build --release --locked || die "the build failed"
BIN=$(target_dir)/release/udaconnect

if [ -z "${DATABASE_URL:-}" ]; then
  if ! scripts/postgres.sh status "$CLUSTER"; then POSTGRES_STARTED=yes; fi
  step scripts/postgres.sh start "$CLUSTER" || die "PostgreSQL could not be started"
  DATABASE_URL=$(scripts/postgres.sh url "$CLUSTER")
  export DATABASE_URL
fi
if [ -z "${KAFKA_BOOTSTRAP:-}" ]; then
  if ! scripts/kafka.sh status "$KAFKA"; then KAFKA_STARTED=yes; fi
  step scripts/kafka.sh start "$KAFKA" || die "Kafka could not be started"
  KAFKA_BOOTSTRAP=$(scripts/kafka.sh bootstrap "$KAFKA")
  export KAFKA_BOOTSTRAP
fi
step "$BIN" migrate || die "the migrations failed"
if has_role "$BIN" seed; then step "$BIN" seed --if-empty || die "seeding failed"; fi

role serve-api 30001 serve-api
role serve-grpc 30002 serve-grpc
role consume-1 30003 consume
role consume-2 30013 consume
role serve-app 30000 serve-app

for i in "${!PIDS[@]}"; do
  tries=0
  until ready "${PORTS[i]}"; do
    if [ -n "$STOPPING" ]; then exit 0; fi
    alive "${PIDS[i]}" || die "${NAMES[i]} ended before it was ready"
    tries=$((tries + 1))
    if [ "$tries" -gt $((PATIENCE * 10)) ]; then die "${NAMES[i]} is not ready after $PATIENCE s; http://127.0.0.1:${PORTS[i]}/readyz may say why"; fi
    sleep 0.1
  done
done

echo
echo "The cluster is ready. Ctrl-C stops it."
echo
for i in "${!PIDS[@]}"; do printf '  %-10s  127.0.0.1:%-5s  process %s\n' "${NAMES[i]}" "${PORTS[i]}" "${PIDS[i]}"; done
cat <<END
  Kafka       $KAFKA_BOOTSTRAP

Send a location through Kafka, see it stored, then kill a worker and look again:

  curl 'http://127.0.0.1:30001/api/locations' -H 'content-type: application/json' -d '{"person_id": 1, "latitude": 35.0585, "longitude": -106.5819}'
  curl 'http://127.0.0.1:30001/api/persons/1/locations?limit=3&start_date=$(date -u +%Y-%m-%d)'
  curl 'http://127.0.0.1:30003/metrics'

The same over gRPC, by reflection:

  grpcurl -plaintext -d '{"location": {"person_id": 1, "latitude": 35.0585, "longitude": -106.5819}}' 127.0.0.1:30002 udaconnect.v1.LocationService/RecordLocation

END

# Says which role ended, once; ends when all have.
while [ -z "$STOPPING" ]; do
  left=0
  for i in "${!PIDS[@]}"; do
    if [ -z "${PIDS[i]}" ]; then continue; fi
    if alive "${PIDS[i]}"; then
      left=$((left + 1))
    else
      status=0
      wait "${PIDS[i]}" || status=$?
      warn "${NAMES[i]} ended with exit status $status"
      PIDS[i]=
    fi
  done
  if [ "$left" = 0 ]; then die "no role is left"; fi
  sleep 0.5 || true
done

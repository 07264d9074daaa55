#!/usr/bin/env bash
# make run: everything in one process, on a database of its own. Ctrl-C stops what this started.
#
#   DATABASE_URL        a PostgreSQL with PostGIS to use instead; then none is installed or started
#   KAFKA_BOOTSTRAP     a Kafka to send locations through; without it they go straight to the database
#   API_LISTEN_ADDR, GRPC_LISTEN_ADDR, APP_LISTEN_ADDR   where to listen (127.0.0.1:30001, 30002, 30000)
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

CLUSTER=$ROOT/.dev/postgres
API=${API_LISTEN_ADDR:-127.0.0.1:30001}
GRPC=${GRPC_LISTEN_ADDR:-127.0.0.1:30002}
APP=${APP_LISTEN_ADDR:-127.0.0.1:30000}
STARTED=

# shellcheck disable=SC2317 # called by the trap
finish() {
  local status=$?
  # Once more and once less: whoever presses Ctrl-C again wants the end of the program, not of this tidying.
  trap '' HUP
  if [ -n "$ATTENDED" ]; then
    forward_signal TERM
    join || true
  fi
  if [ -n "$STARTED" ]; then scripts/postgres.sh stop "$CLUSTER" || true; fi
  if [ -n "$STOPPING" ]; then status=0; fi
  exit "$status"
}
trap finish EXIT
stop_on_signal
# shellcheck disable=SC2034 # read in lib.sh
ON_STOP=0

need_cargo
if [ -z "${DATABASE_URL:-}" ]; then
  # In the foreground, since sudo may ask for a password.
  scripts/postgres.sh install
fi
if [ -f web/package.json ]; then
  step scripts/web.sh build || [ $? = 77 ] || die "the web app could not be built"
fi
say "cargo build --release (the first time takes some minutes)"
step cargo build --release --locked || die "the build failed"
BIN=$(target_dir)/release/udaconnect

need_port "$API" API_LISTEN_ADDR
if has_role "$BIN" serve-grpc; then need_port "$GRPC" GRPC_LISTEN_ADDR; else GRPC=; fi
if has_role "$BIN" serve-app; then need_port "$APP" APP_LISTEN_ADDR; else APP=; fi

if [ -z "${DATABASE_URL:-}" ]; then
  if ! scripts/postgres.sh status "$CLUSTER"; then STARTED=yes; fi
  step scripts/postgres.sh start "$CLUSTER" || die "PostgreSQL could not be started"
  DATABASE_URL=$(scripts/postgres.sh url "$CLUSTER")
  # Where the demo event is: its days begin and end there.
  EVENT_TIME_ZONE=${EVENT_TIME_ZONE:-America/Denver}
  export DATABASE_URL EVENT_TIME_ZONE
fi

say "udaconnect migrate"
step "$BIN" migrate || die "the migrations failed"
if has_role "$BIN" seed; then
  say "udaconnect seed --if-empty"
  step "$BIN" seed --if-empty || die "seeding failed"
fi

say "udaconnect standalone"
launch "$BIN" standalone
tries=0
until http_ok "$(reach_host "$API")" "$(reach_port "$API")" /readyz; do
  if [ -n "$STOPPING" ] || ! alive "$ATTENDED"; then break; fi
  tries=$((tries + 1))
  if [ "$tries" -gt $((PATIENCE * 10)) ]; then die "not ready after $PATIENCE s; http://$(reach_url "$API")/readyz says why"; fi
  sleep 0.1
done

if [ -z "$STOPPING" ] && alive "$ATTENDED"; then
  api=http://$(reach_url "$API")
  echo
  echo "UdaConnect is ready. Ctrl-C stops it."
  echo
  if [ -n "$APP" ]; then echo "  web app   http://$(reach_url "$APP")/"; fi
  echo "  REST API  $api/api  (try it out at $api/)"
  if [ -n "$GRPC" ]; then echo "  gRPC      $(reach_url "$GRPC")"; fi
  cat <<END

Some persons, a location for the first of them, and whom they met on the second of June:

  curl '$api/api/persons?limit=3'
  curl '$api/api/locations' -H 'content-type: application/json' -d '{"person_id": 1, "latitude": 35.0585, "longitude": -106.5819}'
  curl '$api/api/persons/1/connections?start_date=2026-06-02&end_date=2026-06-02'

END
fi

status=0
join || status=$?
if [ -z "$STOPPING" ]; then
  if [ "$status" = 0 ]; then say "udaconnect standalone ended"; else warn "udaconnect standalone ended with exit status $status; its last lines are above"; fi
elif [ "$status" != 0 ]; then
  warn "udaconnect standalone was asked to stop and ended with exit status $status"
fi
exit "$status"

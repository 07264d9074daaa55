#!/usr/bin/env bash
# A private PostgreSQL with PostGIS, for development and tests. Nothing of the system's own PostgreSQL is touched.
#
#   postgres.sh install                              programs, through apt if they are missing
#   postgres.sh start DIR [--fast] [--of DIR2] [--set NAME=VALUE]…
#                                                    starts the cluster of DIR, making it first if need be; with --of as a
#                                                    standby that follows the one of DIR2, which must run
#   postgres.sh stop DIR                             stops it, if it runs
#   postgres.sh remove DIR                           stops it and removes all its data
#   postgres.sh status DIR                           exit status 0 while it runs
#   postgres.sh url DIR [DATABASE]                   its address, with the password
#   postgres.sh bin                                  the directory of initdb, psql, pgbench
#
# --fast is for tests: a crash of the machine may lose everything.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/postgres-programs.sh
. "$ROOT/scripts/postgres-programs.sh"

NAME=udaconnect # superuser and database
FALLBACK=/var/lib/udaconnect-dev

# ---- where the cluster lives ----------------------------------------------------------------------------------------

# PostgreSQL refuses to run as root; then it runs as the system's postgres user.
as_server() {
  if [ "$(id -u)" != 0 ]; then
    (cd / && "$@")
  elif have runuser; then
    (cd / && runuser -u postgres -- "$@")
  else
    # shellcheck disable=SC2016 # expanded by the inner shell
    (cd / && su postgres -s /bin/sh -c 'exec "$0" "$@"' -- "$@")
  fi
}
own() { if [ "$(id -u)" = 0 ]; then chown postgres: "$@"; fi; }

# Sets HOME_DIR, which holds the data and the log: DIR itself, or a directory under /var/lib when the postgres user may not
# enter DIR (a checkout in /root). DIR/home then points there.
locate() {
  local away
  away=$FALLBACK/$(short_hash "$DIR")
  HOME_DIR=$DIR
  if [ -f "$DIR/home" ] && [ "$(cat "$DIR/home")" = "$away" ]; then HOME_DIR=$away; fi
  DATA=$HOME_DIR/data
}

prepare() {
  local away
  [ -w "$DIR" ] || die "$DIR belongs to somebody else (an earlier run as root?); remove it with sudo"
  locate
  if [ "$(id -u)" != 0 ] || [ "$HOME_DIR" != "$DIR" ]; then return 0; fi
  id postgres >/dev/null 2>&1 || die "PostgreSQL cannot run as root, and there is no user postgres to run it as"
  own "$DIR"
  if as_server test -w "$DIR" 2>/dev/null; then return 0; fi
  away=$FALLBACK/$(short_hash "$DIR")
  say "the postgres user cannot enter $DIR; the data goes to $away"
  # What is there without a pointer to it was left by a DIR that has been removed.
  if [ -d "$away" ]; then
    HOME_DIR=$away DATA=$away/data
    halt
    rm -rf "$away"
  fi
  mkdir -p "$away"
  chmod 755 "$FALLBACK"
  own "$away"
  echo "$away" >"$DIR/home"
  locate
}

running() { pid_is "$DATA/postmaster.pid" "$DATA"; }

# ---- the cluster ----------------------------------------------------------------------------------------------------

create() {
  local locale=C fresh=$DATA.new secret=$HOME_DIR/.secret
  say "making a PostgreSQL $(major_of "$BIN") cluster in $HOME_DIR"
  # UTF-8 aware lower() and ILIKE, whatever the user's own locale is.
  case $(locale -a 2>/dev/null || true) in *C.utf8* | *C.UTF-8*) locale=C.UTF-8 ;; *en_US.UTF-8* | *en_US.utf8*) locale=en_US.UTF-8 ;; esac
  (umask 077 && od -An -N18 -tx1 /dev/urandom | tr -d ' \n' >"$DIR/password")
  rm -rf "$fresh"
  (umask 077 && cat "$DIR/password" >"$secret" && own "$secret")
  as_server "$BIN/initdb" -D "$fresh" -U "$NAME" -A scram-sha-256 --pwfile="$secret" -E UTF8 --locale="$locale" --no-sync >"$DIR/initdb.log" 2>&1 || {
    rm -f "$secret"
    cat "$DIR/initdb.log" >&2
    die "initdb failed"
  }
  rm -f "$secret"
  echo "include 'udaconnect.conf'" >>"$fresh/postgresql.conf"
  mv "$fresh" "$DATA" # last, so that an interrupted start leaves no half-made cluster
}

# Copies the cluster of another directory; the copy follows it.
follow() {
  local fresh=$DATA.new secret
  say "making a standby of the PostgreSQL in $FOLLOWED, in $HOME_DIR"
  secret=$(cat "$FOLLOWED/password") || die "no cluster in $FOLLOWED"
  (umask 077 && echo "$secret" >"$DIR/password")
  rm -rf "$fresh"
  PGPASSWORD=$secret as_server "$BIN/pg_basebackup" -h 127.0.0.1 -p "$(cat "$FOLLOWED/port")" -U "$NAME" -w -D "$fresh" -R -X stream -c fast --no-sync >"$DIR/initdb.log" 2>&1 || {
    cat "$DIR/initdb.log" >&2
    die "pg_basebackup failed"
  }
  mv "$fresh" "$DATA"
}

# configure PORT SOCKETS [NAME=VALUE…]
configure() {
  local port=$1 sockets=$2 setting
  shift 2
  {
    echo "# Written by scripts/postgres.sh at every start."
    echo "listen_addresses = '127.0.0.1'"
    echo "port = $port"
    echo "unix_socket_directories = '$sockets'"
    echo "jit = off"
    echo "shared_buffers = 512MB"
    if [ -n "$FAST" ]; then
      echo "max_connections = 300"
      echo "max_wal_size = 2GB"
      echo "fsync = off"
      echo "synchronous_commit = off"
      echo "full_page_writes = off"
      echo "autovacuum_naptime = 10min"
    else
      echo "max_connections = 100"
      echo "max_wal_size = 4GB"
      echo "checkpoint_timeout = 15min"
    fi
    for setting; do echo "${setting%%=*} = '${setting#*=}'"; done
  } >"$DATA/udaconnect.conf"
  own "$DATA/udaconnect.conf"
}

sql() { PGPASSWORD=$(cat "$DIR/password") PGCONNECT_TIMEOUT=5 "$BIN/psql" -X -q -A -t -w -h 127.0.0.1 -p "$(cat "$DIR/port")" -U "$NAME" -v ON_ERROR_STOP=1 "$@"; }

start() {
  local port sockets try log
  FAST=
  FOLLOWED=
  if [ "${1:-}" = --fast ]; then FAST=yes && shift; fi
  if [ "${1:-}" = --of ]; then FOLLOWED=$2 && shift 2; fi
  local settings=()
  while [ "${1:-}" = --set ]; do settings+=("$2") && shift 2; done
  [ $# = 0 ] || die "unknown argument $1"
  prepare
  # Two starts at once: the second waits, and finds it running. The server must not inherit the lock.
  exec 9>"$DIR/lock"
  if have flock; then flock 9; fi
  if running; then
    say "PostgreSQL already runs on 127.0.0.1:$(cat "$DIR/port")"
    return 0
  fi
  if [ -f "$DATA/PG_VERSION" ]; then
    BIN=$(find_bin "$(cat "$DATA/PG_VERSION")") || die "$DATA was made by PostgreSQL $(cat "$DATA/PG_VERSION"), which is not here (with PostGIS) any more; remove $DIR to start afresh"
    [ -s "$DIR/password" ] || die "$DIR/password is gone; remove $DIR to start afresh"
    # Left by a crash or copied with the checkout, and the number is some other process's now (or a zombie's): PostgreSQL
    # would believe it. Where no such process is, it finds out by itself, more carefully than we could.
    if [ -s "$DATA/postmaster.pid" ] && kill -0 "$(head -n 1 "$DATA/postmaster.pid")" 2>/dev/null; then rm -f "$DATA/postmaster.pid"; fi
    rm -f "$DATA"/.s.PGSQL.*
  else
    BIN=$(find_bin) || die "PostgreSQL with PostGIS is missing; run: scripts/postgres.sh install"
    if [ -n "$FOLLOWED" ]; then follow; else create; fi
  fi
  log=$HOME_DIR/postgres.log
  for try in 1 2 3; do
    port=$(remembered_port "$DIR/port")
    # A socket's path may have 107 characters at most.
    sockets=$DATA
    if [ ${#sockets} -gt 80 ]; then sockets=$(as_server mktemp -d /tmp/udaconnect.XXXXXX); fi
    echo "$sockets" >"$DIR/sockets"
    configure "$port" "$sockets" ${settings[@]+"${settings[@]}"}
    if [ -f "$log" ]; then mv "$log" "$log.1"; fi
    if as_server "$BIN/pg_ctl" start -D "$DATA" -l "$log" -w -t "$PATIENCE" -s >/dev/null 2>&1 9>&-; then break; fi
    forget_sockets
    # Somebody took the port just now, or the sessions of a killed server are still ending.
    if [ "$try" -lt 3 ] && grep -Eq 'Address already in use|pre-existing shared memory' "$log" 2>/dev/null; then
      sleep 1
      continue
    fi
    tail -n 20 "$log" >&2 || true
    die "PostgreSQL did not start; its log is $log"
  done
  if [ -z "$(sql -d postgres -c "SELECT 1 FROM pg_database WHERE datname = '$NAME'")" ]; then
    sql -d postgres -c "CREATE DATABASE $NAME"
  fi
  say "PostgreSQL $(cat "$DATA/PG_VERSION") runs on 127.0.0.1:$port"
}

forget_sockets() {
  local sockets
  if [ ! -s "$DIR/sockets" ]; then return 0; fi
  sockets=$(cat "$DIR/sockets")
  case $sockets in /tmp/udaconnect.*) rm -rf "$sockets" ;; esac
  rm -f "$DIR/sockets"
}

# Fast shutdown: sessions are ended, what they committed is kept.
halt() {
  local bin
  if ! running; then return 0; fi
  bin=$(find_bin "$(cat "$DATA/PG_VERSION")") || die "no pg_ctl for $DATA"
  as_server "$bin/pg_ctl" stop -D "$DATA" -m fast -w -t "$PATIENCE" -s || die "PostgreSQL in $DATA did not stop"
}

stop() {
  locate
  if running; then
    halt
    forget_sockets
    say "PostgreSQL stopped"
  fi
}

remove() {
  locate
  stop
  # The directory under /var/lib, too.
  rm -rf "$HOME_DIR" "$DIR"
}

url() {
  locate
  if [ ! -s "$DIR/password" ] || [ ! -s "$DIR/port" ]; then die "no cluster in $DIR; run: scripts/postgres.sh start $DIR"; fi
  echo "postgres://$NAME:$(cat "$DIR/password")@127.0.0.1:$(cat "$DIR/port")/${1:-$NAME}"
}

usage() { sed -n '2,/^set -e/{/^set -e/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"; }

command=${1:-help}
if [ $# -gt 0 ]; then shift; fi
case $command in
  install) install ;;
  bin) find_bin || die "PostgreSQL with PostGIS is missing; run: scripts/postgres.sh install" ;;
  start | stop | remove | status | url)
    [ $# -gt 0 ] || die "$command needs a directory"
    # Without links, since a running server is recognised by its path.
    if [ "$command" = start ]; then mkdir -p "$1" 2>/dev/null || die "cannot make $1; if an earlier run as root made it, remove it with sudo"; fi
    if [ -d "$1" ]; then DIR=$(cd "$1" && pwd -P); else DIR=$1; fi
    shift
    case $command in
      start) start "$@" ;;
      stop) stop ;;
      remove) remove ;;
      status) locate && running ;;
      url) url "$@" ;;
    esac
    ;;
  help | -h | --help) usage ;;
  *) usage >&2 && exit 2 ;;
esac

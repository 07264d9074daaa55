#!/usr/bin/env bash
# A real Apache Kafka for development and tests: one node (KRaft, broker and controller in one), on 127.0.0.1 only.
#
#   kafka.sh install              what is needed to start one, if it is missing
#   kafka.sh start DIR [--protocol PROTOCOL] [--set NAME=VALUE]…
#                                 starts the broker of DIR and waits until it answers. PROTOCOL is SSL, SASL_SSL or SASL_PLAINTEXT,
#                                 with the settings that it needs; not with Docker
#   kafka.sh stop DIR             stops it, if it runs
#   kafka.sh remove DIR           stops it and removes all its data
#   kafka.sh status DIR           exit status 0 while it answers
#   kafka.sh bootstrap DIR        its address, for KAFKA_BOOTSTRAP
#   kafka.sh pid DIR              its process, to be killed in tests (not with Docker)
#   kafka.sh tool DIR CLASS ARG…  one of Kafka's own tools, e.g. org.apache.kafka.tools.TopicCommand
#
# KAFKA_BOOTSTRAP, if given, is used as it is: nothing is started or stopped. Otherwise Docker, if an engine answers; else
# Kafka's jars through Maven. KAFKA_WITH=docker or KAFKA_WITH=jars decides for you. KAFKA_HEAP is the broker's heap (512m).
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

POM=$ROOT/scripts/kafka/pom.xml
LIBS=$ROOT/.dev/kafka/libs
HEAP=${KAFKA_HEAP:-512m}
VERSION=$(sed -n 's/.*<kafka.version>\(.*\)<.*/\1/p' "$POM")
IMAGE=apache/kafka:$VERSION
JAVA_NEEDED=17

# ---- programs -------------------------------------------------------------------------------------------------------

docker_answers() { have docker && docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

# The first Java that is new enough; the one on PATH may be older.
find_java() {
  local java version
  for java in "${JAVA_HOME:-/none}/bin/java" "$(command -v java || true)" /usr/lib/jvm/*/bin/java /opt/homebrew/opt/openjdk*/bin/java /usr/local/opt/openjdk*/bin/java; do
    if [ ! -x "$java" ]; then continue; fi
    version=$("$java" -version 2>&1 | sed -n -E '1s/.*"([0-9]+).*/\1/p')
    if [ -n "$version" ] && [ "$version" -ge "$JAVA_NEEDED" ]; then
      echo "$java"
      return 0
    fi
  done
  return 1
}

install_jars() {
  local jre=default-jre-headless stamp
  if ! find_java >/dev/null || { ! have mvn && [ ! -d "$LIBS" ]; }; then
    if ! can_apt; then
      die "Kafka needs Docker, or Java $JAVA_NEEDED and Maven. macOS: brew install openjdk maven; Fedora: dnf install java-21-openjdk-headless maven; or give KAFKA_BOOTSTRAP of a Kafka that runs"
    fi
    apt_update
    if apt_has "openjdk-$JAVA_NEEDED-jre-headless"; then jre=openjdk-$JAVA_NEEDED-jre-headless; fi
    find_java >/dev/null || apt_install "$jre" || die "could not install Java"
    have mvn || apt_install maven || die "could not install Maven"
    find_java >/dev/null || die "no Java $JAVA_NEEDED or newer after installing $jre"
  fi
  stamp=$(short_hash "$(cat "$POM")")
  if [ "$(cat "$LIBS/.pom" 2>/dev/null || true)" = "$stamp" ]; then return 0; fi
  say "fetching Apache Kafka $VERSION through Maven (about 55 MB, once)"
  rm -rf "$LIBS" "$LIBS.new"
  mkdir -p "${LIBS%/*}"
  # At the end a rename, so that an interrupted download is not taken for a whole one.
  mvn -B -ntp -q -Dstyle.color=never -f "$POM" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$LIBS.new" </dev/null >&2 ||
    die "Maven could not fetch Kafka's jars (is there a way to Maven Central?)"
  echo "$stamp" >"$LIBS.new/.pom"
  mv "$LIBS.new" "$LIBS"
}

# Sets WITH to docker or jars. What DIR was made with is kept, since its data are there.
choose() {
  WITH=${KAFKA_WITH:-$(cat "$DIR/with" 2>/dev/null || true)}
  case $WITH in
    jars) ;;
    docker) docker_answers || die "no Docker engine answers" ;;
    '')
      WITH=jars
      # An engine that cannot get the image is no help.
      if docker_answers && { docker image inspect "$IMAGE" || docker pull -q "$IMAGE"; } >/dev/null 2>&1; then WITH=docker; fi
      ;;
    *) die "KAFKA_WITH is docker or jars, not $WITH" ;;
  esac
}

# With exec, so that the process is Java itself and not a shell around it; call it in a subshell.
run_java() { exec "$(find_java)" -cp "$LIBS/*" -Djava.awt.headless=true -Dlog4j2.configurationFile="$ROOT/scripts/kafka/log4j2.properties" "$@"; }

# ---- the broker -----------------------------------------------------------------------------------------------------

PROTOCOL=PLAINTEXT
SETTINGS=()

# settings LISTEN ADVERTISED CONTROLLER_PORT DATA
# The short session is for tests: a killed broker may come back only when its old session has ended.
settings() {
  cat <<END
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$3
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,$PROTOCOL:$PROTOCOL
inter.broker.listener.name=$PROTOCOL
listeners=$PROTOCOL://$1,CONTROLLER://127.0.0.1:$3
advertised.listeners=$PROTOCOL://$2
log.dirs=$4
auto.create.topics.enable=false
num.partitions=4
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=16777216
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
num.network.threads=2
num.io.threads=4
END
  printf '%s\n' ${SETTINGS[@]+"${SETTINGS[@]}"}
}

# Whether a broker answers: ApiVersions, version 0, which every version knows. Behind TLS or a password only that it listens.
answers() {
  (
    exec 3<>"/dev/tcp/$1/$2" || exit 1
    if ! grep -q '^listeners=PLAINTEXT' "$DIR/server.properties" 2>/dev/null && [ -f "$DIR/server.properties" ]; then exit 0; fi
    printf '\0\0\0\12\0\22\0\0\0\0\0\1\377\377' >&3
    # The answer begins with its length, whose first byte is 0.
    LC_ALL=C IFS= read -r -d '' -t 5 -n1 _ <&3
  ) 2>/dev/null
}

running() {
  if [ "$(cat "$DIR/with" 2>/dev/null || true)" = docker ]; then
    [ "$(docker inspect -f '{{.State.Running}}' "$CONTAINER" 2>/dev/null || true)" = true ]
  else
    pid_is "$DIR/pid" "$MARK"
  fi
}

start_docker() {
  local port=$1 line name variables=()
  while read -r line; do
    name=$(printf %s "${line%%=*}" | tr '[:lower:].' '[:upper:]_')
    variables+=(-e "KAFKA_$name=${line#*=}")
  done <<<"$(settings 0.0.0.0:9092 "127.0.0.1:$port" 9093 /var/lib/kafka/data)"
  # The data are in a volume, so the container itself may go. Its port may have to change.
  docker rm -f "$CONTAINER" >/dev/null 2>&1 || true
  docker run -d --name "$CONTAINER" -p "127.0.0.1:$port:9092" -v "$CONTAINER:/var/lib/kafka/data" \
    -e KAFKA_HEAP_OPTS="-Xmx$HEAP" "${variables[@]}" "$IMAGE" >/dev/null || die "docker could not start $IMAGE"
}

start_jars() {
  local port=$1 controller id pid
  install_jars
  controller=$(remembered_port "$DIR/controller-port")
  settings "127.0.0.1:$port" "127.0.0.1:$port" "$controller" "$DIR/data" >"$DIR/server.properties"
  if [ ! -f "$DIR/data/meta.properties" ]; then
    # A Kafka UUID; tools would take a leading dash for a flag.
    id=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n' | sed 's/^-/A/')
    (run_java kafka.tools.StorageTool format --ignore-formatted -t "$id" -c "$DIR/server.properties" >"$DIR/format.log" 2>&1) || {
      cat "$DIR/format.log" >&2
      die "Kafka could not format $DIR/data"
    }
  fi
  if [ -f "$DIR/kafka.log" ]; then mv "$DIR/kafka.log" "$DIR/kafka.log.1"; fi
  # A process group of its own: a Ctrl-C must not stop the broker before those who use it.
  set -m
  run_java "-Xmx$HEAP" -Xms128m -XX:MaxGCPauseMillis=20 "$MARK" kafka.Kafka "$DIR/server.properties" \
    </dev/null >"$DIR/kafka.log" 2>&1 9>&- &
  pid=$!
  set +m
  echo "$pid" >"$DIR/pid"
  # Until it has become Java it would not be recognised.
  until running || ! alive "$pid"; do sleep 0.02; done
}

start() {
  local port n=0
  if [ "${1:-}" = --protocol ]; then PROTOCOL=$2 && shift 2; fi
  while [ "${1:-}" = --set ]; do SETTINGS+=("$2") && shift 2; done
  [ $# = 0 ] || die "unknown argument $1"
  if [ -n "${KAFKA_BOOTSTRAP:-}" ]; then
    say "using the Kafka of KAFKA_BOOTSTRAP"
    return 0
  fi
  exec 9>"$DIR/lock"
  if have flock; then flock 9; fi
  if ! running; then
    choose
    if [ "$PROTOCOL" != PLAINTEXT ] && [ "$WITH" = docker ]; then die "--protocol works with Kafka's jars only: KAFKA_WITH=jars"; fi
    port=$(remembered_port "$DIR/port")
    say "starting Apache Kafka $VERSION ($WITH) on 127.0.0.1:$port"
    rm -f "$DIR/with"
    "start_$WITH" "$port"
    echo "$WITH" >"$DIR/with"
  fi
  port=$(cat "$DIR/port")
  until answers 127.0.0.1 "$port"; do
    n=$((n + 1))
    if ! running || [ "$n" -gt $((PATIENCE * 5)) ]; then
      if [ -f "$DIR/kafka.log" ]; then tail -n 20 "$DIR/kafka.log" >&2; else docker logs --tail 20 "$CONTAINER" >&2 || true; fi
      stop
      die "Kafka did not start"
    fi
    sleep 0.2
  done
  say "Kafka runs on 127.0.0.1:$port"
}

stop() {
  if [ -n "${KAFKA_BOOTSTRAP:-}" ] || ! running; then return 0; fi
  if [ "$(cat "$DIR/with")" = docker ]; then
    docker stop -t "$PATIENCE" "$CONTAINER" >/dev/null
  else
    end_process "$(cat "$DIR/pid")"
    rm -f "$DIR/pid"
  fi
  say "Kafka stopped"
}

remove() {
  if [ -n "${KAFKA_BOOTSTRAP:-}" ]; then return 0; fi
  stop
  if [ "$(cat "$DIR/with" 2>/dev/null || true)" = docker ]; then
    docker rm -f "$CONTAINER" >/dev/null 2>&1 || true
    docker volume rm "$CONTAINER" >/dev/null 2>&1 || true
  fi
  rm -rf "$DIR"
}

tool() {
  if [ "$(cat "$DIR/with" 2>/dev/null || true)" = docker ]; then
    docker exec -i "$CONTAINER" /opt/kafka/bin/kafka-run-class.sh "$@"
  else
    install_jars
    run_java "$@"
  fi
}

usage() { sed -n '2,/^set -e/{/^set -e/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"; }

command=${1:-help}
if [ $# -gt 0 ]; then shift; fi
case $command in
  help | -h | --help) usage && exit 0 ;;
  install) DIR=/none && choose && if [ "$WITH" = jars ]; then install_jars; fi && exit 0 ;;
  start | stop | remove | status | bootstrap | pid | tool) [ $# -gt 0 ] || die "$command needs a directory" ;;
  *) usage >&2 && exit 2 ;;
esac
if [ "$command" = start ] && [ -z "${KAFKA_BOOTSTRAP:-}" ]; then mkdir -p "$1" 2>/dev/null || die "cannot make $1"; fi
if [ -d "$1" ]; then DIR=$(cd "$1" && pwd -P); else DIR=$1; fi
shift
CONTAINER=udaconnect-kafka-$(short_hash "$DIR")
# On the broker's command line, so that it is recognised as the one of DIR.
MARK=-Dudaconnect.kafka=$DIR
case $command in
  status) [ -n "${KAFKA_BOOTSTRAP:-}" ] || { running && answers 127.0.0.1 "$(cat "$DIR/port")"; } ;;
  bootstrap) if [ -n "${KAFKA_BOOTSTRAP:-}" ]; then echo "$KAFKA_BOOTSTRAP"; else echo "127.0.0.1:$(cat "$DIR/port")"; fi ;;
  pid) cat "$DIR/pid" ;;
  *) "$command" "$@" ;;
esac

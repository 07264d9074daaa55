# shellcheck shell=bash
# What the scripts share. Sourced, not run. Works with the bash 3.2 of macOS: no `wait -n`, no associative arrays.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
export ROOT

say() { printf '%s\n' "── $*" >&2; }
warn() { printf '%s\n' "!! $*" >&2; }
die() {
  printf '%s\n' "error: $*" >&2
  exit 1
}
# How long anything may take to start or stop, in seconds: long, since machines are shared. PATIENCE in the environment decides.
PATIENCE=${PATIENCE:-120}
have() { command -v "$1" >/dev/null 2>&1; }

# ---- packages -------------------------------------------------------------------------------------------------------

# Whether packages can be had through apt: as root, or with sudo.
can_apt() { have apt-get && { [ "$(id -u)" = 0 ] || have sudo; }; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

APT_UPDATED=
# Quiet unless it fails: a wall of apt output would hide what matters.
apt_quietly() {
  local log status=0
  log=$(mktemp)
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -o DPkg::Lock::Timeout=300 "$@" >"$log" 2>&1 </dev/null || status=$?
  if [ "$status" != 0 ]; then tail -n 25 "$log" >&2; fi
  rm -f "$log"
  return "$status"
}
apt_update() {
  if [ -n "$APT_UPDATED" ]; then return 0; fi
  say "apt-get update"
  # A third-party list that fails must not stop what the others offer.
  apt_quietly update || warn "apt-get update failed; going on with the lists that are here"
  APT_UPDATED=yes
}
apt_install() {
  apt_update
  say "apt-get install $*"
  apt_quietly install --no-install-recommends "$@"
}
apt_has() { case $(apt-cache policy "$1" 2>/dev/null) in *'Candidate: (none)'* | '') return 1 ;; esac; }

# ---- ports and probes -----------------------------------------------------------------------------------------------

# Whether somebody accepts connections there.
port_open() { (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; }

# A port that nobody listens on, below the range from which the system takes ports for outgoing connections.
free_port() {
  local port try
  for try in $(seq 1 200); do
    port=$((20000 + (RANDOM * 32768 + RANDOM + try) % 9000))
    if ! port_open 127.0.0.1 "$port"; then
      echo "$port"
      return 0
    fi
  done
  die "no free port found on 127.0.0.1"
}

# The port remembered in a file, if it is still free; otherwise another one, remembered.
remembered_port() {
  local file=$1 port=
  if [ -s "$file" ]; then port=$(cat "$file"); fi
  if [ -z "$port" ] || port_open 127.0.0.1 "$port"; then
    port=$(free_port)
    echo "$port" >"$file"
  fi
  echo "$port"
}

# The host and port at which a listen address can be reached from here: 0.0.0.0 is no place to connect to.
reach_host() {
  local host=${1%:*}
  case $host in
    '' | 0.0.0.0 | '*') echo 127.0.0.1 ;;
    '[::]') echo ::1 ;;
    *) host=${host#[} && echo "${host%]}" ;;
  esac
}
reach_port() { echo "${1##*:}"; }
reach_url() {
  local host
  host=$(reach_host "$1")
  case $host in *:*) host="[$host]" ;; esac
  echo "$host:$(reach_port "$1")"
}

# Whether GET path answers 200. Plain bash, so that no curl is needed.
http_ok() {
  local host=$1 port=$2 path=$3
  (
    exec 3<>"/dev/tcp/$host/$port" || exit 1
    printf 'GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$path" "$host:$port" >&3
    IFS= read -r -t 5 line <&3 || exit 1
    case $line in 'HTTP/1.'?' 200'*) exit 0 ;; *) exit 1 ;; esac
  ) 2>/dev/null
}

# A short, stable name for a path, where the path itself would be too long or hold odd characters.
short_hash() {
  if have sha256sum; then printf %s "$1" | sha256sum; else printf %s "$1" | shasum -a 256; fi | cut -c1-12
}

# ---- processes ------------------------------------------------------------------------------------------------------

# The command line of a process; nothing when it is gone. Slim containers have no ps.
command_of() {
  if [ -r "/proc/$1/cmdline" ]; then
    tr '\0' ' ' <"/proc/$1/cmdline" 2>/dev/null || true
  elif have ps; then
    ps -o args= -p "$1" 2>/dev/null || true
  fi
}

# Whether the process in a pid file runs and is the one that was started, not a later one with the same number.
pid_is() {
  local file=$1 mark=$2 pid
  if [ ! -s "$file" ]; then return 1; fi
  pid=$(head -n 1 "$file")
  case $(command_of "$pid") in *"$mark"*) return 0 ;; *) return 1 ;; esac
}

# A zombie has ended: some containers have no init that would reap it.
alive() {
  local rest
  kill -0 "$1" 2>/dev/null || return 1
  if { read -r rest <"/proc/$1/stat"; } 2>/dev/null; then
    case ${rest##*) } in [ZX]*) return 1 ;; esac
  fi
}

# Ends a process: asks, waits, then insists.
end_process() {
  kill -TERM "$1" 2>/dev/null || return 0
  await_end "$@"
}
# Waits for one that was asked already: asking twice would mean "at once".
await_end() {
  local pid=$1 seconds=${2:-$PATIENCE} n=0
  while alive "$pid"; do
    n=$((n + 1))
    if [ "$n" -gt $((seconds * 10)) ]; then
      warn "process $pid did not end within $seconds s; killing it"
      kill -KILL "$pid" 2>/dev/null || true
      return 0
    fi
    sleep 0.1
  done
}

# For scripts that stop on Ctrl-C: STOPPING tells that it was asked for.
STOPPING=
ON_STOP=130 # the exit status then
stop_on_signal() {
  trap 'STOPPING=INT; forward_signal INT' INT
  trap 'STOPPING=TERM; forward_signal TERM' TERM HUP
}

# launch COMMAND… starts it in a process group of its own; join waits for it. A signal to the script reaches the command once,
# through forward_signal, and not a second time from the terminal: our program takes a second one for "end at once".
ATTENDED=
launch() {
  if [ -n "$STOPPING" ]; then exit "$ON_STOP"; fi
  set -m
  "$@" </dev/null 8>&- & # 8: a script's lock, which must not outlive it in a server
  ATTENDED=$!
  set +m
}
join() {
  local status=0 pid=$ATTENDED
  wait "$pid" || status=$?
  # A trapped signal interrupts `wait`; the command may still be winding up.
  while alive "$pid"; do wait "$pid" || status=$?; done
  # Its real status, if the signal came in between.
  if [ "$status" -gt 128 ]; then
    status=0
    wait "$pid" 2>/dev/null || status=$?
  fi
  ATTENDED=
  return "$status"
}
forward_signal() {
  if [ -n "$ATTENDED" ]; then kill "-$1" -- "-$ATTENDED" 2>/dev/null || true; fi
}

# One step of several, interruptible. Returns the command's status; ends the script with status $ON_STOP when stopped.
step() {
  local status=0
  launch "$@"
  join || status=$?
  if [ -n "$STOPPING" ]; then exit "$ON_STOP"; fi
  return "$status"
}

# Who listens on a port, as far as the system tells.
port_owner() {
  local line=
  if have ss; then line=$(ss -Hltnp "sport = :$1" 2>/dev/null | sed -n 's/.*users:((\(.*\)))$/ (\1)/p' | awk 'NR == 1'); fi
  echo "$line"
}
# need_port ADDRESS [VARIABLE]
need_port() {
  if port_open "$(reach_host "$1")" "$(reach_port "$1")"; then
    die "$1 is already in use$(port_owner "$(reach_port "$1")"). Stop what runs there${2:+, or choose another address with $2}"
  fi
}

# ---- Rust -----------------------------------------------------------------------------------------------------------

need_cargo() {
  if ! have cargo && [ -x "$HOME/.cargo/bin/cargo" ]; then PATH="$HOME/.cargo/bin:$PATH"; fi
  have cargo || die "cargo is missing. Install Rust with rustup: https://rustup.rs (then open a new shell), or through your system's packages"
  if ! have cc; then
    can_apt || die "no C linker (cc) found. Debian, Ubuntu: apt install build-essential; macOS: xcode-select --install"
    apt_install gcc libc6-dev || die "could not install gcc, which Rust needs for linking"
  fi
}

# The tests bring librdkafka, which is built by make with a C and a C++ compiler.
need_native() {
  if have make && { have c++ || have g++; }; then return 0; fi
  can_apt || die "the tests need make and a C++ compiler. macOS: xcode-select --install; Fedora: dnf install make gcc-c++"
  apt_install make g++ || die "could not install make and g++"
}

# Where cargo puts what it builds, wherever the user told it to.
target_dir() {
  cargo metadata --format-version 1 --no-deps --manifest-path "$ROOT/Cargo.toml" |
    sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'
}

# Whether this build of the program has a role, by its --help.
# Not as a pipe: grep -q stops reading when it has found the line, and the program would fail with a broken pipe.
has_role() {
  local text
  text=$("$1" --help 2>/dev/null) || return 1
  grep -Eq "^ +$2( |\$)" <<<"$text"
}

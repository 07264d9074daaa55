#!/usr/bin/env bash
# Tests of helm/udaconnect, with Helm, the schemas of three versions of Kubernetes, and the program itself. Arguments go to
# pytest:  scripts/chart-test.sh -k network
#
#   UDACONNECT                     the program; built if not given
#   UDACONNECT_TEST_DATABASE_URL   a PostgreSQL as superuser; without it the tests that need one are skipped
#   HELM, PROMTOOL                 programs to use; installed into .dev if they are missing
#
# Exit status 77: could not be done on this machine.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

HELM_VERSION=v4.3.1
VENV=$ROOT/.dev/chart-venv
BIN=$ROOT/.dev/bin
CANNOT=77

# The pinned one, built from its source: no other way is open to every machine. A Helm 3 or 4 on PATH does as well.
need_helm() {
  local go
  if [ -n "${HELM:-}" ]; then return 0; fi
  HELM=$BIN/helm
  if [ "$("$HELM" version --template '{{.Version}}' 2>/dev/null || true)" = "$HELM_VERSION" ]; then return 0; fi
  if have helm; then
    HELM=$(command -v helm)
    case $("$HELM" version --template '{{.Version}}') in v3.* | v4.*) return 0 ;; esac
  fi
  HELM=$BIN/helm
  for go in go /usr/local/go/bin/go; do if have "$go"; then break; fi; done
  if ! have "$go"; then
    warn "Helm is missing, and so is Go to build it. Install Helm 3 or 4 (https://helm.sh) or Go"
    exit "$CANNOT"
  fi
  say "building Helm $HELM_VERSION (once, some minutes)"
  mkdir -p "$BIN"
  GOBIN=$BIN GOFLAGS=-trimpath "$go" install -ldflags "-s -w -X helm.sh/helm/v4/internal/version.version=$HELM_VERSION" "helm.sh/helm/v4/cmd/helm@$HELM_VERSION" || {
    warn "Helm could not be built"
    exit "$CANNOT"
  }
}

need_python() {
  local wanted
  wanted=$(short_hash "$VENV $(cat scripts/chart-requirements.txt)")
  if [ "$(cat "$VENV/.wanted" 2>/dev/null || true)" = "$wanted" ]; then return 0; fi
  rm -rf "$VENV"
  if ! have python3; then
    warn "the chart's tests need Python 3"
    exit "$CANNOT"
  fi
  # Debian packs venv separately.
  if ! python3 -c 'import ensurepip' 2>/dev/null && can_apt; then apt_install python3-venv || true; fi
  say "installing the chart's test tools (once)"
  if ! python3 -m venv "$VENV" || ! "$VENV/bin/pip" install -q --disable-pip-version-check -r scripts/chart-requirements.txt; then
    warn "the chart's test tools could not be installed"
    exit "$CANNOT"
  fi
  echo "$wanted" >"$VENV/.wanted"
}

# Of Debian's package only the one program, so that no Prometheus is started on this machine. Without it one test is skipped.
find_promtool() {
  local download
  if [ -n "${PROMTOOL:-}" ]; then return 0; fi
  PROMTOOL=$(command -v promtool || true)
  if [ -z "$PROMTOOL" ] && [ -x "$BIN/promtool" ]; then PROMTOOL=$BIN/promtool; fi
  if [ -n "$PROMTOOL" ] || ! have apt-get || ! have dpkg; then return 0; fi
  if ! apt_has prometheus && can_apt; then apt_update; fi
  download=$(mktemp -d)
  if (cd "$download" && apt-get -qq download prometheus >/dev/null 2>&1 && dpkg -x prometheus_*.deb .); then
    mkdir -p "$BIN"
    mv "$download/usr/bin/promtool" "$BIN/promtool"
    PROMTOOL=$BIN/promtool
  fi
  rm -rf "$download"
}

need_helm
need_python
find_promtool
if ! have ruby && can_apt; then apt_install ruby || true; fi
if ! have ruby; then warn "SKIPPED: the tests of Vagrantfile (no ruby)"; fi
if [ -z "$PROMTOOL" ]; then warn "SKIPPED: the test of the alert rules (no promtool)"; fi
if [ -z "${UDACONNECT:-}" ]; then
  need_cargo
  cargo build --locked --quiet
  UDACONNECT=$(target_dir)/debug/udaconnect
fi
POSTGRES_BIN=$(scripts/postgres.sh bin 2>/dev/null || true)
export HELM PROMTOOL UDACONNECT POSTGRES_BIN
case " $* " in *" tests/"*) ;; *) set -- tests/chart "$@" ;; esac
exec "$VENV/bin/pytest" -q -ra -p no:cacheprovider "$@"

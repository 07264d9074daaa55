#!/usr/bin/env bash
# The web app's own tools. All do nothing while web/package.json does not exist.
#
#   web.sh build    web/dist, which the binary embeds; skipped when nothing changed
#   web.sh lint     npm run lint; fails too when src/api/openapi.ts is not what docs/openapi.json says
#   web.sh openapi  renews src/api/openapi.ts; make openapi does both
#   web.sh test     npm test
#   web.sh e2e      npm run test:e2e, in Chromium (address in CHROMIUM), installed through apt if missing
#
# Exit status 77: could not be done on this machine.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

WEB=$ROOT/web
STAMPS=$ROOT/.dev
CANNOT=77

need_npm() {
  if have npm; then return 0; fi
  warn "npm is missing, so the web app is left out. Debian, Ubuntu: apt install nodejs npm; macOS: brew install node"
  exit "$CANNOT"
}

# Only when the lock file changed: npm ci removes and fetches everything.
dependencies() {
  local lock
  lock=$(short_hash "$(cat "$WEB/package-lock.json")")
  if [ -d "$WEB/node_modules" ] && [ "$(cat "$STAMPS/web.lock" 2>/dev/null || true)" = "$lock" ]; then return 0; fi
  say "npm ci"
  rm -f "$STAMPS/web.lock"
  (cd "$WEB" && npm ci --no-audit --no-fund)
  mkdir -p "$WEB/node_modules" # when there are no dependencies
  echo "$lock" >"$STAMPS/web.lock"
}

# Whether a source is newer than the last build. Directories too, since a removed file shows only there.
changed() {
  [ ! -f "$STAMPS/web.built" ] || [ ! -f "$WEB/dist/index.html" ] ||
    [ -n "$(find "$WEB" \( -name node_modules -o -name dist -o -name coverage -o -name test-results -o -name playwright-report \) -prune -o \
      \( -type f -o -type d \) -newer "$STAMPS/web.built" ! -name "*.tsbuildinfo" ! -path "$WEB" -print -quit)" ]
}

build() {
  need_npm
  dependencies
  if ! changed; then return 0; fi
  say "building the web app"
  # Before the build: what changes during it is built the next time.
  touch "$STAMPS/web.building"
  (cd "$WEB" && npm run build)
  mv "$STAMPS/web.building" "$STAMPS/web.built"
}

find_chromium() {
  local name
  for name in "${CHROMIUM:-}" chromium chromium-browser google-chrome google-chrome-stable "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"; do
    if [ -n "$name" ] && have "$name"; then
      command -v "$name"
      return 0
    fi
  done
  return 1
}

e2e() {
  need_npm
  dependencies
  if ! find_chromium >/dev/null && can_apt; then apt_install chromium fonts-dejavu-core || true; fi
  if ! CHROMIUM=$(find_chromium); then
    warn "no Chromium or Chrome was found or could be installed, so the browser tests cannot run. Give its path in CHROMIUM"
    exit "$CANNOT"
  fi
  export CHROMIUM
  cd "$WEB" && npm run test:e2e
}

mkdir -p "$STAMPS"
case ${1:-} in
  build | lint | openapi | test | e2e) if [ ! -f "$WEB/package.json" ]; then exit 0; fi ;;
  *) sed -n '2,/^set -e/{/^set -e/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}" >&2 && exit 2 ;;
esac
case $1 in
  build) build ;;
  e2e) e2e ;;
  lint)
    need_npm
    dependencies
    cd "$WEB"
    npm run --silent openapi -- --check || die "web/src/api/openapi.ts is not what docs/openapi.json says; make openapi renews it"
    npm run lint
    ;;
  *) need_npm && dependencies && cd "$WEB" && npm run "$1" ;;
esac

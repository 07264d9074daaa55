#!/usr/bin/env bash
# make lint: form and warnings. Needs no server.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

FAILED=0
run() {
  say "$*"
  "$@" || {
    local status=$?
    if [ "$status" -gt 128 ]; then exit "$status"; fi # stopped by a signal
    warn "FAILED: $*"
    FAILED=$((FAILED + 1))
  }
}

# The roles: what is in Cargo.toml's default features, one per line.
roles() { awk '/^\[/ { here = ($0 == "[features]") } here && /^default *=/ { on = 1 } on { print } on && /\]/ { exit }' Cargo.toml | grep -o '"[^"]*"' | tr -d '"'; }

need_cargo
for part in fmt clippy; do
  cargo "$part" --version >/dev/null 2>&1 || die "cargo $part is missing: rustup component add ${part/fmt/rustfmt}"
done

run cargo fmt --all --check
run cargo clippy --locked --all-targets -- -D warnings
# Every role compiles alone, and so does what is left without any. Not by RUSTFLAGS: that would build all dependencies anew.
run cargo clippy --locked --no-default-features -- -D warnings
ROLES=$(roles) || die "no default features found in Cargo.toml"
for role in $ROLES; do
  run cargo clippy --locked --no-default-features --features "$role" -- -D warnings
done

# Licences, sources and crates that must not be among the dependencies: deny.toml. cargo-deny is no part of Rust; it is built once.
deny() {
  local bin=$ROOT/.dev/tools/bin
  export PATH=$PATH:$bin
  if ! have cargo-deny; then
    say "cargo install cargo-deny (once, some minutes)"
    cargo install --quiet --locked --root "$ROOT/.dev/tools" cargo-deny || {
      warn "SKIPPED: cargo deny (it is not installed and cannot be)"
      return 0
    }
  fi
  run cargo deny --log-level error check licenses bans sources
  # What became known of a dependency since is worth knowing, and no fault of what is to be checked here.
  if cargo deny --log-level off fetch db >/dev/null 2>&1; then
    cargo deny --log-level error check advisories || warn "there are advisories about dependencies (see above)"
  else
    warn "SKIPPED: advisories (their database cannot be had)"
  fi
}
deny

if [ -f web/package.json ]; then
  if have npm; then run scripts/web.sh lint; else warn "SKIPPED: web (no npm)"; fi
fi

if have shellcheck; then
  run shellcheck -x scripts/*.sh scripts/*/*.sh .ci/run
else
  warn "SKIPPED: shellcheck (not installed)"
fi

if [ "$FAILED" -gt 0 ]; then die "make lint: $FAILED failed"; fi
say "make lint: ok"

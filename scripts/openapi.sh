#!/usr/bin/env bash
# make openapi: what is made from the REST API's code and kept in the repository: docs/openapi.json, and the web app's types of it.
# Needs no server. Tests and make lint fail while one of the two is not what the code says.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

need_cargo
mkdir -p .dev
# Into the file only when all of it is there.
cargo run --quiet --locked -- openapi >.dev/openapi.json
mv .dev/openapi.json docs/openapi.json
say "docs/openapi.json"
scripts/web.sh openapi

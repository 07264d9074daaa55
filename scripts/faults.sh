#!/usr/bin/env bash
# make faults: phones stream while everything is killed and stopped again and again, for minutes; at the end every location that was
# acknowledged must be stored exactly once, with every field as it was sent. The same test, shorter, is in make test.
#
#   UDACONNECT_FAULT_LOCATIONS   how many locations at least (100000)
#   UDACONNECT_FAULT_RATE        how many locations a second at most (10000)
#   UDACONNECT_FAULT_ROUNDS      how often everything fails at least (3)
#   UDACONNECT_FAULT_MINUTES     how long at least (0)
#   UDACONNECT_FAULT_OUTAGE      how long PostgreSQL stays away each time, in seconds (120)
#   UDACONNECT_FAULT_SEED        what is sent and what fails when; otherwise by the clock, and printed, so that it can be had again
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

export UDACONNECT_FAULT_LOCATIONS=${UDACONNECT_FAULT_LOCATIONS:-100000}
export UDACONNECT_FAULT_ROUNDS=${UDACONNECT_FAULT_ROUNDS:-3}
export UDACONNECT_FAULT_OUTAGE=${UDACONNECT_FAULT_OUTAGE:-120}

need_cargo
need_native
scripts/postgres.sh install
scripts/kafka.sh install
# As it is shipped: an outage of minutes leaves millions of locations to be stored.
cargo test --locked --release --test it -- --ignored --nocapture kafka_and_all_else_fail

#!/usr/bin/env bash
# make image: the image that Kubernetes runs, with Docker, Podman or Buildah, whichever is here. No registry account is needed.
#
#   image.sh build [ARGUMENT…]   builds it; arguments go to the builder, e.g. --build-arg RUNTIME_IMAGE=…
#   image.sh save FILE           writes it into a tar file, for `k3s ctr images import FILE`
#   image.sh id                  its id
#   image.sh name                what it is called
#
#   IMAGE        its name; localhost/udaconnect with the program's version as tag
#   BUILD_WITH   docker, podman or buildah; decides for you
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

LIMIT=60000000 # bytes
VERSION=$(sed -n 's/^version *= *"\(.*\)"/\1/p' Cargo.toml | head -n 1)
IMAGE=${IMAGE:-localhost/udaconnect:$VERSION}

builder() {
  local tool
  for tool in ${BUILD_WITH:-docker podman buildah}; do
    case $tool in
      docker) if have docker && docker version >/dev/null 2>&1; then echo docker && return; fi ;;
      podman | buildah) if have "$tool"; then echo "$tool" && return; fi ;;
      *) die "BUILD_WITH is docker, podman or buildah, not $tool" ;;
    esac
  done
  die "building the image needs a Docker engine that answers, or Podman, or Buildah. Debian, Ubuntu: apt install buildah"
}

# Of the commit, so that the same commit makes the same image; with a mark when something is not committed.
revision() {
  local id
  id=$(git rev-parse HEAD 2>/dev/null) || { echo unknown && return; }
  if [ -n "$(git status --porcelain 2>/dev/null)" ]; then id=$id-modified; fi
  echo "$id"
}
created() { git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ 2>/dev/null || echo 1970-01-01T00:00:00Z; }

build() {
  local tool arguments size epoch
  tool=$(builder)
  epoch=$(git log -1 --format=%ct 2>/dev/null || echo 0)
  arguments=(--build-arg VERSION="$VERSION" --build-arg REVISION="$(revision)" --build-arg CREATED="$(TZ=UTC created)" --tag "$IMAGE")
  case $tool in
    docker) DOCKER_BUILDKIT=1 SOURCE_DATE_EPOCH=$epoch docker build "${arguments[@]}" "$@" . ;;
    # The format that knows HEALTHCHECK; every Kubernetes takes it.
    podman | buildah) "$tool" build --format docker --timestamp "$epoch" "${arguments[@]}" "$@" . ;;
  esac
  size=$(size "$tool")
  say "$IMAGE is built: $((size / 1000000)) MB"
  if [ "$size" -gt "$LIMIT" ]; then die "the image has $size bytes, more than $LIMIT"; fi
}

size() {
  case $1 in
    docker | podman) "$1" image inspect -f '{{.Size}}' "$IMAGE" ;;
    # What it prints is rounded, so the layers are added up.
    buildah) save_with buildah - | wc -c ;;
  esac
}

save_with() {
  case $1 in
    docker) docker save -o "$2" "$IMAGE" ;;
    podman) podman save --format docker-archive -o "$2" "$IMAGE" ;;
    buildah) if [ "$2" = - ]; then buildah push -q "$IMAGE" "docker-archive:/dev/stdout:$IMAGE"; else buildah push -q "$IMAGE" "docker-archive:$2:$IMAGE"; fi ;;
  esac
}

case ${1:-} in
  build) shift && build "$@" ;;
  save)
    [ $# = 2 ] || die "save needs a file"
    rm -f "$2"
    save_with "$(builder)" "$2"
    ;;
  id)
    case $(builder) in
      buildah) buildah inspect --type image -f '{{.FromImageID}}' "$IMAGE" ;;
      *) "$(builder)" image inspect -f '{{.Id}}' "$IMAGE" ;;
    esac
    ;;
  name) echo "$IMAGE" ;;
  *) sed -n '2,/^set -e/{/^set -e/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}" >&2 && exit 2 ;;
esac

#!/usr/bin/env bash
# Installs K3s, Helm and UdaConnect on this machine, as root; run by `vagrant up` and `vagrant provision`, and usable on any
# Ubuntu 24.04. May be run again: then what changed is brought up to date.
#
#   K3S_VERSION, HELM_VERSION   e.g. v1.35.6+k3s1, v4.3.1
#   SOURCE                      the checkout (/vagrant)
#   VALUES                      a file with values for the chart, besides the demo event's
set -euo pipefail

: "${K3S_VERSION:?}" "${HELM_VERSION:?}"
SOURCE=${SOURCE:-/vagrant}
VALUES=${VALUES:-}
TAR=$SOURCE/.dev/udaconnect-image.tar
NAMESPACE=default # where the brief's `kubectl get pods` looks
export KUBECONFIG=/etc/rancher/k3s/k3s.yaml PATH=/usr/local/bin:$PATH

say() { printf '── %s\n' "$*"; }

install_k3s() {
  if [ "$(k3s --version 2>/dev/null | awk 'NR == 1 { print $3 }')" = "$K3S_VERSION" ]; then return; fi
  say "installing K3s $K3S_VERSION"
  mkdir -p /etc/rancher/k3s
  cat >/etc/rancher/k3s/config.yaml <<'END'
node-name: udaconnect
# The forwarded port is reached by these names.
tls-san: [localhost, 127.0.0.1]
write-kubeconfig-mode: "0644"
# Services are reached by their node ports; the ingress controller would only take memory.
disable: [traefik]
# Images that nobody uses go late: ours cannot be pulled again.
kubelet-arg: [image-gc-high-threshold=95, image-gc-low-threshold=90]
END
  # The installer of that very version; it checks the program's checksum.
  curl -fsSL --retry 5 "https://raw.githubusercontent.com/k3s-io/k3s/${K3S_VERSION/+/%2B}/install.sh" -o /tmp/install-k3s.sh
  INSTALL_K3S_VERSION=$K3S_VERSION sh /tmp/install-k3s.sh
}

install_helm() {
  local name sum
  if [ "$(helm version --template '{{.Version}}' 2>/dev/null || true)" = "$HELM_VERSION" ]; then return; fi
  say "installing Helm $HELM_VERSION"
  name=helm-$HELM_VERSION-linux-$(dpkg --print-architecture).tar.gz
  curl -fsSL --retry 5 "https://get.helm.sh/$name" -o "/tmp/$name"
  sum=$(curl -fsSL --retry 5 "https://get.helm.sh/$name.sha256sum")
  (cd /tmp && sha256sum --check --quiet <<<"$sum")
  tar -xzf "/tmp/$name" -C /usr/local/bin --strip-components 1 "linux-$(dpkg --print-architecture)/helm"
  rm -f "/tmp/$name"
}

# Sets IMAGE_NAME and IMAGE_TAG. The tag is made of the image's content, so that another image makes new pods.
bring_image() {
  local tar=$TAR name id
  if [ -f "$tar" ]; then
    say "taking the image from $tar"
  else
    say "building the image (the first time takes ten to twenty minutes)"
    if ! command -v buildah >/dev/null; then
      apt-get update -q
      DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends buildah
    fi
    tar=/var/tmp/udaconnect-image.tar
    # The machine's own network: it has no other.
    BUILD_WITH=buildah "$SOURCE/scripts/image.sh" build --network host
    BUILD_WITH=buildah "$SOURCE/scripts/image.sh" save "$tar"
  fi
  k3s ctr images import "$tar"
  name=$(tar -xOf "$tar" manifest.json | sed -n 's/.*"RepoTags":\["\([^"]*\)".*/\1/p')
  id=$(tar -xOf "$tar" manifest.json | sed -n 's/.*"Config":"[^"]*\([0-9a-f]\{64\}\)[^"]*".*/\1/p')
  if [ -z "$name" ] || [ -z "$id" ]; then
    echo "error: $tar holds no image" >&2
    exit 1
  fi
  IMAGE_NAME=${name%:*}
  IMAGE_TAG=${name##*:}-${id:0:12}
  k3s ctr images tag --force "$name" "$IMAGE_NAME:$IMAGE_TAG"
}

install_chart() {
  local arguments=(--set "image.repository=$IMAGE_NAME" --set "image.tag=$IMAGE_TAG" --set seed.enabled=true)
  if [ "$(dpkg --print-architecture)" = arm64 ]; then arguments+=(--set postgres.image.repository=imresamu/postgis); fi
  if [ -n "$VALUES" ]; then arguments+=(--values "$VALUES"); fi
  say "helm upgrade --install udaconnect (images are fetched; this takes some minutes)"
  helm upgrade --install udaconnect "$SOURCE/helm/udaconnect" --namespace "$NAMESPACE" "${arguments[@]}" --wait --wait-for-jobs --timeout 15m
}

install_k3s
until k3s kubectl wait --for=condition=Ready node/udaconnect --timeout=60s 2>/dev/null; do sleep 2; done
install_helm
bring_image
install_chart

#!/usr/bin/env bash
# Waits until the pods are ready and the pages answer, and says where they are. Run in the machine, at every start of it.
set -euo pipefail

export KUBECONFIG=/etc/rancher/k3s/k3s.yaml PATH=/usr/local/bin:$PATH
DEADLINE=$((SECONDS + 600))

answers() { curl -fsS -o /dev/null --max-time 5 "$1" 2>/dev/null; }

for url in http://127.0.0.1:30000/readyz http://127.0.0.1:30001/readyz http://127.0.0.1:30002/readyz; do
  until answers "$url"; do
    if [ "$SECONDS" -gt "$DEADLINE" ]; then
      k3s kubectl get pods --all-namespaces || true
      echo "error: $url does not answer after 10 minutes; \`kubectl describe pod\` and \`kubectl logs\` tell why" >&2
      exit 1
    fi
    sleep 2
  done
done
k3s kubectl get pods
k3s kubectl get services
cat <<'END'

UdaConnect is ready:

  http://localhost:30000/   the web app
  http://localhost:30001/   the REST API and its documentation
  localhost:30002           gRPC

kubectl in the machine: vagrant ssh -c "kubectl get pods". From here, put its configuration aside once:

  vagrant ssh -c "cat /etc/rancher/k3s/k3s.yaml" > k3s.yaml
  kubectl --kubeconfig k3s.yaml get pods
END

"""What Kubernetes itself would say: schemas of three versions, and the Pod Security Standard `restricted`."""

import kubernetes_validate
import pytest
import yaml
from conftest import CASES, CHART, PRODUCTION, helm, template

VERSIONS = ["1.35", "1.36", "1.37"]
# The Prometheus operator's, of which no schema is at hand; their shape is tested in test_monitoring.py.
FOREIGN = ("monitoring.coreos.com/v1",)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_is_valid(version, name):
    sets, files = CASES[name]
    done = template(sets, files, version=f"{version}.0")
    assert done.returncode == 0, done.stderr
    assert len(done.documents) > 10
    for document in done.documents:
        if document["apiVersion"] not in FOREIGN:
            kubernetes_validate.validate(document, version, strict=True)


def test_the_validator_would_notice():
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"port": []}}, VERSIONS[0], strict=True)


@pytest.mark.parametrize("files", [[], PRODUCTION], ids=["default", "production"])
def test_lint_has_nothing_to_say(files):
    done = helm("lint", "--strict", CHART, *[a for f in files for a in ("--values", f)])
    assert done.returncode == 0 and "[WARNING]" not in done.stdout, done.stdout + done.stderr


def test_names_are_unique(case):
    names = [(d["kind"], d["metadata"]["name"]) for d in case.documents]
    assert len(names) == len(set(names))


def test_every_object_carries_the_release(case):
    for document in case.documents:
        labels = document["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "udaconnect", document["metadata"]["name"]
        assert labels["app.kubernetes.io/managed-by"] == "Helm"


def test_pods_meet_the_restricted_standard(case):
    for where, _, pod in case.pods():
        context = pod["securityContext"]
        assert context["runAsNonRoot"] is True, where
        assert context["runAsUser"] > 0 and context["runAsGroup"] > 0 and context["fsGroup"] > 0, where
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, where
        assert not any(pod.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")), where
        for volume in pod.get("volumes", []):
            assert set(volume) - {"name"} <= {"configMap", "emptyDir", "secret", "persistentVolumeClaim"}, where
    for where, container, _ in case.containers():
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False, where
        assert context["capabilities"] == {"drop": ["ALL"]}, where
        assert context["readOnlyRootFilesystem"] is True, where
        assert "privileged" not in context and "runAsUser" not in context, where
        assert not any("hostPort" in port for port in container.get("ports", [])), where


def test_pods_know_nothing_of_the_cluster(case):
    for where, _, pod in case.pods():
        assert pod["automountServiceAccountToken"] is False, where
        assert pod["enableServiceLinks"] is False, where
    assert not any(d["kind"] in ("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding") for d in case.documents)


def test_resources_are_bounded_and_images_pinned(case):
    for where, container, _ in case.containers():
        assert container["resources"]["requests"]["cpu"] and container["resources"]["requests"]["memory"], where
        assert container["resources"]["limits"]["memory"], where
        image = container["image"]
        tag = image.rsplit(":", 1)[1]
        assert "/" not in tag and tag != "latest", where


def test_ports_match_probes_and_services(case):
    pods = {where: (labels, pod) for where, labels, pod in case.pods()}
    for where, container, _ in case.containers():
        named = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            for way in ("httpGet", "tcpSocket"):
                if way in container.get(probe, {}):
                    assert container[probe][way]["port"] in named, f"{where}: {probe}"
        if named:
            assert all(probe in container for probe in ("startupProbe", "livenessProbe", "readinessProbe")), where
        listen = [e["value"] for e in container.get("env", []) if e["name"] == "LISTEN_ADDR" and container["args"] != ["healthcheck"]]
        for address in listen:
            assert address == f"0.0.0.0:{next(iter(named.values()))}", where
    for name, service in case.kind("Service").items():
        selector = service["spec"]["selector"]
        found = [pod for labels, pod in pods.values() if selector.items() <= labels.items()]
        assert len(found) == 1, f"{name} selects {len(found)} kinds of pods"
        ports = {port["name"] for c in found[0]["containers"] for port in c["ports"]}
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in ports, name
    for ingress in case.kind("Ingress").values():
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                to = path["backend"]["service"]
                service = case.one("Service", to["name"])
                assert to["port"]["name"] in {port["name"] for port in service["spec"]["ports"]}


def test_what_pods_refer_to_exists(case):
    maps, secrets = case.kind("ConfigMap"), case.kind("Secret")
    # Brought by the operator in the cases with servers of their own.
    external = {"udaconnect-database", "udaconnect-kafka", "mine", "db-ca", "broker-ca", "broker-user"}
    for where, container, pod in case.containers():
        for variable in container.get("env", []):
            reference = variable.get("valueFrom", {}).get("configMapKeyRef")
            if reference:
                assert reference["key"] in maps[reference["name"]]["data"], where
        volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
        claimed = {c["metadata"]["name"] for d in case.documents if d["kind"] == "StatefulSet" for c in d["spec"]["volumeClaimTemplates"]}
        for mount in container.get("volumeMounts", []):
            assert mount["name"] in set(volumes) | claimed, where
        for volume in volumes.values():
            if "configMap" in volume:
                assert volume["configMap"]["name"] in maps, where
            if "secret" in volume:
                name = volume["secret"]["secretName"]
                if name in secrets:
                    assert {item["key"] for item in volume["secret"]["items"]} <= set(secrets[name]["data"]), where
                else:
                    assert name in external, where
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in case.kind("PersistentVolumeClaim"), where


def test_no_password_is_in_the_chart():
    texts = [p.read_text() for p in CHART.rglob("*") if p.is_file()]
    for document in yaml.safe_load_all("\n---\n".join(p.read_text() for p in CHART.glob("values*.yaml"))):
        assert not document.get("database", {}).get("password")
    assert not any("BEGIN PRIVATE KEY" in text or "BEGIN RSA" in text for text in texts)

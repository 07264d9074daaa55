"""The chart, rendered by Helm itself, for the tests beside this file."""

import os
import pathlib
import subprocess

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "udaconnect"
HELM = os.environ.get("HELM", "helm")
# How long anything may take before a test gives up on it, in seconds: long, since machines are shared.
DEADLINE = 120

# What is switched on beyond the defaults, so that every template is rendered.
EVERYTHING = {
    "seed.enabled": "true",
    "tracing.endpoint": "http://otel-collector.monitoring:4317",
    "tracing.ratio": "0.1",
    "postgres.backup.enabled": "true",
    "ingress.enabled": "true",
    "ingress.host": "event.example.org",
    "ingress.apiHost": "api.example.org",
    "ingress.grpcHost": "grpc.example.org",
    "ingress.tlsSecret": "tls",
    "app.mapTileUrl": "https://tile.example.org/{z}/{x}/{y}.png",
    "app.mapAttribution": "map makers",
    "app.timeZone": "America/Denver",
    "api.env.REQUEST_TIMEOUT": "10",
    "monitoring.serviceMonitor.enabled": "true",
    "monitoring.rules.enabled": "true",
    "monitoring.dashboard.enabled": "true",
    **{f"{role}.autoscaling.enabled": "true" for role in ("api", "app", "grpc", "consumer")},
    **{f"{role}.podDisruptionBudget.enabled": "true" for role in ("api", "app", "grpc", "consumer")},
}
EXTERNAL = {
    "postgres.enabled": "false",
    "database.host": "db.example.org",
    "database.port": "6432",
    "database.existingSecret": "mine",
    "kafka.enabled": "false",
    "kafka.bootstrap": r"a.example.org:9092\,b.example.org:9094",
}
# Behind TLS and passwords, certified by an authority of the operator's own.
ENCRYPTED = EXTERNAL | {
    "database.sslMode": "verify-ca",
    "database.caSecret": "db-ca",
    "database.caKey": "root.pem",
    "kafka.securityProtocol": "SASL_SSL",
    "kafka.caSecret": "broker-ca",
    "kafka.sasl.username": "udaconnect",
    "kafka.sasl.existingSecret": "broker-user",
}
REPLICA = ENCRYPTED | {"database.replica.host": "db-ro.example.org", "database.replica.port": "6433", "database.replica.maxLag": "5"}
NO_KAFKA = {"kafka.enabled": "false"}
PRODUCTION = [CHART / "values-production.yaml"]

# name → (values by name, files of values)
CASES = {
    "default": ({}, []),
    "production": ({}, PRODUCTION),
    "external servers": (EXTERNAL, []),
    "encrypted": (ENCRYPTED, []),
    "replica": (REPLICA, []),
    "without Kafka": (NO_KAFKA, []),
    "everything": (EVERYTHING, []),
}


def helm(*arguments):
    return subprocess.run([HELM, *map(str, arguments)], capture_output=True, text=True)


def template(sets=None, files=(), release="udaconnect", namespace="default", version="1.35.0"):
    """Renders; the answer is Helm's, with the documents in `documents` when it went well."""
    arguments = ["template", release, CHART, "--namespace", namespace, "--kube-version", version]
    for file in files:
        arguments += ["--values", file]
    for name, value in (sets or {}).items():
        arguments += ["--set", f"{name}={value}"]
    done = helm(*arguments)
    done.documents = [d for d in yaml.safe_load_all(done.stdout) if d] if done.returncode == 0 else []
    return done


class Rendered:
    def __init__(self, documents):
        self.documents = documents

    def kind(self, kind):
        return {d["metadata"]["name"]: d for d in self.documents if d["kind"] == kind}

    def one(self, kind, name):
        return self.kind(kind)[name]

    def names(self, kind):
        return sorted(self.kind(kind))

    def pods(self):
        """Every pod that would run: (kind/name, labels, spec)."""
        for d in self.documents:
            where = f"{d['kind']}/{d['metadata']['name']}"
            if d["kind"] in ("Deployment", "StatefulSet", "Job"):
                yield where, d["spec"]["template"]["metadata"]["labels"], d["spec"]["template"]["spec"]
            elif d["kind"] == "CronJob":
                pod = d["spec"]["jobTemplate"]["spec"]["template"]
                yield where, pod["metadata"]["labels"], pod["spec"]
            elif d["kind"] == "Pod":
                yield where, d["metadata"]["labels"], d["spec"]

    def containers(self):
        """Every container: (kind/name/container, container, spec of its pod)."""
        for where, _, pod in self.pods():
            for container in pod.get("initContainers", []) + pod["containers"]:
                yield f"{where}/{container['name']}", container, pod


def render(sets=None, files=(), **more):
    done = template(sets, files, **more)
    assert done.returncode == 0, done.stderr
    return Rendered(done.documents)


def refused(sets, files=()):
    done = template(sets, files)
    assert done.returncode != 0, "Helm took it"
    return done.stderr


@pytest.fixture(params=CASES, scope="session")
def case(request):
    """Each of the ways in which the chart is used."""
    sets, files = CASES[request.param]
    return render(sets, files)


@pytest.fixture(scope="session")
def default():
    return render()


@pytest.fixture(scope="session")
def everything():
    return render(EVERYTHING)


@pytest.fixture(scope="session")
def production():
    return render(files=PRODUCTION)


def pytest_runtest_logreport(report):
    """Tells scripts/test.sh of what could not be tested on this machine."""
    file = os.environ.get("UDACONNECT_TEST_SKIPPED")
    if file and report.skipped:
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else "skipped"
        with open(file, "a") as lines:
            lines.write(f"{report.nodeid}\t{why.removeprefix('Skipped: ')}\n")

"""The real program takes what the chart gives it: every container's arguments and variables, and nothing unknown to it."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest
from conftest import CASES, DEADLINE, ROOT, render

PROGRAM = os.environ.get("UDACONNECT") or str(ROOT / "target" / "debug" / "udaconnect")
MOUNT = "/etc/udaconnect/"
CERTIFICATE = ROOT / "tests" / "data" / "authority.pem"


def ours():
    """Every container of our image in every way the chart is used, each once."""
    seen = {}
    for name, (sets, files) in CASES.items():
        rendered = render(sets, files)
        for where, container, pod in rendered.containers():
            if "/udaconnect:" in container["image"]:
                seen[f"{name}: {where}"] = (rendered, container, pod)
    return seen


CONTAINERS = ours()


def environment(rendered, container, pod, tmp_path):
    """The variables as the container would get them, with the files they name where this test can make them."""
    resolved = {}
    for variable in container["env"]:
        if "value" in variable:
            resolved[variable["name"]] = variable["value"]
        else:
            reference = variable["valueFrom"]["configMapKeyRef"]
            resolved[variable["name"]] = rendered.one("ConfigMap", reference["name"])["data"][reference["key"]]
    volumes = {v["name"]: v for v in pod.get("volumes", [])}
    mounted = {
        f"{mount['mountPath']}/{item['path']}"
        for mount in container.get("volumeMounts", [])
        for item in volumes[mount["name"]].get("secret", {}).get("items", [])
    }
    named = set()
    for name, value in resolved.items():
        for file in re.findall(re.escape(MOUNT) + r"[^&]+", value):
            assert file in mounted, f"{name}: {file} is not mounted"
            named.add(file)
            here = tmp_path / file.removeprefix(MOUNT).replace("/", "-")
            here.write_text(CERTIFICATE.read_text() if file.endswith(".crt") else "secret\n")
            value = value.replace(file, str(here))
        resolved[name] = value
    assert named == mounted, f"nothing asks for {mounted - named}"
    return resolved


def test_there_are_such_containers():
    roles = {container["args"][0] for _, container, _ in CONTAINERS.values()}
    assert roles == {"serve-api", "serve-app", "serve-grpc", "consume", "migrate", "maintain", "seed", "healthcheck"}


@pytest.mark.parametrize("where", CONTAINERS)
def test_the_program_accepts_its_configuration(where, tmp_path):
    rendered, container, pod = CONTAINERS[where]
    assert "command" not in container, "the image's entry point is the program"
    variables = environment(rendered, container, pod, tmp_path)
    done = subprocess.run([PROGRAM, *container["args"], "--check-config"], env=variables, capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 0, done.stderr
    taken = dict(re.findall(r"^([A-Z_]+)=.* # (environment|command line|default)$", done.stdout, re.M))
    unknown = {name for name in variables if taken.get(name) not in ("environment", "command line")}
    assert not unknown, f"{container['args'][0]} knows nothing of {unknown}"


def test_the_program_would_notice(tmp_path):
    rendered, container, pod = CONTAINERS["default: Deployment/udaconnect-api/api"]
    variables = environment(rendered, container, pod, tmp_path)
    for wrong in ({"DATABASE_POOL_SIZE": "many"}, {"LISTEN_ADDR": "30001:"}, {"DATABASE_URL": "mysql://x"}, {"LOG_FORMAT": "xml"}):
        done = subprocess.run([PROGRAM, "serve-api", "--check-config"], env={**variables, **wrong}, capture_output=True, text=True, timeout=DEADLINE)
        assert done.returncode == 2, wrong


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def status(port, path):
    """The status of GET, or None while nobody answers."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        return opener.open(f"http://127.0.0.1:{port}{path}", timeout=DEADLINE).status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def eventually(what, ask, log=lambda: ""):
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        answer = ask()
        if answer:
            return answer
        time.sleep(0.05)  # polls
    raise AssertionError(f"waited in vain for {what}\n{log()}")


@pytest.mark.parametrize("role", ["api", "app", "grpc", "consumer"])
def test_a_role_lives_without_its_servers_and_ends_when_asked(role, default, tmp_path):
    """The probes of the chart, on the real program, with servers that are not there."""
    where = f"Deployment/udaconnect-{role}/{role}"
    container, pod = next((c, p) for w, c, p in default.containers() if w == where)
    variables = environment(default, container, pod, tmp_path)
    variables["LISTEN_ADDR"] = "127.0.0.1:0"
    variables["SHUTDOWN_PAUSE"] = "0"
    if "DATABASE_URL" in variables:
        variables["DATABASE_URL"] = "postgres://udaconnect@127.0.0.1:1/udaconnect"
        variables["KAFKA_BOOTSTRAP"] = "127.0.0.1:1"
    log = open(tmp_path / "log", "w+")
    program = subprocess.Popen([PROGRAM, *container["args"]], env=variables, stdout=log, stderr=log)
    try:
        paths = {probe: container[probe]["httpGet"]["path"] for probe in ("livenessProbe", "readinessProbe")}
        said = lambda: pathlib.Path(log.name).read_text()  # noqa: E731

        def port_in_log():
            assert program.poll() is None, said()
            return re.search(r'"address":"127\.0\.0\.1:(\d+)"', said())

        port = eventually(role, port_in_log, said)[1]

        def lives():
            assert program.poll() is None, said()
            return status(port, paths["livenessProbe"]) == 200

        eventually(role, lives, said)
        assert status(port, paths["readinessProbe"]) == (200 if role == "app" else 503), said()
        assert status(port, "/metrics") == 200
        program.send_signal(signal.SIGTERM)
        assert program.wait(DEADLINE) == 0, said()
    finally:
        program.kill()
        program.wait()


def test_the_grace_period_is_longer_than_the_drain(default):
    drain = int(re.search(r"DRAIN_SECONDS: u64 = (\d+);", (ROOT / "src/runtime/http.rs").read_text())[1])
    for role in ("api", "app", "grpc", "consumer"):
        pod = default.one("Deployment", f"udaconnect-{role}")["spec"]["template"]["spec"]
        pause = next(int(v["value"]) for v in pod["containers"][0]["env"] if v["name"] == "SHUTDOWN_PAUSE")
        assert pod["terminationGracePeriodSeconds"] > pause + drain
    helpers = (ROOT / "helm/udaconnect/templates/_helpers.tpl").read_text()
    assert f"pauseSeconds) {drain})" in helpers, "the chart's own check"

"""What the chart tells PostgreSQL and Kafka, told to real ones."""

import os
import pathlib
import re
import secrets
import socket
import subprocess
import urllib.parse

import pytest
from conftest import DEADLINE, ROOT, render
from test_program import PROGRAM, eventually, free_port

URL = os.environ.get("UDACONNECT_TEST_DATABASE_URL")
PSQL = os.environ.get("POSTGRES_BIN", "")
needs_postgres = pytest.mark.skipif(not URL, reason="UDACONNECT_TEST_DATABASE_URL names no PostgreSQL")
needs_kafka = pytest.mark.skipif(not (ROOT / ".dev/kafka/libs").is_dir(), reason="Kafka's jars are not here; scripts/kafka.sh install fetches them")


def tools():
    return {**os.environ, "PATH": f"{PSQL}:{os.environ['PATH']}" if PSQL else os.environ["PATH"]}


def psql(sql, url=URL):
    done = subprocess.run(["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", url, "-c", sql], env=tools(), capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def replaced(url, **parts):
    u = urllib.parse.urlsplit(url)
    user, password = parts.get("user", u.username), parts.get("password", u.password)
    return f"postgres://{user}:{password}@{u.hostname}:{u.port}/{parts.get('name', u.path[1:])}"


@pytest.fixture
def names():
    """A role and databases of this test; gone at its end."""
    suffix = secrets.token_hex(4)
    role, database, restored = f"chart_{suffix}", f"chart_{suffix}", f"chart_{suffix}_restored"
    psql(f"CREATE DATABASE {database}")
    yield role, database, restored
    psql(f"DROP DATABASE IF EXISTS {restored} WITH (FORCE)")
    psql(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
    psql(f"DROP ROLE IF EXISTS {role}")


@needs_postgres
def test_init_migrate_seed_back_up_and_restore(names, everything, tmp_path):
    role, database, restored = names
    server = urllib.parse.urlsplit(URL)
    (tmp_path / "password").write_text("it's a \"secret\"")
    script = everything.one("ConfigMap", "postgres-init")["data"]["20-udaconnect.sh"].replace("/etc/udaconnect/database", str(tmp_path))
    variables = {
        "POSTGRES_USER": server.username,
        "POSTGRES_DB": database,
        "UDACONNECT_ROLE": role,
        "PGHOST": server.hostname,
        "PGPORT": str(server.port),
        "PGPASSWORD": server.password,
    }
    # As the image does it: sourced by bash, with errors ending it.
    done = subprocess.run(["bash", "-e", "-c", script], env={**tools(), **variables}, capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 0, done.stderr
    assert psql(f"SELECT rolsuper OR rolcreatedb OR rolcreaterole FROM pg_roles WHERE rolname = '{role}'") == "f"

    # The program's role is no superuser and gets by without.
    plain = replaced(URL, user=role, password="ignored", name=database).replace(":ignored", "")
    program = {"DATABASE_URL": plain, "DATABASE_PASSWORD_FILE": str(tmp_path / "password"), "RUST_LOG": "warn"}
    for arguments in (["migrate"], ["seed", "--if-empty", "--persons", "5", "--days", "1"], ["migrate", "--check"]):
        done = subprocess.run([PROGRAM, *arguments], env=program, capture_output=True, text=True, timeout=DEADLINE)
        assert done.returncode == 0, done.stderr

    # The nightly backup, and what docs/operations.md says of restoring it.
    container = everything.one("CronJob", "postgres-backup")["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    backups = tmp_path / "backup"
    backups.mkdir()
    old = backups / "udaconnect-2020-01-01T000000Z.dump"
    old.write_text("old")
    os.utime(old, (0, 0))
    script = container["args"][0].replace("/etc/udaconnect/database", str(tmp_path)).replace("/backup", str(backups))
    variables = {"PGHOST": server.hostname, "PGPORT": str(server.port), "PGUSER": role, "PGDATABASE": database}
    assert {"PGHOST", "PGUSER", "PGDATABASE"} == {v["name"] for v in container["env"]}
    done = subprocess.run([*container["command"], script], env={**tools(), **variables}, capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 0, done.stderr
    (dump,) = backups.iterdir()
    psql(f"CREATE DATABASE {restored}")
    done = subprocess.run(
        ["pg_restore", "--no-owner", "--exit-on-error", "-d", replaced(URL, name=restored), str(dump)], env=tools(), capture_output=True, text=True, timeout=DEADLINE
    )
    assert done.returncode == 0, done.stderr
    for table in ("person", "location"):
        count = f"SELECT count(*) FROM {table}"
        assert psql(count, replaced(URL, name=restored)) == psql(count, replaced(URL, name=database)) != "0"


@needs_postgres
def test_postgres_knows_its_settings(default):
    container = default.one("StatefulSet", "postgres")["spec"]["template"]["spec"]["containers"][0]
    assert container["args"][::2] == ["-c"] * (len(container["args"]) // 2)
    for setting in container["args"][1::2]:
        name, value = setting.split("=", 1)
        known = psql(f"SELECT vartype, coalesce(enumvals, '{{}}') FROM pg_settings WHERE name = '{name}'")
        assert known, f"{name} is no setting"
        kind, allowed = known.split("|")
        if kind == "bool":
            assert value in ("on", "off"), setting
        elif kind == "enum":
            assert value in re.split("[{},]", allowed), setting
        else:
            assert re.fullmatch(r"[0-9.]+(kB|MB|GB|ms|s|min)?", value), setting


def kafka(*arguments, **more):
    return subprocess.Popen([ROOT / "scripts/kafka.sh", "tool", "/none", *arguments], env={**os.environ, "KAFKA_BOOTSTRAP": ""}, **more)


@needs_kafka
def test_kafka_starts_with_its_settings(default, tmp_path):
    """The very version that the chart runs, with the chart's file; only the ports and the directory are this test's."""
    pom = (ROOT / "scripts/kafka/pom.xml").read_text()
    image = default.one("StatefulSet", "kafka")["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image.endswith(":" + re.search("<kafka.version>(.*)</kafka.version>", pom)[1])

    config = default.one("ConfigMap", "kafka-config")["data"]
    broker, controller = free_port(), free_port()
    properties = config["server.properties"]
    for there, here in (
        ("PLAINTEXT://:9092", f"PLAINTEXT://127.0.0.1:{broker}"),
        ("PLAINTEXT://kafka-0.kafka.default.svc:9092", f"PLAINTEXT://127.0.0.1:{broker}"),
        ("127.0.0.1:9093", f"127.0.0.1:{controller}"),
        ("/var/lib/kafka/data/broker", str(tmp_path / "broker")),
    ):
        assert there in properties
        properties = properties.replace(there, here)
    (tmp_path / "server.properties").write_text(properties)
    (tmp_path / "log4j2.properties").write_text(config["log4j2.properties"])
    log = open(tmp_path / "log", "w+")
    said = lambda: pathlib.Path(log.name).read_text()[-3000:]  # noqa: E731

    uuid = subprocess.run([ROOT / "scripts/kafka.sh", "tool", "/none", "kafka.tools.StorageTool", "random-uuid"], capture_output=True, text=True, timeout=DEADLINE).stdout.split()[-1]
    formatted = kafka("kafka.tools.StorageTool", "format", "-t", uuid, "-c", tmp_path / "server.properties", stdout=log, stderr=log)
    assert formatted.wait(DEADLINE) == 0, said()
    assert (tmp_path / "broker/meta.properties").is_file()

    process = kafka("-Xmx256m", f"-Dlog4j2.configurationFile={tmp_path}/log4j2.properties", "kafka.Kafka", tmp_path / "server.properties", stdout=log, stderr=log)
    try:
        def answers():
            assert process.poll() is None, said()
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", broker)) == 0

        eventually("Kafka", answers)
        eventually("Kafka's own word", lambda: "Kafka Server started" in pathlib.Path(log.name).read_text())
        assert "ERROR" not in said(), said()
        process.terminate()
        # 143: ended by the signal, after a controlled shutdown.
        assert process.wait(DEADLINE) in (0, 143), said()
    finally:
        process.kill()
        process.wait()

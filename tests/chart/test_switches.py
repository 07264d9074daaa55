"""Each switch of the chart does what its description says."""

import base64

import pytest
from conftest import EXTERNAL, NO_KAFKA, REPLICA, refused, render

ROLES = ("api", "app", "grpc", "consumer")


def variables(container):
    return {v["name"]: v.get("value", v.get("valueFrom")) for v in container.get("env", [])}


def container(rendered, role):
    return rendered.one("Deployment", f"udaconnect-{role}")["spec"]["template"]["spec"]["containers"][0]


def test_the_names_of_the_brief(default):
    assert default.names("Deployment") == ["udaconnect-api", "udaconnect-app", "udaconnect-consumer", "udaconnect-grpc"]
    assert default.names("StatefulSet") == ["kafka", "postgres"]
    ports = {n: s["spec"]["ports"][0].get("nodePort") for n, s in default.kind("Service").items() if s["spec"].get("type") == "NodePort"}
    assert ports == {"udaconnect-app": 30000, "udaconnect-api": 30001, "udaconnect-grpc": 30002}


def test_external_servers_take_the_place_of_our_own():
    rendered = render(EXTERNAL)
    assert rendered.kind("StatefulSet") == {} and rendered.kind("Secret") == {}
    config = rendered.one("ConfigMap", "udaconnect")["data"]
    assert config["DATABASE_URL"] == "postgres://udaconnect@db.example.org:6432/udaconnect"
    assert config["KAFKA_BOOTSTRAP"] == "a.example.org:9092,b.example.org:9094"
    volumes = rendered.one("Deployment", "udaconnect-api")["spec"]["template"]["spec"]["volumes"]
    assert volumes[0]["secret"]["secretName"] == "mine"


def test_searches_may_go_to_a_replica(default):
    rendered = render(REPLICA)
    config = rendered.one("ConfigMap", "udaconnect")["data"]
    assert config["DATABASE_REPLICA_URL"] == config["DATABASE_URL"].replace("db.example.org:6432", "db-ro.example.org:6433")
    assert "sslmode=verify-ca" in config["DATABASE_REPLICA_URL"] and config["DATABASE_REPLICA_MAX_LAG"] == "5"
    for role in ("api", "grpc"):
        assert {"DATABASE_REPLICA_URL", "DATABASE_REPLICA_MAX_LAG"} <= set(variables(container(rendered, role)))
        egress = rendered.one("NetworkPolicy", f"udaconnect-{role}")["spec"]["egress"]
        assert {6432, 6433} <= {p["port"] for rule in egress for p in rule["ports"]}
    for name in ("DATABASE_REPLICA_URL", "DATABASE_REPLICA_MAX_LAG"):
        assert name not in variables(container(rendered, "consumer")), "it searches nothing"
        assert name not in default.one("ConfigMap", "udaconnect")["data"]


def test_without_kafka_locations_go_straight_to_the_database():
    rendered = render(NO_KAFKA)
    assert rendered.names("Deployment") == ["udaconnect-api", "udaconnect-app", "udaconnect-grpc"]
    assert rendered.names("StatefulSet") == ["postgres"]
    assert not any(name.startswith("KAFKA") for name in rendered.one("ConfigMap", "udaconnect")["data"])
    assert not any(name.startswith("KAFKA") for name in variables(container(rendered, "api")))


def test_a_role_can_be_left_out():
    rendered = render({"grpc.enabled": "false", "app.enabled": "false"})
    assert rendered.names("Deployment") == ["udaconnect-api", "udaconnect-consumer"]
    assert "udaconnect-grpc" not in rendered.kind("Service") and "udaconnect-grpc" not in rendered.kind("NetworkPolicy")


def test_roles_get_what_they_need_and_no_more(default):
    assert not any(name.startswith(("DATABASE", "KAFKA")) for name in variables(container(default, "app")))
    assert "volumes" not in default.one("Deployment", "udaconnect-app")["spec"]["template"]["spec"]
    for role in ("api", "grpc", "consumer"):
        assert {"DATABASE_URL", "DATABASE_PASSWORD_FILE", "KAFKA_BOOTSTRAP"} <= set(variables(container(default, role)))


def test_passwords_are_made_and_kept(default):
    secret = default.one("Secret", "udaconnect-database")
    assert secret["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    passwords = [base64.b64decode(v).decode() for v in secret["data"].values()]
    assert len(passwords) == 2 and len(set(passwords)) == 2 and all(len(p) == 32 for p in passwords)
    again = render().one("Secret", "udaconnect-database")["data"]
    assert again["password"] != secret["data"]["password"], "no cluster to ask, so another one"


def test_an_own_secret_with_another_key():
    rendered = render({"database.existingSecret": "mine", "database.passwordKey": "pg-pass"})
    assert "udaconnect-database" not in rendered.kind("Secret")
    for kind, name in (("Deployment", "udaconnect-api"), ("StatefulSet", "postgres")):
        volumes = rendered.one(kind, name)["spec"]["template"]["spec"]["volumes"]
        secret = next(v["secret"] for v in volumes if "secret" in v)
        assert secret["secretName"] == "mine"
        assert {"key": "pg-pass", "path": "password"} in secret["items"]


def test_autoscaling_owns_the_number_of_pods(everything, default):
    for role in ROLES:
        name = f"udaconnect-{role}"
        assert "replicas" not in everything.one("Deployment", name)["spec"]
        assert everything.one("HorizontalPodAutoscaler", name)["spec"]["scaleTargetRef"]["name"] == name
        assert default.one("Deployment", name)["spec"]["replicas"] == 1
    assert default.kind("HorizontalPodAutoscaler") == {}


def test_disruption_budgets(everything, default):
    assert everything.names("PodDisruptionBudget") == [f"udaconnect-{role}" for role in sorted(ROLES)]
    for name, budget in everything.kind("PodDisruptionBudget").items():
        labels = everything.one("Deployment", name)["spec"]["template"]["metadata"]["labels"]
        assert budget["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert default.kind("PodDisruptionBudget") == {}


def test_a_change_of_the_configuration_makes_new_pods():
    def annotation(sets):
        template = render(sets).one("Deployment", "udaconnect-api")["spec"]["template"]
        return template["metadata"]["annotations"]["checksum/config"]

    assert annotation({}) == annotation({"api.replicas": "3"})
    assert annotation({}) != annotation({"log.filter": "debug"})


def test_another_version_makes_another_migration_and_leaves_the_servers_alone():
    def jobs(sets):
        return render(sets).names("Job")

    assert jobs({}) == jobs({"api.replicas": "3"})
    assert jobs({}) != jobs({"image.tag": "9.9.9"})
    assert jobs({}) != jobs({"database.name": "other"})
    for server in ("postgres", "kafka"):
        before, after = (render(s).one("StatefulSet", server)["spec"] for s in ({}, {"image.tag": "9.9.9"}))
        assert before == after


def test_selectors_never_change(default):
    # A Deployment's selector is fixed: a change here would make every upgrade fail.
    for role in ROLES:
        assert default.one("Deployment", f"udaconnect-{role}")["spec"]["selector"]["matchLabels"] == {
            "app.kubernetes.io/name": "udaconnect",
            "app.kubernetes.io/instance": "udaconnect",
            "app.kubernetes.io/component": role,
        }


def test_a_digest_wins_over_the_tag():
    digest = "sha256:" + "0" * 64
    rendered = render({"image.repository": "r.example.org/u", "image.tag": "1.0.0", "image.digest": digest})
    assert container(rendered, "api")["image"] == f"r.example.org/u@{digest}"


def test_ingress_puts_app_and_api_on_one_host(everything):
    assert variables(container(everything, "app"))["API_URL"] == "/"
    assert variables(container(everything, "api"))["CORS_ALLOWED_ORIGINS"] == "https://event.example.org"
    rules = everything.one("Ingress", "udaconnect")["spec"]["rules"]
    paths = {(r["host"], p["path"]): p["backend"]["service"]["name"] for r in rules for p in r["http"]["paths"]}
    assert paths == {
        ("event.example.org", "/api"): "udaconnect-api",
        ("event.example.org", "/"): "udaconnect-app",
        ("api.example.org", "/"): "udaconnect-api",
    }
    assert everything.one("Ingress", "udaconnect-grpc")["spec"]["rules"][0]["host"] == "grpc.example.org"


def test_without_ingress_pages_look_for_the_api_on_their_own_host(default):
    assert "API_URL" not in variables(container(default, "app"))
    assert variables(container(default, "api"))["CORS_ALLOWED_ORIGINS"] == "*"
    assert default.kind("Ingress") == {}


def test_further_options_win(everything):
    assert variables(container(everything, "api"))["REQUEST_TIMEOUT"] == "10"
    rendered = render({"api.env.CORS_ALLOWED_ORIGINS": "https://x.example.org"})
    names = [v["name"] for v in container(rendered, "api")["env"]]
    assert len(names) == len(set(names))
    assert variables(container(rendered, "api"))["CORS_ALLOWED_ORIGINS"] == "https://x.example.org"


def test_another_release_has_names_of_its_own():
    rendered = render(release="blue")
    assert "blue-udaconnect-api" in rendered.kind("Deployment")
    rendered = render({"fullnameOverride": "event"}, release="blue")
    assert "event-api" in rendered.kind("Deployment")
    assert rendered.one("ConfigMap", "event")["data"]["DATABASE_URL"].startswith("postgres://udaconnect@postgres:")


def test_kafka_is_reached_by_the_name_it_advertises():
    rendered = render(namespace="events", sets={"kafka.name": "broker"})
    properties = dict(
        line.split("=", 1) for line in rendered.one("ConfigMap", "broker-config")["data"]["server.properties"].splitlines() if "=" in line
    )
    assert properties["advertised.listeners"] == "PLAINTEXT://broker-0.broker.events.svc:9092"
    assert rendered.one("ConfigMap", "udaconnect")["data"]["KAFKA_BOOTSTRAP"] == "broker:9092"
    assert properties["log.retention.bytes"] == "536870912"


def test_pods_end_after_load_balancers_have_noticed_and_requests_are_done(default):
    for role in ROLES:
        assert variables(container(default, role))["SHUTDOWN_PAUSE"] == "5"
    assert default.one("Deployment", "udaconnect-api")["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def allowed(policy, labels, port):
    """Whether a pod with these labels may come in at this port."""
    for rule in policy["spec"]["ingress"]:
        ports = [p["port"] for p in rule["ports"]]
        if port in ports and ("from" not in rule or any(f.get("podSelector", {}).get("matchLabels", {"": ""}).items() <= labels.items() for f in rule["from"])):
            return True
    return False


def test_only_who_must_talk_may(everything):
    policies = everything.kind("NetworkPolicy")
    labels = {where: labels for where, labels, _ in everything.pods()}
    who = {name.split("/")[1]: l for name, l in labels.items() if not name.startswith("Pod/")}
    for component, l in who.items():
        role = l["app.kubernetes.io/component"]
        assert allowed(policies["postgres"], l, 5432) == (role in ("api", "grpc", "consumer", "migrate", "maintain", "seed", "backup")), component
        assert allowed(policies["kafka"], l, 9092) == (role in ("api", "grpc", "consumer")), component
        assert not allowed(policies["udaconnect-consumer"], l, 30003), component
    # Every pod of the release falls under a policy, but those of `helm test`.
    for component, l in who.items():
        assert any(p["spec"]["podSelector"]["matchLabels"].items() <= l.items() for p in policies.values()), component
    assert render().one("NetworkPolicy", "udaconnect-app")["spec"]["egress"] == []
    assert render({"networkPolicy.enabled": "false"}).kind("NetworkPolicy") == {}


def test_policies_let_roles_reach_external_servers():
    egress = render(EXTERNAL).one("NetworkPolicy", "udaconnect-api")["spec"]["egress"]
    assert {p["port"] for rule in egress for p in rule["ports"]} == {53, 6432, 9092, 9094}
    peers = {**EXTERNAL, "networkPolicy.externalServers[0].ipBlock.cidr": "10.1.0.0/16"}
    egress = render(peers).one("NetworkPolicy", "udaconnect-api")["spec"]["egress"]
    assert all(rule["to"] for rule in egress)


def test_traces_may_leave_when_they_are_wanted(everything, default):
    for role in ROLES:
        assert variables(container(everything, role))["OTEL_EXPORTER_OTLP_ENDPOINT"]
        assert "OTEL_EXPORTER_OTLP_ENDPOINT" not in variables(container(default, role))
        ports = [p["port"] for rule in everything.one("NetworkPolicy", f"udaconnect-{role}")["spec"]["egress"] for p in rule["ports"]]
        assert 4317 in ports and 53 in ports
    egress = everything.one("NetworkPolicy", "udaconnect-migrate")["spec"]["egress"]
    assert 4317 not in [p["port"] for rule in egress for p in rule["ports"]]


def test_backup_waits_for_a_whole_dump(everything, default):
    job = everything.one("CronJob", "postgres-backup")["spec"]
    assert job["concurrencyPolicy"] == "Forbid"
    assert "postgres-backup" in everything.kind("PersistentVolumeClaim")
    assert "postgres-backup" not in default.kind("CronJob")


def test_upkeep_runs_every_hour_one_at_a_time(default, production):
    for rendered in (default, production):
        job = rendered.one("CronJob", "udaconnect-maintain")["spec"]
        assert job["schedule"].endswith(" * * * *") and job["concurrencyPolicy"] == "Forbid"
        egress = rendered.one("NetworkPolicy", "udaconnect-maintain")["spec"]["egress"]
        assert 9092 not in [p["port"] for rule in egress for p in rule["ports"]], "it needs no Kafka"
    other = render({"maintain.schedule": "5 4 * * *", "maintain.monthsAhead": "6"}).one("CronJob", "udaconnect-maintain")["spec"]
    (c,) = other["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert (other["schedule"], c["args"]) == ("5 4 * * *", ["maintain", "--months-ahead", "6"])
    # Kubernetes takes no longer name.
    (long,) = render(release="r" * 53).names("CronJob")
    assert len(long) <= 52 and long.endswith("-maintain")
    without = render({"maintain.enabled": "false"})
    assert without.kind("CronJob") == {} and "udaconnect-maintain" not in without.kind("NetworkPolicy")


def test_connections_fit_the_database(default, production):
    def most(rendered, scaled):
        data = rendered.one("ConfigMap", "udaconnect")["data"]
        sum_of_all = 0
        for role in ("api", "grpc", "consumer"):
            name = f"udaconnect-{role}"
            pods = rendered.one("HorizontalPodAutoscaler", name)["spec"]["maxReplicas"] if scaled else rendered.one("Deployment", name)["spec"]["replicas"] + 1
            # Besides the pools: readiness, the watch over silent connections, and a cancellation.
            searches = 0 if role == "consumer" else int(data["DATABASE_SEARCH_POOL_SIZE"])
            sum_of_all += pods * (int(data["DATABASE_POOL_SIZE"]) + searches + 3)
        return sum_of_all

    arguments = default.one("StatefulSet", "postgres")["spec"]["template"]["spec"]["containers"][0]["args"]
    limit = int(next(a.split("=")[1] for a in arguments if a.startswith("max_connections=")))
    assert most(default, scaled=False) < limit
    assert most(production, scaled=True) == 306, "the comment in values-production.yaml"


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        ({"api.replica": "2"}, "replica"),
        ({"maintain.monthsAhead": "13"}, "monthsAhead"),
        ({"database.sslMode": "require"}, "the chart's own speaks no TLS"),
        ({"kafka.securityProtocol": "SSL"}, "the chart's own speaks PLAINTEXT"),
        (EXTERNAL | {"kafka.caSecret": "x"}, "unless kafka.securityProtocol is SSL"),
        (EXTERNAL | {"kafka.securityProtocol": "SASL_SSL", "kafka.sasl.username": "x"}, "needs kafka.sasl.username, and a Secret"),
        (EXTERNAL | {"database.sslMode": "on"}, "sslMode"),
        ({"database.host": "x"}, "postgres.enabled and database.host"),
        ({"database.replica.host": "x"}, "the chart's own has no replica"),
        (EXTERNAL | {"database.replica.host": "x", "database.replica.maxLag": "0"}, "maxLag"),
        ({"postgres.enabled": "false"}, "database.host must name a server"),
        ({"postgres.enabled": "false", "database.host": "x"}, "database.existingSecret"),
        ({"kafka.bootstrap": "a:1"}, "kafka.enabled and kafka.bootstrap"),
        ({"kafka.enabled": "false", "kafka.bootstrap": "nowhere"}, "bootstrap"),
        ({"ingress.enabled": "true"}, "ingress.host"),
        ({"consumer.replicas": "13"}, "13 consumers cannot share kafka.topic.partitions (12)"),
        ({"api.autoscaling.enabled": "true", "api.autoscaling.maxReplicas": "1"}, "api.autoscaling.maxReplicas (1)"),
        ({"shutdown.graceSeconds": "40"}, "shutdown.graceSeconds (40)"),
        ({"log.format": "xml"}, "format"),
        ({"api.service.nodePort": "80"}, "nodePort"),
        ({"image.tag": "not a tag"}, "tag"),
        ({"api.env.lower": "x"}, "lower"),
    ],
)
def test_what_cannot_work_is_refused(sets, said):
    assert said in refused(sets)

"""Alerts and dashboard ask for numbers that the program has."""

import json
import os
import re
import subprocess

import pytest
import yaml
from conftest import CHART, DEADLINE, ROOT

RULES = CHART / "files" / "rules.yaml"
PROMTOOL = os.environ.get("PROMTOOL")


def metrics():
    """Every name that the program gives to a number."""
    sources = "\n".join(p.read_text() for p in (ROOT / "src").rglob("*.rs"))
    return set(re.findall(r'(?:counter|gauge|histogram)!\(\s*"(udaconnect_[a-z_]+)"', sources))


def asked(expression):
    names = set(re.findall(r"\budaconnect_[a-z_]+", expression))
    return {re.sub("_(bucket|sum|count)$", "", name) for name in names}


def alerts():
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def dashboard():
    return json.loads((CHART / "files/dashboard.json").read_text())


def test_every_number_exists():
    known = metrics()
    assert len(known) > 20
    expressions = [rule["expr"] for rule in alerts()] + [t["expr"] for p in dashboard()["panels"] for t in p.get("targets", [])]
    for expression in expressions:
        unknown = asked(expression) - known
        assert not unknown, f"{unknown} in {expression}"


def test_every_number_is_described():
    guide = (ROOT / "docs/operations.md").read_text()
    missing = {name for name in metrics() if f"`{name}`" not in guide}
    assert not missing, f"docs/operations.md says nothing of {sorted(missing)}"


def test_every_alert_says_what_to_do():
    guide = (ROOT / "docs/operations.md").read_text()
    for rule in alerts():
        assert rule["labels"]["severity"] in ("warning", "critical"), rule["alert"]
        assert rule["annotations"]["summary"] and rule["annotations"]["description"], rule["alert"]
        for section in re.findall(r'See "([^"]+)"', rule["annotations"]["description"]):
            assert re.search(rf"^#+ {re.escape(section)}$", guide, re.M), f"{rule['alert']}: no section {section!r}"
        assert f"`{rule['alert']}`" in guide, rule["alert"]


@pytest.mark.skipif(not PROMTOOL, reason="PROMTOOL names no promtool")
def test_alerts_fire_when_they_should():
    done = subprocess.run([PROMTOOL, "test", "rules", str(ROOT / "tests/chart/rules_test.yaml")], capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_reach_the_cluster_unchanged(everything):
    assert everything.one("PrometheusRule", "udaconnect")["spec"] == yaml.safe_load(RULES.read_text())


def test_the_monitor_finds_every_role(everything):
    spec = everything.one("ServiceMonitor", "udaconnect")["spec"]
    ports = {endpoint["port"] for endpoint in spec["endpoints"]}
    (expression,) = spec["selector"]["matchExpressions"]
    found = []
    for name, service in everything.kind("Service").items():
        labels = service["metadata"]["labels"]
        if spec["selector"]["matchLabels"].items() <= labels.items() and labels[expression["key"]] in expression["values"]:
            found.append(name)
            assert ports & {port["name"] for port in service["spec"]["ports"]}, name
    assert sorted(found) == ["udaconnect-api", "udaconnect-app", "udaconnect-consumer", "udaconnect-grpc"]


def test_nothing_is_monitored_unless_asked_for(default):
    assert not any(d["apiVersion"].startswith("monitoring.coreos.com") for d in default.documents)
    assert "udaconnect-dashboard" not in default.kind("ConfigMap")


def test_the_dashboard_is_whole(everything):
    told = everything.one("ConfigMap", "udaconnect-dashboard")
    assert json.loads(told["data"]["udaconnect.json"]) == dashboard()
    assert told["metadata"]["labels"]["grafana_dashboard"] == "1"
    panels = dashboard()["panels"]
    assert len({p["id"] for p in panels}) == len(panels)
    taken = set()
    for panel in panels:
        g = panel["gridPos"]
        cells = {(x, y) for x in range(g["x"], g["x"] + g["w"]) for y in range(g["y"], g["y"] + g["h"])}
        assert g["x"] + g["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["description"] and panel["fieldConfig"]["defaults"]["unit"], panel["title"]
            assert all(t["datasource"]["uid"] == "${datasource}" for t in panel["targets"])

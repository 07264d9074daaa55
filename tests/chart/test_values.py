"""Every value is described and checked."""

import json
import re

import jsonschema
import yaml
from conftest import CHART

ROLES = ("api", "app", "grpc", "consumer")
# Maps whose keys are the user's own.
OPEN = ("settings", "labels", "annotations", "grpcAnnotations", "podAnnotations", "env", "resources", "nodeSelector", "affinity", "commonLabels")


def leaves(values, path=()):
    for name, value in values.items():
        if isinstance(value, dict) and value and name not in OPEN:
            yield from leaves(value, (*path, name))
        else:
            yield ".".join((*path, name))


def values(name="values.yaml"):
    return yaml.safe_load((CHART / name).read_text())


def schema():
    return json.loads((CHART / "values.schema.json").read_text())


def test_the_readme_names_every_value():
    readme = (CHART / "README.md").read_text()
    named = set(re.findall(r"`([A-Za-z.]+)`", readme))
    for leaf in leaves(values()):
        role, _, rest = leaf.partition(".")
        assert leaf in named or (role in ROLES and f"ROLE.{rest}" in named), f"{leaf} is not in the README"


def test_the_readme_names_nothing_else():
    readme = (CHART / "README.md").read_text()
    table = readme[readme.index("| value |") :]
    known = set(leaves(values()))
    for cell in re.findall(r"^\| ([^|]+) \|", table, re.M)[1:]:
        for name in re.findall(r"`([A-Za-z.]+)`", cell):
            options = {name.replace("ROLE", role) for role in ROLES}
            assert options & known, f"{name} is no value"


def test_the_schema_knows_every_value_and_no_other():
    def compare(given, allowed, path):
        assert allowed.get("additionalProperties") is False, path
        for name, value in given.items():
            assert name in allowed["properties"], f"{path}.{name}"
            inner = allowed["properties"][name]
            if isinstance(value, dict) and "properties" in inner:
                compare(value, inner, f"{path}.{name}")
        # Those of Helm itself and those that the chart leaves empty.
        assert set(allowed["properties"]) - set(given) <= {"global", "requests", "limits"}, path

    compare(values(), schema(), "")
    jsonschema.Draft7Validator.check_schema(schema())


def test_the_versions_agree():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = re.search(r'^version = "(.*)"', (CHART.parents[1] / "Cargo.toml").read_text(), re.M)[1]
    assert chart["appVersion"] == version
    assert f"ARG VERSION={version}\n" in (CHART.parents[1] / "Dockerfile").read_text()

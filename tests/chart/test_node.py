"""The K3s node: what Vagrantfile asks for fits what the chart opens and what is tested."""

import json
import re
import shutil
import subprocess

import pytest
from conftest import DEADLINE, ROOT
from test_manifests import VERSIONS

RUBY = shutil.which("ruby")
pytestmark = pytest.mark.skipif(not RUBY, reason="no ruby")

# Notes what a Vagrantfile says, without Vagrant.
RECORDER = r"""
require "json"
class Notes
  def initialize(log, path) = (@log, @path = log, path)
  def method_missing(name, *arguments, **named, &block)
    @log << [(@path + [name.to_s]).join("."), arguments, named] unless arguments.empty? && named.empty?
    inner = Notes.new(@log, @path + [name.to_s])
    block&.call(inner)
    inner
  end
  def respond_to_missing?(*) = true
end
LOG = []
module Vagrant
  def self.configure(version) = yield(Notes.new(LOG, ["config"]))
end
load ARGV.fetch(0)
puts JSON.generate(LOG)
"""


@pytest.fixture(scope="module")
def said():
    done = subprocess.run([RUBY, "-e", RECORDER, ROOT / "Vagrantfile"], capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_syntax():
    done = subprocess.run([RUBY, "-wc", ROOT / "Vagrantfile"], capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 0 and done.stderr == "", done.stderr


def test_ports_are_forwarded_to_this_machine_only(said, default):
    ports = [named for path, _, named in said if path == "config.vm.network"]
    assert all(p["guest"] == p["host"] and p["host_ip"] == "127.0.0.1" for p in ports)
    forwarded = {p["host"] for p in ports}
    assert forwarded == set(range(30000, 30101)) | {6443}
    opened = {p["nodePort"] for s in default.kind("Service").values() for p in s["spec"]["ports"] if "nodePort" in p}
    assert opened <= forwarded


def test_versions_are_pinned_and_tested(said):
    told = {path: arguments for path, arguments, _ in said if arguments}
    assert re.fullmatch(r"\d+\.\d+\.\d+", told["config.vm.box_version="][0])
    (variables,) = [named["env"] for path, _, named in said if path == "config.vm.provision" and "env" in named]
    assert any(variables["K3S_VERSION"].startswith(f"v{version}.") for version in VERSIONS)
    script = (ROOT / "scripts/chart-test.sh").read_text()
    assert f"HELM_VERSION={variables['HELM_VERSION']}\n" in script, "the Helm that installs is the one that is tested"


def test_scripts_exist(said):
    provisions = {arguments[0]: named for path, arguments, named in said if path == "config.vm.provision"}
    assert list(provisions) == ["install", "ready"] and provisions["ready"]["run"] == "always"
    for named in provisions.values():
        assert (ROOT / named["path"]).is_file()

"""The files of docs/guide/deployment.md and deployment-nodes.md fit the product that there is."""

from __future__ import annotations

import configparser
import dataclasses
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from valkey.exceptions import NoPermissionError

from phantomlink.cluster.shared_directory import NodeRecord
from phantomlink.cluster.valkey import open_directory
from phantomlink.rest.all_routes import ROUTES
from phantomlink.settings import Settings
from phantomlink.settings.load import describe_settings
from tests.fake_directory import record as record_of
from tests.nodes import valkey_at
from tests.servers import live_server

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/guide/deployment.md").read_text()
NODES_PAGE = (ROOT / "docs/guide/deployment-nodes.md").read_text()
PATHS = {route.path for route in ROUTES}


def blocks(language, page):
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def block(language, page=PAGE):
    (found,) = blocks(language, page)
    return found


def unit_of(page):
    """Its values are read one by one: names may come again."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str
    parser.read_string(block("ini", page))
    return parser


@pytest.fixture
def unit():
    return unit_of(PAGE)


@pytest.fixture
def lines():
    """Instructions of the container file, whole."""
    return [
        line.split(maxsplit=1) for line in block("dockerfile").replace("\\\n", " ").splitlines()
    ]


def test_every_variable_is_a_setting(lines, unit):
    known = {f"PHANTOM_{field.name.upper()}" for field in dataclasses.fields(Settings)}
    named = set(re.findall(r"PHANTOM_[A-Z_]+", PAGE + NODES_PAGE))
    assert named
    assert named <= known


def test_the_unit_leaves_the_server_its_grace_period(unit):
    service = unit["Service"]
    assert float(service["TimeoutStopSec"]) > Settings().grace_seconds
    # The folders that it names are the ones that systemd makes and lets it write to.
    assert "PHANTOM_STATE_DIR=%S/phantomlink" in service["Environment"]
    assert (service["StateDirectory"], service["CacheDirectory"]) == ("phantomlink",) * 2
    assert service["ExecStart"].split()[0].endswith("/bin/phantomlink")


def test_the_container_file_has_nothing_that_hadolint_finds():
    done = subprocess.run(
        [Path(sys.executable).parent / "hadolint", "-"],
        input=block("dockerfile"),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_container_has_a_python_that_is_supported_and_no_root(lines):
    instructions = dict(lines)
    version = re.match(r"python:([0-9.]+)-slim$", instructions["FROM"])[1]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"Programming Language :: Python :: {version}" in project["classifiers"]
    assert instructions["USER"] not in {"root", "0"}
    assert instructions["EXPOSE"] == str(Settings().port)
    command, *arguments = json.loads(instructions["ENTRYPOINT"])
    assert command in project["scripts"]
    assert arguments == ["serve"]
    made = re.search(r"install -d -o phantom (.*)", instructions["RUN"])[1].split()
    assert json.loads(instructions["VOLUME"]) == made


def test_the_health_check_tells_a_server_that_is_ready(lines, synthetic_recording):
    found = dict(lines)["HEALTHCHECK"]
    command = json.loads(found[found.index("[") :])
    url = re.search(r"http://127\.0\.0\.1:8000(/\w+)", command[-1])
    assert url[1] in PATHS
    command[0] = sys.executable

    def check(address):
        asked = [*command[:-1], command[-1].replace("127.0.0.1:8000", address)]
        return subprocess.run(asked, capture_output=True, timeout=20, check=False).returncode

    with live_server(synthetic_recording) as server:
        assert check(server.address) == 0
    assert check(server.address) != 0


class TestNodes:
    def test_the_template_has_flags_that_exist_and_time_to_end(self):
        service = unit_of(NODES_PAGE)["Service"]
        command, *arguments = service["ExecStart"].split()
        assert command.endswith("/bin/phantomlink")
        assert arguments[0] == "serve"
        flags = {each for each in arguments if each.startswith("--")}
        assert flags <= {info.flag for info in describe_settings()}
        assert float(service["TimeoutStopSec"]) > Settings().grace_seconds
        # systemd gives what it loads to the paths that the settings name.
        text = block("ini", NODES_PAGE)
        assert set(re.findall(r"=%d/(\w+)", text)) == set(
            re.findall(r"LoadCredential=(\w+):", text)
        )

    def test_compose_has_two_nodes_that_find_each_other(self):
        compose = yaml.safe_load(blocks("yaml", NODES_PAGE)[0])
        nodes = {name: each for name, each in compose["services"].items() if name != "valkey"}
        assert len(nodes) == 2
        for name, node in nodes.items():
            environment = node["environment"]
            assert environment["PHANTOM_NODE_URL"] == f"http://{name}:{Settings().port}"
            assert environment["PHANTOM_CLUSTER_URL"].endswith("@valkey:6379")
            assert int(node["stop_grace_period"].removesuffix("s")) > Settings().grace_seconds
            read = {environment[key] for key in environment if key.endswith("_FILE")}
            assert read == {f"/run/secrets/{secret}" for secret in node["secrets"]}
            assert set(node["secrets"]) <= set(compose["secrets"])

    def test_kubernetes_drains_a_pod_before_it_ends_it(self):
        secret, service, deployment = yaml.safe_load_all(blocks("yaml", NODES_PAGE)[1])
        pod = deployment["spec"]["template"]
        (container,) = pod["spec"]["containers"]
        labels = pod["metadata"]["labels"]
        assert (
            labels == service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"]
        )
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
        assert {
            container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("readiness", "liveness")
        } <= PATHS
        waits = float(container["lifecycle"]["preStop"]["exec"]["command"][1])
        assert pod["spec"]["terminationGracePeriodSeconds"] > waits + Settings().grace_seconds
        assert container["ports"][0]["containerPort"] == Settings().port
        mounted = {each["name"] for each in container["volumeMounts"]}
        assert mounted == {each["name"] for each in pod["spec"]["volumes"]}
        variables = {each["name"]: each for each in container["env"]}
        files = {each["value"] for name, each in variables.items() if name.endswith("_FILE")}
        key = variables["PHANTOM_CLUSTER_URL"]["valueFrom"]["secretKeyRef"]["key"]
        assert files | {key} == {"/secrets/token", "/secrets/secret", "cluster-url"}
        assert set(secret["stringData"]) == {"token", "secret", "cluster-url"}

    def test_haproxy_asks_a_route_that_exists(self):
        (path,) = re.findall(r"http-check send .*uri (\S+)", block("text", NODES_PAGE))
        assert path in PATHS

    async def test_the_access_list_of_valkey_lets_a_node_do_all_it_does(self, tmp_path):
        (rules,) = re.findall(r"^user phantomlink (.*)$", NODES_PAGE, re.MULTILINE)
        with valkey_at(tmp_path) as valkey:
            client = valkey.client()
            client.execute_command("ACL SETUSER", "phantomlink", *rules.split())
            url = f"redis://phantomlink:PASSWORD@127.0.0.1:{valkey.port}"
            async with open_directory(url, Settings().cluster_prefix, 60_000) as directory:
                node = NodeRecord("a", "http://a:8000", ("a/0",), "1")
                epoch = await directory.join(node, 0)
                record = record_of("s")
                await directory.create("s", "a", epoch)
                assert await directory.write("a", epoch, [record]) == []
                assert (await directory.renew(node, epoch)).nodes == (node,)
                assert await directory.owned("a", epoch) == [record]
                await directory.leave("a", epoch)
                heir = await directory.join(node, epoch)
                waiting = (await directory.renew(node, heir)).waiting
                most = dict.fromkeys(waiting, 1)
                assert await directory.claim("a", heir, most, {"x"}) == [record]
                await directory.forget("a", heir, ["s"])
                assert await directory.find(["s"]) == {}
            # What it may not do is refused to it.
            client.close()
            client = valkey.client(username="phantomlink", password="PASSWORD")
            for forbidden in (("FLUSHALL",), ("GET", "other"), ("CONFIG", "GET", "*")):
                with pytest.raises(NoPermissionError):
                    client.execute_command(*forbidden)
            client.close()

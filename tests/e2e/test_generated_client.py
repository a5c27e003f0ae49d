"""A client that openapi-python-client makes of the document is usable."""

import importlib
import json
import subprocess
import sys

import pytest

from phantomlink.rest.all_routes import ROUTES
from phantomlink.rest.openapi import openapi_document

PACKAGE = "phantom_link_client"


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """Imports a module of the generated client."""
    folder = tmp_path_factory.mktemp("generated")
    document, config, out = folder / "openapi.json", folder / "config.yaml", folder / "out"
    document.write_text(json.dumps(openapi_document(ROUTES)))
    config.write_text("post_hooks: []\n")
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--path", str(document)]
    command += ["--output-path", str(out), "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    # What it cannot make a function or a class of it says; files have no one media type.
    refused = [line for line in done.stdout.splitlines() if line.startswith("WARNING parsing")]
    assert [line for line in refused if not line.endswith("within pages.")] == []
    sys.path.insert(0, str(out))
    yield lambda name: importlib.import_module(f"{PACKAGE}.{name}")
    sys.path.remove(str(out))
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


@pytest.fixture
def client(generated, maze_server):
    with generated("client").Client(base_url=maze_server.http) as client:
        yield client


def test_every_route_has_a_function(generated):
    for route in ROUTES:
        words = "".join(f"_{word}" for word in route.path.replace("-", "_").split("/") if word)
        name = route.method.lower() + words.replace("{", "").replace("}", "")
        module = generated(f"api.{route.tag}.{name.replace('.', '_')}")
        assert callable(module.sync_detailed), route.path


def test_a_session_is_created_perturbed_steered_listed_and_deleted(generated, client):
    models = generated("models")
    create = generated("api.sessions.post_api_sessions_create")
    made = create.sync(client=client, body=models.CreateSession(custom_code="made", bin_size_ms=25))
    assert (made.session_code, made.created, made.frequency_hz) == ("made", True, 40)

    noise = models.GaussianNoise.from_dict({"kind": "gaussian_noise", "noise_std": 0.5})
    wanted = models.ConstantPerturbation(transforms=[noise], name="mine")
    put = generated("api.perturbation.put_api_sessions_code_perturbation")
    body = models.PutPerturbation(perturbation=wanted, seed=7)
    changed = put.sync("made", client=client, body=body)
    assert (changed.status.value, changed.seed) == ("perturbed", 7)
    assert changed.perturbation.to_dict()["name"] == "mine"

    seek = generated("api.control.post_api_control_code_seek")
    assert seek.sync("made", client=client, body=models.Seek(packet_id=100)).packet_id == 100
    speed = generated("api.control.post_api_control_code_speed")
    assert speed.sync("made", client=client, body=models.SetSpeed(speed=2)).speed == 2
    pause = generated("api.control.post_api_control_code_pause")
    assert pause.sync("made", client=client).session_code == "made"
    position = generated("api.control.get_api_control_code_position").sync("made", client=client)
    assert (position.current_packet, position.is_paused) == (100, True)

    listed = generated("api.sessions.get_api_sessions").sync(client=client)
    assert listed.sessions["made"].perturbation.to_dict()["name"] == "mine"
    delete = generated("api.sessions.delete_api_sessions_code")
    assert delete.sync("made", client=client).session_code == "made"
    gone = delete.sync("made", client=client)
    assert (gone.status, gone.title) == (404, "No such session")

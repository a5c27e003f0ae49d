"""The OpenAPI document is true: of the routes that there are, and of what they answer."""

import copy
import json
import re
from datetime import UTC, datetime
from functools import partial

import msgpack
import numpy as np
import trio
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from phantomlink.calibration.store import StoredModel
from phantomlink.decoding import Model, TrainingData, fit_model
from phantomlink.engine.events import NO_FILTER
from phantomlink.outputs.websocket.admission import StreamRequest
from phantomlink.perturbation.presets import PRESETS
from phantomlink.recordings.trials import Filter
from phantomlink.rest.all_routes import ROUTES
from phantomlink.rest.metadata_message import MetadataMessages
from phantomlink.rest.openapi import openapi_document
from phantomlink.rest.stream_metadata import StreamMetadata
from phantomlink.wire.packet import packet_data
from tests.fakes import ListSink
from tests.waiting import until

DOCUMENT = openapi_document(ROUTES)


def strict(schema):
    """The same, but for members that it does not name, which are then wrong."""
    if isinstance(schema, dict):
        schema = {key: strict(value) for key, value in schema.items()}
        # Rules between members have properties too, and no type.
        if schema.get("type") == "object" and isinstance(schema.get("properties"), dict):
            schema.setdefault("additionalProperties", False)
    elif isinstance(schema, list):
        schema = [strict(value) for value in schema]
    return schema


def validate(value, schema):
    components = strict(copy.deepcopy(DOCUMENT["components"]))
    # The columns of its table are a recording's own.
    components["schemas"]["Trial"]["additionalProperties"] = True
    root = strict(schema) | {"components": components}
    Draft202012Validator.check_schema(root)
    Draft202012Validator(root).validate(value)


def test_the_document_is_valid():
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_every_route_is_in_the_document_and_the_other_way_round():
    routes = {(route.path, route.method.lower()) for route in ROUTES}
    described = {
        (path, method) for path, methods in DOCUMENT["paths"].items() for method in methods
    }
    assert routes == described


def test_every_path_describes_its_parameters_and_every_operation_its_name():
    names = []
    for path, methods in DOCUMENT["paths"].items():
        for operation in methods.values():
            names.append(operation["operationId"])
            given = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
            assert given == set(re.findall(r"{(\w+)}", path))
    assert len(names) == len(set(names))


def test_every_schema_is_used():
    text = json.dumps(DOCUMENT)
    messages = {"MetadataMessage", "DataMessage"}
    for name in DOCUMENT["components"]["schemas"]:
        assert f'"#/components/schemas/{name}"' in text or name in messages, name
    for name in messages:
        assert name in DOCUMENT["info"]["description"]


def examples_of(schema):
    if isinstance(schema, dict):
        if isinstance(schema.get("examples"), list):
            for example in schema["examples"]:
                yield schema, example
        for value in schema.values():
            yield from examples_of(value)


def test_examples_are_examples():
    found = list(examples_of(DOCUMENT["components"]["schemas"]))
    assert len(found) > 50
    for schema, example in found:
        validate(example, {key: value for key, value in schema.items() if key != "examples"})
    for methods in DOCUMENT["paths"].values():
        for operation in methods.values():
            parts = [*operation["responses"].values(), operation.get("requestBody", {})]
            for content in (c for part in parts for c in part.get("content", {}).values()):
                for example in content.get("examples", {}).values():
                    validate(example["value"], content["schema"])


PACED = {"custom_code": "paced", "bin_size_ms": 5, "speed": 2}
PERTURBATION, DIGEST = "/api/sessions/{code}/perturbation", "/api/sessions/{code}/digest"
PERTURBED = {"custom_code": "perturbed", "perturbation": "light", "seed": 5}
FAULTS = {
    "name": "a bad link",
    "transforms": [
        {"kind": "packet_loss", "probability": 0.1},
        {"kind": "jitter", "std_ms": 3},
        {"kind": "dead_units", "fraction": 0.5},
    ],
}
DECODER = "/api/sessions/{code}/decoders/{name}"
MODEL = "/api/models/{model_id}"
PSTH = "/api/datasets/{name}/units/{id}/psth"
CALLS = [
    ("get", "/health", "/health", None, 200),
    ("get", "/livez", "/livez", None, 200),
    ("get", "/readyz", "/readyz", None, 200),
    ("get", "/metrics", "/metrics", None, 200),
    ("get", "/openapi.json", "/openapi.json", None, 200),
    ("get", "/docs/{name}", "/docs/x", None, 404),
    ("get", "/api/metadata", "/api/metadata", None, 200),
    ("get", "/api/perturbations/presets", "/api/perturbations/presets", None, 200),
    ("get", "/api/nodes", "/api/nodes", None, 200),
    ("post", "/api/sessions/create", "/api/sessions/create", {"custom_code": "b"}, 200),
    ("post", "/api/sessions/create", "/api/sessions/create", {"custom_code": 1}, 422),
    ("post", "/api/sessions/create", "/api/sessions/create", b"a=1", 415),
    ("post", "/api/sessions/create", "/api/sessions/create", b"a" * 70_000, 413),
    ("get", "/api/sessions", "/api/sessions", None, 200),
    ("get", "/api/sessions/{code}", "/api/sessions/a", None, 200),
    ("get", "/api/sessions/{code}", "/api/sessions/nobody", None, 404),
    ("get", "/api/sessions/{code}", "/api/sessions/no!code", None, 422),
    ("post", "/api/sessions/cleanup", "/api/sessions/cleanup", None, 200),
    ("post", "/api/control/{code}/pause", "/api/control/a/pause", None, 200),
    ("post", "/api/control/{code}/resume", "/api/control/a/resume", None, 200),
    ("post", "/api/control/{code}/seek", "/api/control/a/seek", {"packet_id": 5}, 200),
    ("post", "/api/control/{code}/seek", "/api/control/a/seek", {"packet_id": -5}, 422),
    ("post", "/api/control/{code}/speed", "/api/control/a/speed", {"speed": 2}, 200),
    ("post", "/api/control/{code}/speed", "/api/control/a/speed", {}, 422),
    ("post", "/api/sessions/create", "/api/sessions/create", PACED, 200),
    ("post", "/api/sessions/create", "/api/sessions/create", PACED | {"speed": 3}, 409),
    ("get", "/api/metadata", "/api/metadata?session=a", None, 200),
    ("get", "/api/sessions/{code}/timing", "/api/sessions/a/timing", None, 200),
    ("put", DECODER, "/api/sessions/a/decoders/kf", {"model": "kalman-1"}, 200),
    ("put", DECODER, "/api/sessions/a/decoders/kf", {"model": "kalman-2"}, 404),
    ("put", DECODER, "/api/sessions/a/decoders/kf", {"model": "kalman-1", "recalibrate": 1}, 422),
    ("get", "/api/sessions/{code}/decoders", "/api/sessions/a/decoders", None, 200),
    ("get", DECODER, "/api/sessions/a/decoders/kf", None, 200),
    ("get", f"{DECODER}/score", "/api/sessions/a/decoders/kf/score?window=movement", None, 200),
    ("get", f"{DECODER}/score", "/api/sessions/a/decoders/kf/score?window=all", None, 422),
    ("get", "/api/sessions/{code}/report", "/api/sessions/a/report", None, 200),
    ("get", "/api/models", "/api/models", None, 200),
    ("get", MODEL, "/api/models/kalman-1", None, 200),
    ("delete", MODEL, "/api/models/kalman-1", None, 409),
    ("delete", f"{DECODER}/score", "/api/sessions/a/decoders/kf/score", None, 200),
    ("delete", DECODER, "/api/sessions/a/decoders/kf", None, 200),
    ("delete", DECODER, "/api/sessions/a/decoders/kf", None, 404),
    ("delete", MODEL, "/api/models/kalman-1", None, 200),
    ("get", "/api/control/{code}/position", "/api/control/a/position", None, 200),
    ("get", "/api/stats/{code}", "/api/stats/a", None, 200),
    ("get", "/api/stats", "/api/stats", None, 200),
    ("get", "/api/trials", "/api/trials", None, 200),
    ("get", "/api/trials/{trial_id}", "/api/trials/0", None, 200),
    ("get", "/api/trials/{trial_id}", "/api/trials/x", None, 422),
    ("get", "/api/trials/by-target/{target_id}", "/api/trials/by-target/0", None, 200),
    ("get", "/api/trials/by-target/{target_id}", "/api/trials/by-target/99", None, 404),
    ("get", "/api/datasets", "/api/datasets", None, 200),
    ("post", "/api/datasets/rescan", "/api/datasets/rescan", None, 200),
    ("get", "/api/datasets/{name}", "/api/datasets/DATASET", None, 200),
    ("get", "/api/datasets/{name}", "/api/datasets/nothing", None, 404),
    ("post", "/api/datasets/{name}/fetch", "/api/datasets/DATASET/fetch", None, 403),
    ("get", "/api/datasets/{name}/overview", "/api/datasets/DATASET/overview", None, 200),
    ("get", "/api/datasets/{name}/overview", "/api/datasets/mc_rtt/overview", None, 409),
    ("get", "/api/datasets/{name}/units", "/api/datasets/DATASET/units", None, 200),
    ("get", PSTH, "/api/datasets/DATASET/units/UNIT/psth", None, 200),
    ("get", PSTH, "/api/datasets/DATASET/units/x/psth", None, 422),
    ("get", "/api/captures", "/api/captures", None, 200),
    ("get", "/api/captures/{id}", "/api/captures/CAPTURE", None, 200),
    ("get", "/api/captures/{id}", "/api/captures/nothing", None, 404),
    ("get", "/api/nodes", "/api/nodes", None, 200),
    ("post", "/api/tickets", "/api/tickets", {"path": "/api/captures/x/file?format=nwb"}, 200),
    ("post", "/api/tickets", "/api/tickets", {"path": "//elsewhere.example/api/x"}, 422),
    ("post", "/api/tickets", "/api/tickets", {"path": "/api/x#y z"}, 422),
    ("post", "/api/captures/{id}/stop", "/api/captures/CAPTURE/stop", None, 200),
    ("delete", "/api/captures/{id}", "/api/captures/CAPTURE", None, 200),
    ("get", "/stream/{code}", "/stream/a", None, 426),
    ("get", "/stream/binary/{code}", "/stream/binary/a", None, 426),
    ("get", PERTURBATION, "/api/sessions/a/perturbation", None, 200),
    ("put", PERTURBATION, "/api/sessions/a/perturbation", {"perturbation": "extreme"}, 200),
    ("put", PERTURBATION, "/api/sessions/a/perturbation", {"perturbation": FAULTS}, 200),
    ("put", PERTURBATION, "/api/sessions/a/perturbation", {"perturbation": "x"}, 422),
    ("put", PERTURBATION, "/api/sessions/a/perturbation", {}, 422),
    ("put", PERTURBATION, "/api/sessions/nobody/perturbation", {"perturbation": "light"}, 404),
    ("get", PERTURBATION, "/api/sessions/a/perturbation", None, 200),
    ("get", "/api/sessions/{code}", "/api/sessions/a", None, 200),
    ("get", "/api/metadata", "/api/metadata?session=a", None, 200),
    ("get", DIGEST, "/api/sessions/a/digest?start=2&stop=9&loop=3", None, 200),
    ("get", DIGEST, "/api/sessions/a/digest?stop=200&trial_id=1", None, 200),
    ("get", DIGEST, "/api/sessions/a/digest?start=5&stop=5", None, 422),
    ("get", DIGEST, "/api/sessions/a/digest?trial_id=99", None, 404),
    ("delete", PERTURBATION, "/api/sessions/a/perturbation", None, 200),
    ("post", "/api/sessions/create", "/api/sessions/create", PERTURBED, 200),
    ("post", "/api/sessions/create", "/api/sessions/create", PERTURBED | {"seed": 6}, 409),
    ("get", "/api/sessions/{code}/timing", "/api/sessions/a/timing", None, 200),
    ("get", "/api/stats/{code}", "/api/stats/a", None, 200),
    ("post", "/api/control/{code}/step", "/api/control/a/step", {"packets": 0}, 422),
    ("post", "/api/control/{code}/step", "/api/control/a/step", {"packets": 1}, 409),
    ("post", "/api/control/{code}/pause", "/api/control/a/pause", None, 200),
    ("post", "/api/control/{code}/step", "/api/control/a/step", {"packets": 2}, 200),
    ("post", "/api/control/{code}/stop", "/api/control/a/stop", None, 200),
    ("delete", "/api/sessions/{code}", "/api/sessions/b", None, 200),
]


def test_every_route_with_json_is_called():
    called = {(path, method) for method, path, *_, status in CALLS if status < 300}
    with_json = {
        (path, method)
        for path, methods in DOCUMENT["paths"].items()
        for method, operation in methods.items()
        if "application/json" in operation["responses"].get("200", {}).get("content", {})
    }
    assert called == with_json


def keep_model(store, session):
    """A model that was fitted to nothing much."""
    rng = np.random.default_rng(0)
    n = 200
    data = TrainingData(
        rng.poisson(1.0, (n, len(session.bins.unit_ids))),
        rng.normal(size=(n, 4)),
        np.arange(n) // 20,
        np.ones(n, bool),
    )
    model = Model(
        "kalman", fit_model("kalman", data), session.bins.unit_ids, session.grid.bin_size_ms
    )
    stored = StoredModel("kalman-1", "ready", "kalman", datetime.now(UTC), model)
    store._models["kalman-1"] = stored


async def test_answers_are_as_described(app, tmp_path, monkeypatch):
    client = app.test_client()
    session, _ = await app.get_service().sessions.create("a")
    keep_model((await app.get_service().calibrator.get()).store, session)
    for wanted in (NO_FILTER, Filter(trial_id=1)):
        received = trio.Event()
        sink = ListSink(on_offer=lambda _, received=received: received.set())
        session.subscribe(wanted, session.playback(wanted), sink)
        await received.wait()
    captures = await app.get_service().captures.get()
    monkeypatch.setattr(captures, "_folder", tmp_path)
    capture = await captures.start(session, NO_FILTER, "")
    for method, path, url, body, status in CALLS:
        kind = {"data": body} if isinstance(body, bytes) else {"json": body}
        if isinstance(body, bytes):
            kind["headers"] = {"Content-Type": "text/plain"}
        played = app.get_service().recording
        where = url.replace("DATASET", played.dataset).replace("UNIT", str(played.unit_ids[0]))
        where = where.replace("CAPTURE", capture.id)
        if (method, path) == ("delete", "/api/captures/{id}"):
            # Until it has been converted that is 409.
            is_read = partial(until, lambda: captures.get(capture.id).is_read)
            await trio.to_thread.run_sync(is_read)
        answer = await client.open(where, method=method.upper(), **({} if body is None else kind))
        assert answer.status_code == status, url
        described = DOCUMENT["paths"][path][method]["responses"][str(status)]
        media_type, content = next(iter(described["content"].items()))
        assert answer.headers["Content-Type"] == media_type
        validate(json.loads(await answer.get_data()), content["schema"])


async def test_the_document_is_served(app):
    answer = await app.test_client().get("/openapi.json")
    assert await answer.get_json() == DOCUMENT


async def test_messages_of_streams_are_as_described(app):
    service = app.get_service()
    session, admission = await service.enter(StreamRequest("/stream/a"))
    message = await MetadataMessages(service, "ws://localhost")(session, admission)
    validate(msgpack.unpackb(message), {"$ref": "#/components/schemas/MetadataMessage"})
    release = await session.main.peek()
    data = packet_data(release.packet, session.parts.encoders.header, 1.5)
    message = {"type": "data", "data": data}
    validate(message, {"$ref": "#/components/schemas/DataMessage"})
    assert not set(StreamMetadata.__struct_fields__) & set(data)
    session.set_perturbation(PRESETS["extreme"], 3)
    message = msgpack.unpackb(await MetadataMessages(service, "ws://localhost")(session, admission))
    validate(message, {"$ref": "#/components/schemas/MetadataMessage"})
    told = message["data"]
    assert told["perturbation"] == PRESETS["extreme"].as_json()
    assert (told["seed"], told["perturbation_id"]) == (3, session.applied.perturbation_id)
    data = packet_data((await session.main.peek()).packet, session.parts.encoders.header, 1.5)
    validate({"type": "data", "data": data}, {"$ref": "#/components/schemas/DataMessage"})
    assert told["spikes"] == data["spikes"]
    assert not set(StreamMetadata.__struct_fields__) & set(data)

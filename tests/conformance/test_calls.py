"""Every operation of the OpenAPI document, called as it says and as it does not say.

schemathesis makes the calls: examples, the edges of every schema, what no schema allows, methods
that there are not, and random ones; the same at each run. It judges the answers: nothing of 500 and
above, and no status, media type, header or body that the document does not have.
"""

from __future__ import annotations

import re

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import load_all_checks
from schemathesis.config import (
    ChecksConfig,
    GenerationConfig,
    ProjectConfig,
    ProjectsConfig,
    SchemathesisConfig,
)
from schemathesis.config._checks import NegativeDataRejectionConfig
from schemathesis.pytest.lazy import get_all_tests
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    negative_data_rejection,
    positive_data_acceptance,
)

from phantomlink.rest.all_routes import ROUTES
from phantomlink.rest.openapi import openapi_document
from phantomlink.rest.records import CODE_PATTERN
from tests.servers import live_server

# These refuse with 422 (or 426) what only words can say: the same member in body and query, more
# packets a second than there may be, a position behind the end of the recording.
IN_WORDS = {
    "POST /api/sessions/create",
    "POST /api/control/{code}/seek",
    "POST /api/control/{code}/speed",
    "PUT /api/sessions/{code}/perturbation",
    "GET /api/sessions/{code}/digest",
    "GET /stream/{code}",
    "GET /stream/binary/{code}",
    "GET /api/metadata",
    "GET /api/trials",
    "GET /api/trials/by-target/{target_id}",
    "GET /api/trials/{trial_id}",
    "GET /view",
    "GET /view/{code}",
    "POST /api/captures",
    "POST /api/sessions/{code}/calibrate",
    "PUT /api/sessions/{code}/decoders/{name}",
}
# "cleanup" and "create" are codes too: of the other methods, those of /api/sessions/{code} answer.
ALSO_A_CODE = {
    "POST /api/datasets/rescan",
    "POST /api/sessions/cleanup",
    "POST /api/sessions/create",
}
# A page is the same whatever its path says; its script asks for the session.
PAGES = {"GET /s/{code}"}


@pytest.fixture(scope="module")
def server(synthetic_recording):
    with live_server(
        synthetic_recording,
        env={"PHANTOM_MAX_CONNECTIONS": "100", "PHANTOM_MAX_REQUESTS_PER_SECOND": "0"},
    ) as server:
        yield server
        assert server.process.poll() is None, f"the server died:\n{server.log}"
        assert "Traceback" not in server.log


@pytest.fixture(scope="module")
def client():
    with requests.Session() as client:
        yield client


@pytest.fixture(scope="module")
def document(server):
    refused = [*range(400, 429), 503]
    project = ProjectConfig(
        base_url=server.http,
        generation=GenerationConfig(deterministic=True, max_examples=5),
        checks=ChecksConfig(
            negative_data_rejection=NegativeDataRejectionConfig(expected_statuses=refused)
        ),
    )
    # Not from its address: that operation would then not be called.
    return schemathesis.openapi.from_dict(
        server.get("/openapi.json")[1],
        config=SchemathesisConfig(projects=ProjectsConfig(default=project)),
    )


def call(case, server, client):
    code = (case.path_parameters or {}).get("code")
    if isinstance(code, str) and re.fullmatch(CODE_PATTERN, code):
        # Or every session of the calls were unknown, and nothing but 404 were answered.
        found = client.post(f"{server.http}/api/sessions/create", params={"custom_code": code})
        assert found.status_code == 200
    excluded = [positive_data_acceptance] if case.operation.label in IN_WORDS else []
    if case.operation.label in ALSO_A_CODE:
        excluded.append(allow_header_conformance)
    if case.operation.label in PAGES:
        excluded.append(negative_data_rejection)
    case.call_and_validate(session=client, excluded_checks=excluded, timeout=10)


OPERATIONS = [
    f"{method.upper()} {path}"
    for path, methods in openapi_document(ROUTES)["paths"].items()
    for method in methods
]


@pytest.fixture(scope="module")
def calls(document):
    """What makes the calls of each operation. Its pytest plugin cannot with this pytest."""
    load_all_checks()
    options = settings(max_examples=5, derandomize=True, suppress_health_check=list(HealthCheck))
    made = get_all_tests(schema=document, test_func=call, settings=options, given_kwargs={})
    return {operation.label: test for operation, test in (result.ok() for result in made)}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_call_breaks_the_document(calls, operation, server, client):
    calls[operation](server=server, client=client)


def test_every_operation_is_called(calls):
    assert set(calls) == set(OPERATIONS)

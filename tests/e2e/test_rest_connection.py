"""REST on a real connection, by either entry."""

import http.client
import json

import pytest

from tests.rest import LOCAL
from tests.servers import ENTRIES, live_server


@pytest.fixture(scope="module", params=ENTRIES)
def server(request, synthetic_recording):
    with live_server(synthetic_recording, entry=request.param) as server:
        yield server


def test_on_a_real_connection(server):
    """What the test client does not show: how bodies, and their absence, are sent."""
    connection = http.client.HTTPConnection(server.address, timeout=20)

    def ask(method, path, body=None, **headers):
        connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
        answer = connection.getresponse()
        return answer, answer.read()

    answer, body = ask("HEAD", "/health")
    assert (answer.status, body) == (200, b"")
    assert int(answer.headers["Content-Length"]) > 0
    answer, body = ask(
        "OPTIONS", "/api/sessions/a", Origin=LOCAL, Access_Control_Request_Method="DELETE"
    )
    assert (answer.status, body) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == LOCAL
    answer, body = ask("POST", "/api/sessions/create", b'{"custom_code": "a"}')
    assert json.loads(body)["stream_url"] == f"ws://{server.address}/stream/a"
    answer, body = ask("GET", "/stream/a")
    assert (answer.status, answer.headers["Upgrade"]) == (426, "websocket")
    answer, body = ask("GET", "/docs/swagger-ui-bundle.js")
    assert len(body) == int(answer.headers["Content-Length"]) > 1_000_000
    answer, body = ask("GET", "/api/trials")
    assert json.loads(body)["count"] == 6
    answer, body = ask("DELETE", "/api/sessions/a")
    assert json.loads(body) == {"status": "deleted", "session_code": "a"}
    connection.close()
    assert "Traceback" not in server.log

"""What browsers get: answers that pages of other servers may read, and pages for people."""

import gzip
import re

import pytest

from tests.rest import LOCAL, running

# --- Pages of other servers --------------------------------------------------------------------

ALLOWED = (
    LOCAL,
    "https://localhost",
    "http://127.0.0.1:5173",
    "http://[::1]:80",
    "http://a.localhost",
)
FOREIGN = (
    "http://evil.example", "http://localhost.evil.example", "http://evillocalhost",
    "null", "file://", "http://127.0.0.1.evil.example", "ftp://localhost",
)  # fmt: skip

# Never with credentials.
CORS_OF_ANSWERS = {"access-control-allow-origin", "access-control-expose-headers"}


def cors_headers(answer):
    names = {name.lower() for name, _ in answer.headers}
    return {name for name in names if name.startswith("access-control-")}


@pytest.mark.parametrize("origin", ALLOWED)
async def test_pages_of_localhost_may_read_answers_and_errors(client, origin):
    for path in ("/health", "/nope", "/api/sessions/nobody"):
        answer = await client.get(path, headers={"Origin": origin})
        assert answer.headers["Access-Control-Allow-Origin"] == origin
        assert cors_headers(answer) == CORS_OF_ANSWERS
        assert "Origin" in answer.headers["Vary"]


@pytest.mark.parametrize("origin", FOREIGN)
async def test_pages_of_other_origins_may_not(client, origin):
    preflight = {"Origin": origin, "Access-Control-Request-Method": "DELETE"}
    answers = [
        await client.get("/health", headers={"Origin": origin}),
        await client.get("/health", headers={"Origin": origin, "Host": "evil"}),
        await client.options("/api/sessions/a", headers=preflight),
    ]
    for answer in answers:
        assert cors_headers(answer) == set()
        assert "Origin" in answer.headers["Vary"]


async def test_preflights_of_deletes_and_json_bodies(client):
    for method, path in (("DELETE", "/api/sessions/a"), ("POST", "/api/control/a/seek")):
        asked = {
            "Origin": LOCAL,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "content-type",
        }
        answer = await client.options(path, headers=asked)
        assert answer.status_code == 204
        assert await answer.get_data() == b""
        assert answer.headers["Access-Control-Allow-Origin"] == LOCAL
        assert method in answer.headers["Access-Control-Allow-Methods"].split(", ")
        assert "*" in answer.headers["Access-Control-Allow-Headers"].split(", ")
        assert cors_headers(answer) - CORS_OF_ANSWERS == {
            "access-control-allow-methods",
            "access-control-allow-headers",
            "access-control-max-age",
        }


async def test_options_without_a_preflight_name_the_methods(client):
    answer = await client.options("/api/sessions/a")
    assert answer.status_code == 200
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "DELETE", "OPTIONS"}


# --- Pages for people --------------------------------------------------------------------------


def outside_urls(page):
    """What the page would fetch from another server."""
    fetched = re.findall(r"""(?:src|<link[^>]*href)=["']([^"']+)""", page)
    fetched += re.findall(r"""(?:url\(|@import|fetch\()\s*["']?((?:https?:)?//[^"')]+)""", page)
    return [url for url in fetched if re.match(r"(?:https?:)?//", url)]


def test_outside_urls_are_found():
    assert outside_urls('<script src="https://cdn.example/x.js">') == ["https://cdn.example/x.js"]
    assert outside_urls("<link rel=icon href='//cdn.example/i'>") == ["//cdn.example/i"]
    assert outside_urls('<script src="docs/x.js"><a href="https://example.org">') == []


@pytest.mark.parametrize("path", ["/", "/docs"])
async def test_pages_bring_everything_with_them(client, path):
    answer = await client.get(path)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'; script-src 'self';" in policy
    page = await answer.get_data(as_text=True)
    assert outside_urls(page) == []
    assert "{{" not in page
    local = re.findall(r"""(?:src|<link[^>]*href)=["']([^"':]+)["']""", page)
    for name in local:
        asset = await client.get(f"/{name.removeprefix('./')}")
        assert asset.status_code == 200, name
        assert len(await asset.get_data()) > 50


async def test_the_files_of_the_docs_page_are_those_it_names(client):
    for name in ("index.html", "oauth2-redirect.html", "..%2F__init__.py", "x"):
        answer = await client.get(f"/docs/{name}")
        assert answer.status_code == 404, name
    script = await (await client.get("/static/docs.js")).get_data(as_text=True)
    assert "validatorUrl: null" in script


@pytest.mark.parametrize(
    "path", ["/", "/s/anything", "/timing", "/datasets", "/decoders", "/?unknown=1"]
)
async def test_pages_of_the_dashboard_are_one_shell(client, path):
    answer = await client.get(path, headers={"Host": "lab:8000"})
    page = await answer.get_data(as_text=True)
    assert (
        "connect-src 'self' ws://lab:8000 wss://lab:8000;"
        in (answer.headers["Content-Security-Policy"])
    )
    root = "../" if path.startswith("/s/") else "./"
    assert f'src="{root}static/app.js"' in page
    # No data of the recording: pages are open where everything else is not.
    assert "small" not in page


async def test_static_files_are_tagged_and_compressed_where_that_is_taken(client):
    plain = await client.get("/static/core/ring.js")
    zipped = await client.get("/static/core/ring.js", headers={"Accept-Encoding": "br, gzip"})
    refused = await client.get("/static/core/ring.js", headers={"Accept-Encoding": "gzip;q=0"})
    body = await plain.get_data()
    assert gzip.decompress(await zipped.get_data()) == body == await refused.get_data()
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in zipped.headers["Vary"]
    assert plain.headers["X-Content-Type-Options"] == "nosniff"
    same = await client.get(
        "/static/core/ring.js", headers={"If-None-Match": plain.headers["ETag"]}
    )
    assert same.status_code == 304
    for name in ("nothing.js", "..%2Fshell.html", "core/nothing.js", "core/..%2F..%2Fshell.html"):
        assert (await client.get(f"/static/{name}")).status_code == 404


async def test_a_paused_session_steps_over_rest(client):
    await client.post("/api/sessions/create", json={"custom_code": "stepped"})
    refused = await client.post("/api/control/stepped/step", json={"packets": 3})
    assert refused.status_code == 409
    await client.post("/api/control/stepped/pause")
    answer = await client.post("/api/control/stepped/step", json={"packets": 3})
    assert await answer.get_json() == {"status": "stepping", "session_code": "stepped"}
    position = await (await client.get("/api/control/stepped/position")).get_json()
    assert position["current_packet"] == 3
    for packets in (0, 1001, "many"):
        answer = await client.post("/api/control/stepped/step", json={"packets": packets})
        assert answer.status_code == 422


async def test_a_trial_can_be_sought(app, client):
    await client.post("/api/sessions/create", json={"custom_code": "trials"})
    trial = app.get_service().recording.trials.by_id(3)

    async def seek(**body):
        answer = await client.post("/api/control/trials/seek", json=body)
        return answer.status_code, await answer.get_json()

    status, sought = await seek(trial_id=3)
    assert status == 200
    assert sought["position_seconds"] - 0.025 < trial.start_time <= sought["position_seconds"]
    status, sought = await seek(trial_id=3, event="go_cue_time")
    cue = trial.columns["go_cue_time"]
    assert sought["position_seconds"] <= cue < sought["position_seconds"] + 0.025
    for body in (
        {"trial_id": 3, "packet_id": 1},
        {"trial_id": 3, "event": "success"},
        {"packet_id": 3, "event": "go_cue_time"},
        {},
    ):
        status, _ = await seek(**body)
        assert status == 422, body
    assert (await seek(trial_id=999))[0] == 404


async def test_presets_say_what_they_do(client):
    answer = await (await client.get("/api/perturbations/presets")).get_json()
    kinds = [each["kind"] for each in answer["presets"]["light"]["transforms"]]
    assert kinds == ["gaussian_noise", "drift"]
    assert "steps" in answer["presets"]["bad_day"]


async def test_a_host_ends_no_directive_of_the_policy(synthetic_recording):
    token = "correct-horse-battery-staple"
    # Without a token such a host is refused.
    async with running(synthetic_recording, api_token=token) as app:
        answer = await app.test_client().get("/", headers={"Host": "x; script-src *"})
    assert "*" not in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("origin", "status"), [("https://evil.example", 403), ("null", 403), (LOCAL, 200), (None, 200)]
)
async def test_a_page_of_another_origin_changes_nothing(app, client, origin, status):
    session, _ = app.get_service().registry.create("a")
    headers = {} if origin is None else {"Origin": origin}
    answer = await client.post("/api/control/a/pause", headers=headers)
    assert answer.status_code == status
    assert session.is_paused is (status == 200)
    assert (await client.get("/api/sessions/a", headers=headers)).status_code == 200

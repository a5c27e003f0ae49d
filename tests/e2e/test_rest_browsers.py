"""What browsers get: answers that pages of other servers may read, and pages for people."""

import re
import shutil

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
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    page = await answer.get_data(as_text=True)
    assert outside_urls(page) == []
    assert "{{" not in page
    local = re.findall(r"""(?:src|<link[^>]*href)=["']([^"':]+)["']""", page)
    for name in local:
        asset = await client.get(f"/{name}")
        assert asset.status_code == 200, name
        assert len(await asset.get_data()) > 500


async def test_the_files_of_the_docs_page_are_those_it_names(client):
    for name in ("index.html", "oauth2-redirect.html", "..%2F__init__.py", "x"):
        answer = await client.get(f"/docs/{name}")
        assert answer.status_code == 404, name
    page = await (await client.get("/docs")).get_data(as_text=True)
    assert "validatorUrl: null" in page


async def test_the_landing_page_says_what_plays_and_how_to_connect(client):
    answer = await client.get("/", headers={"Host": "lab:8000"})
    page = await answer.get_data(as_text=True)
    assert "synthetic recording small" in page
    assert page.count("ws://lab:8000/stream/demo?format=json") == 2
    for link in ("docs", "health", "api/metadata"):
        assert f'href="{link}"' in page
        assert (await client.get(f"/{link}")).status_code == 200


async def test_names_from_outside_are_shown_not_run(tmp_path, synthetic_recording):
    path = tmp_path / "<img src=x onerror=alert(1)>.nwb"
    shutil.copyfile(synthetic_recording, path)
    token = "correct-horse-battery-staple"
    headers = {"Host": 'x"><script>', "Authorization": f"Bearer {token}"}
    # Without a token such a host is refused.
    async with running(path, api_token=token) as app:
        answer = await app.test_client().get("/", headers=headers)
        page = await answer.get_data(as_text=True)
    assert "<img" not in page
    assert "&lt;img src=x" in page
    assert 'x"><script>' not in page


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

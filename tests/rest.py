"""What tests share that ask the real application, through the framework's test client."""

from __future__ import annotations

import json
import re
from contextlib import asynccontextmanager, contextmanager

import trio

from phantomlink.app import create_app
from phantomlink.engine.events import NO_FILTER
from phantomlink.settings import Settings
from tests.fakes import ListSink

LOCAL = "http://localhost:3000"
ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@asynccontextmanager
async def running(recording, **settings):
    app = create_app(Settings(**{"lsl_enabled": False} | settings), str(recording))
    # No cancel scope around the yield: one that fires takes Trio apart, and with it other tests.
    async with app.test_app():
        yield app


@contextmanager
def listening(session, wanted=NO_FILTER):
    sink = ListSink()
    session.subscribe(wanted, session.playback(wanted), sink)
    try:
        yield sink
    finally:
        session.unsubscribe(sink)


async def until(condition):
    while not condition():  # noqa: ASYNC110 - of several kinds; there is no one event
        await trio.sleep(0.005)


async def get(client, path, **kwargs):
    answer = await client.get(path, **kwargs)
    assert answer.status_code == 200, await answer.get_data(as_text=True)
    assert answer.headers["Content-Type"] == "application/json"
    return await answer.get_json()


async def post(client, path, **kwargs):
    answer = await client.post(path, **kwargs)
    assert answer.status_code == 200, await answer.get_data(as_text=True)
    return await answer.get_json()


async def problem(answer, status, *words):
    """The details of an answer that must be a problem of this status and say these words."""
    assert answer.status_code == status, await answer.get_data(as_text=True)
    assert answer.headers["Content-Type"] == "application/problem+json"
    details = json.loads(await answer.get_data())
    assert list(details) == ["type", "title", "status", "detail"]
    assert details["status"] == status
    for word in words:
        assert word in details["detail"]
    return details

"""How programs use the client, as mypy --strict sees it. Checked, never run."""

from __future__ import annotations

from typing import assert_type

import numpy as np
from numpy.typing import NDArray

from phantomlink.client import (
    ClientError,
    Collected,
    Packet,
    Session,
    Stream,
    aio,
    collect,
    connect,
)


def listening() -> None:
    with connect(
        "http://127.0.0.1:8000",
        session="a",
        decoder="kf",
        trial_id=3,
        hide=["kinematics", "trial"],
        perturbation={"transforms": []},
        reconnect_seconds=None,
    ) as stream:
        assert_type(stream, Stream)
        for packet in stream:
            assert_type(packet, Packet)
            assert_type(packet.counts, NDArray[np.int32])
            assert_type(packet.velocity, NDArray[np.float64])
            assert_type(packet.trial_id, int | None)
            stream.predict(packet, *packet.velocity)
            stream.predict(packet, x=np.float32(1), y=2, decoder="other")
        assert_type(stream.receive(1.0), Packet)
        assert_type(stream.gaps.n_lost, int)
        assert_type(stream.session, Session)


async def listening_async() -> None:
    async with aio.connect(session="a", reach_id=2) as stream:
        assert_type(stream, aio.Stream)
        async for packet in stream:
            assert_type(packet, Packet)
            await stream.predict(packet, 1, 2)
    assert_type(await aio.collect(trials=3), Collected)


def collecting() -> None:
    data = collect(trials=[1, 2], target=0, speed=20, perturbation="light", seed=7)
    assert_type(data.X, NDArray[np.int32])
    assert_type(data.Y, NDArray[np.float64])
    collect(trials=range(4))


def steering() -> None:
    with Session.create("a", perturbation="light") as session:
        assert_type(session, Session)
        session.seek(3)
        session.seek(position_seconds=2.5)
        assert_type(connect(session=session, target_id=1), Stream)


def errors(error: ClientError) -> None:
    assert_type(error.may_pass, bool)
    assert_type(error.retry_after_seconds, float | None)


def wrong() -> None:
    connect(trial="x")  # type: ignore[call-arg]
    connect(trial_id="x")  # type: ignore[arg-type]
    connect(hide=["spikes"])  # type: ignore[list-item]
    collect(trials="all")  # type: ignore[arg-type]
    Session.create("a", perturbaton="light")  # type: ignore[call-arg]
    for packet in connect():
        packet.counts = packet.counts  # type: ignore[misc]

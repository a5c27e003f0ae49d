"""The rows of the table of failures, with real nodes: runs of `tools/cluster.py`.

python -m tools.cluster away            # Valkey dies for 60 s and comes back empty
python -m tools.cluster away --old      # and comes back as it was a while before
python -m tools.cluster cut             # one of four nodes cannot reach Valkey any more
python -m tools.cluster slow            # 50 ms either way to Valkey, for all
python -m tools.cluster skew            # monotonic clocks that differ by days
python -m tools.cluster drain           # four nodes are restarted in turn
python -m tools.cluster takeover        # 1000 sessions, 100 of them listened to
python -m tools.cluster mirror          # 60 clients at a node that does not own their session
"""

from __future__ import annotations

import argparse
import signal
import sys
import time

import numpy as np

from tools.bench.harness.text import Verdict as Criterion
from tools.cluster_clients import Client
from tools.cluster_judge import Verdict, judge, packets, returns
from tools.cluster_mirror import mirror
from tools.cluster_scene import (
    CLAIM_SECONDS,
    NODES,
    OK,
    Material,
    cut_off,
    got_from,
    grid_moves_ms,
    missed_between,
    scene,
)

_AWAY_SECONDS = 60.0
_GRACE_SECONDS = 10.0
_DELAY_SECONDS = 0.05
_OFFSETS_S = (0, 100_000, 3_000_000, 7)
_BACK_SECONDS = 2.0
_SAME_MS = 1.0
_LISTENED = 100


def away(material: Material, told: argparse.Namespace) -> list[Criterion]:
    """Valkey dies, and comes back empty or with what it had before the last commands."""
    with scene(material, told) as playing:
        nodes, directory, crowd = playing.cluster.nodes, playing.cluster.directory, playing.crowd
        directory.keep()
        # Of these, what was kept knows nothing.
        paused = nodes[0].request("POST", "/api/control/c0/pause")[0]
        nodes[1].create("late")
        crowd.listen(1)
        directory.end()
        crowd.listen(CLAIM_SECONDS)
        refused = [nodes[0].request("POST", "/api/control/c0/resume")[0]]
        refused += [node.request("POST", "/api/sessions/create")[0] for node in nodes]
        states = {each["state"] for each in playing.nodes()}
        newcomer = Client("c1", 1)
        crowd.join([newcomer])
        crowd.listen(told.seconds - CLAIM_SECONDS)
        directory.start(is_empty=not told.old)
        back = time.monotonic()
        while (status := nodes[0].request("POST", "/api/control/c0/resume")[0]) != OK:
            crowd.listen(0.1)
            if time.monotonic() - back > _AWAY_SECONDS:
                break
        settled_s = time.monotonic() - back
        crowd.listen(2 * CLAIM_SECONDS)
        codes = {"late", *(client.code for client in playing.clients)}
        found = [codes <= playing.sessions(at) for at in range(NODES)]
    clients = [*playing.clients, newcomer]
    verdict = judge(clients, material.oracle, 0, float("inf"))
    # Who hears nothing looks elsewhere: that of the paused session.
    n_cut_off = cut_off(clients[1:])
    return [
        Criterion(
            f"Valkey is away for {told.seconds:g} s: 0 gaps, no stream is cut off",
            f"{verdict.skipped} skipped, {n_cut_off} cut off, {verdict.silent} silent",
            not (verdict.skipped or n_cut_off or verdict.silent),
        ),
        Criterion(
            "meanwhile: static, commands are 503, a new client is let in",
            f"states {sorted(states)}, answers {sorted(set(refused))}, "
            f"{sum(1 for _ in packets(newcomer))} packets",
            states == {"static"} and set(refused) == {503} and any(packets(newcomer)),
        ),
        Criterion(
            f"back {'as it was' if told.old else 'empty'}: every session is there at every node",
            f"{sum(found)} of {len(found)} nodes have all; commands after {settled_s:.1f} s",
            all(found) and status == paused == OK,
        ),
        _nothing_wrong(verdict),
    ]


def cut(material: Material, told: argparse.Namespace) -> list[Criterion]:
    """One node cannot reach Valkey: others take over, and it plays on for a while."""
    with scene(material, told) as playing:
        nodes, crowd = playing.cluster.nodes, playing.crowd
        own = [client for client in playing.clients if client.at == 0]
        second = [Client(client.code, 1) for client in own]
        began = time.monotonic()
        playing.cluster.ways[0].cut(True)
        crowd.join(second)
        crowd.listen(CLAIM_SECONDS)
        old_commands = playing.commands(0, own[0].code)
        crowd.listen(2)
        new_commands = playing.commands(1, own[0].code)
        crowd.listen(_GRACE_SECONDS + CLAIM_SECONDS - (time.monotonic() - began))
        playing.cluster.ways[0].cut(False)
        healed = time.monotonic()
        crowd.listen(2 * CLAIM_SECONDS)
        states = {each["name"]: each["state"] for each in playing.nodes()}
    # That of the session that was steered differs from then on.
    own, second = own[1:], second[1:]
    old = [got_from(client, nodes[0].url, is_owner=True) for client in own]
    new = [got_from(client, nodes[0].url, is_owner=False) for client in second]
    old_end_s = [got[-1].at - began for got in old]
    new_first_s = [got[0].at - began for got in new]
    overlap = sum(
        len({each.number for each in one} & {each.number for each in two})
        for one, two in zip(old, new, strict=True)
    )
    verdict = judge([*own, *second], material.oracle, 0, float("inf"))
    return [
        Criterion(
            f"{len(own)} sessions: heirs play within {_BACK_SECONDS:g} s",
            f"first packets {min(new_first_s):.2f} to {max(new_first_s):.2f} s after the cut",
            max(new_first_s) <= _BACK_SECONDS,
        ),
        Criterion(
            "the old owner plays on for 10 s and takes no commands, the heirs do",
            f"last packets {min(old_end_s):.1f} to {max(old_end_s):.1f} s after the cut, "
            f"commands {old_commands} and {new_commands}",
            min(old_end_s) >= _GRACE_SECONDS
            and max(old_end_s) <= _GRACE_SECONDS + CLAIM_SECONDS
            and all(each.startswith("503") for each in old_commands)
            and set(new_commands) == {"200"},
        ),
        Criterion(
            "what both play is the same to the byte",
            f"{overlap} packets of both, {verdict.wrong} wrong",
            overlap > 0 and not verdict.wrong,
        ),
        Criterion(
            "connected again, the node is one of them",
            f"{states} {time.monotonic() - healed:.0f} s later",
            set(states.values()) == {"up"} and len(states) == NODES,
        ),
    ]


def slow(material: Material, told: argparse.Namespace) -> list[Criterion]:
    """A long way to Valkey: nothing is taken over, commands take as long."""
    with scene(material, told) as playing:
        for way in playing.cluster.ways:
            way.delay_seconds = _DELAY_SECONDS
        playing.crowd.listen(2)
        took_s = []
        for _ in range(10):
            began = time.monotonic()
            status, _ = playing.cluster.nodes[0].request("POST", "/api/control/c0/resume")
            took_s.append(time.monotonic() - began if status == OK else float("inf"))
            playing.crowd.listen(told.seconds / 20)
    verdict = judge(playing.clients, material.oracle, 0, float("inf"))
    n_cut_off = cut_off(playing.clients)
    return [
        Criterion(
            f"{2e3 * _DELAY_SECONDS:g} ms to Valkey and back: 0 gaps, no stream is cut off",
            f"{verdict.skipped} skipped, {n_cut_off} cut off, {verdict.silent} silent",
            not (verdict.skipped or n_cut_off or verdict.silent),
        ),
        Criterion(
            "a command is answered when it is written down",
            f"{min(took_s):.2f} to {max(took_s):.2f} s",
            min(took_s) >= 2 * _DELAY_SECONDS and max(took_s) < 1,
        ),
        _nothing_wrong(verdict),
    ]


def skew(material: Material, told: argparse.Namespace) -> list[Criterion]:
    """Clocks differ: heirs play on the same grid all the same."""
    with scene(material, told, clock_offsets_s=_OFFSETS_S) as playing:
        playing.crowd.listen(told.seconds / 4)
        blows = []
        for node in playing.cluster.nodes[:2]:
            blows.append(time.monotonic())
            node.kill()
            playing.crowd.listen(told.seconds / 4)
        offsets_s = sorted(each["clock_offset_ms"] / 1e3 for each in playing.nodes(3))
        end = time.monotonic()
    verdict = judge(playing.clients, material.oracle, 0, float("inf"))
    moved_ms = [ms for client in playing.clients for ms in grid_moves_ms(client)]
    back = returns(playing.clients, blows, end)
    return [
        Criterion(
            f"clocks {_OFFSETS_S} s ahead: a session's grid stays within {_SAME_MS:g} ms",
            f"{len(moved_ms)} streams taken over, moved by {min(moved_ms):+.2f} to "
            f"{max(moved_ms):+.2f} ms; offsets of the others to common time {offsets_s} s",
            bool(moved_ms) and max(map(abs, moved_ms)) <= _SAME_MS,
        ),
        Criterion(
            "all streams are back",
            f"{len(back.back_s)} cut off, {back.not_back} not back",
            bool(back.back_s) and not back.not_back,
        ),
        _nothing_wrong(verdict),
    ]


def drain(material: Material, told: argparse.Namespace) -> list[Criterion]:
    """Nodes are restarted in turn: each stream is cut off once by each, and goes on at an heir."""
    with scene(material, told) as playing:
        blows = []
        for number, node in enumerate(playing.cluster.nodes):
            blows.append(time.monotonic())
            node.signal(signal.SIGTERM)
            playing.crowd.listen(2 * CLAIM_SECONDS)
            node.end()
            node.begin()
            playing.crowd.listen(2 * CLAIM_SECONDS)
            node.wait()
            print(f"restart {number + 1} of {NODES}", file=sys.stderr)
        end = time.monotonic()
    verdict = judge(playing.clients, material.oracle, 0, float("inf"))
    back = returns(playing.clients, blows, end)
    missed = [n for client in playing.clients for n in missed_between(client)]
    return [
        Criterion(
            f"{NODES} nodes restarted in turn: all streams are back",
            f"{len(back.back_s)} cut off, {back.not_back} not back, missed "
            f"p50 {np.median(missed):.0f}, most {max(missed)} packets",
            bool(back.back_s) and not back.not_back,
        ),
        _nothing_wrong(verdict),
    ]


def takeover(material: Material, told: argparse.Namespace) -> list[Criterion]:
    """Many sessions that nobody listens to, and some that somebody does."""
    listened = min(_LISTENED, told.sessions)
    taken_s: list[float] = []
    back_s: list[float] = []
    not_back, lost = 0, 0
    counts: list[list[int]] = []
    verdict = Verdict()
    for _ in range(told.times):
        with scene(material, told, listened=listened) as playing:
            blow = time.monotonic()
            playing.cluster.nodes[0].kill()
            while True:
                playing.crowd.listen(0.05)
                having = [each["sessions"] for each in playing.nodes(1)]
                passed_s = time.monotonic() - blow
                if sum(having) >= told.sessions or passed_s > _GRACE_SECONDS:
                    break
            taken_s.append(passed_s)
            counts.append(having)
            lost += told.sessions - sum(having)
            playing.crowd.listen(CLAIM_SECONDS)
            end = time.monotonic()
        found = returns(playing.clients, [blow], end)
        back_s += found.back_s
        not_back += found.not_back
        judged = judge(playing.clients, material.oracle, 0, float("inf"))
        verdict.packets += judged.packets
        verdict.wrong += judged.wrong
        verdict.repeated += judged.repeated
        verdict.after_heir += judged.after_heir
    return [
        Criterion(
            f"{told.sessions} sessions, {listened} listened to: those of a node that is killed "
            f"are taken over within {_BACK_SECONDS:g} s",
            f"after {', '.join(f'{s:.2f}' for s in taken_s)} s, {lost} lost; then {counts}",
            max(taken_s) <= _BACK_SECONDS and not lost,
        ),
        Criterion(
            f"streams are back within {_BACK_SECONDS:g} s at p99",
            f"{len(back_s)} cut off, {not_back} not back, p50 {np.median(back_s):.2f} s, "
            f"p99 {np.percentile(back_s, 99):.2f} s",
            not not_back and np.percentile(back_s, 99) <= _BACK_SECONDS,
        ),
        _nothing_wrong(verdict),
    ]


def _nothing_wrong(verdict: Verdict) -> Criterion:
    return Criterion(
        "none repeated, none wrong, none of the old owner after the heir's first",
        f"{verdict.repeated} repeated, {verdict.wrong} wrong, {verdict.after_heir} after, "
        f"of {verdict.packets}",
        not (verdict.repeated or verdict.wrong or verdict.after_heir),
    )


NODE_RUNS = {
    "away": away,
    "cut": cut,
    "slow": slow,
    "skew": skew,
    "drain": drain,
    "takeover": takeover,
    "mirror": mirror,
}

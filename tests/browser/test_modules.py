"""The dashboard's pure modules, in the browser that runs them."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgpack
import numpy as np
import pytest
from playwright.sync_api import Page

from phantomlink.outputs.view.columns import ColumnBuilder
from phantomlink.outputs.view.messages import columns_record, packed
from tests.unit.test_view_columns import packet


def run(page: Page, code: str, value: Any = None) -> Any:
    return page.evaluate(f"async (value) => {{ {code} }}", value)


@pytest.mark.parametrize(
    "value",
    [
        None, True, False, 0, 127, 128, 255, 256, 65535, 65536, 2**32, 2**53, -1, -32, -33, -129,
        -40000, -(2**40), 1.5, "", "spikes", "µ" * 40, "x" * 300, "x" * 70000, [], [1, "a", None],
        list(range(20)), list(range(70000)), {}, {"a": {"b": [1.25]}}, {str(i): i for i in range(20)},
    ],
    ids=lambda value: repr(value)[:20],
)  # fmt: skip
def test_message_pack_says_what_was_packed(modules: Page, value: Any) -> None:
    encoded = base64.b64encode(msgpack.packb(value)).decode()
    got = run(
        modules,
        """const { decodeMessagePack } = await import("/phantomlink-client.js");
        const bytes = Uint8Array.from(atob(value), (c) => c.charCodeAt(0));
        return decodeMessagePack(bytes.buffer);""",
        encoded,
    )
    assert got == value


def test_message_pack_of_another_form_is_refused(modules: Page) -> None:
    got = run(
        modules,
        """const { decodeMessagePack } = await import("/phantomlink-client.js");
        return [[0x92, 1], [1, 2], [0xc1], [0xd4, 1, 1], [0xc4, 9, 1]].map((bytes) => {
          try { return decodeMessagePack(Uint8Array.from(bytes).buffer); }
          catch (error) { return error.name; }
        });""",
    )
    assert got == ["RangeError"] * 5


def test_waits_double_up_to_thirty_seconds_and_follow_the_server(modules: Page) -> None:
    got = run(
        modules,
        """const { secondsUntilRetry, judge } = await import("/phantomlink-client.js");
        return {
          waits: [0, 1, 2, 5, 6, 20].map((n) => secondsUntilRetry(n, null, () => 0)),
          spread: secondsUntilRetry(0, null, () => 1),
          asked: [secondsUntilRetry(0, 7, () => 0), secondsUntilRetry(0, 7200, () => 0)],
          again: [1000, 1001, 1006, 1011, 1013, 4408, 4410, 4411, 4412, 401, 403, 404, 429, 503]
            .filter((code) => judge(code).again),
        };""",
    )
    assert got["waits"] == [0.5, 1, 2, 16, 30, 30]
    assert got["spread"] == 0.25
    assert got["asked"] == [7, 60]
    assert got["again"] == [1001, 1006, 1011, 1013, 4408, 4411, 4412, 429, 503]


CONNECTION = """
const { Connection } = await import("/phantomlink-client.js");
const opened = [];
class Fake {
  constructor(url, protocols) { this.url = url; this.protocols = protocols; this.readyState = 0; opened.push(this); }
  send(text) { this.sent = text; }
  close(code) { this.closed = code; }
}
const told = [];
const make = (options) => new Connection("ws://a/view/x", {
  onMessage: (m) => told.push(m), onStatus: (s) => told.push(s), WebSocket: Fake, random: () => 0, ...options });
const tick = () => new Promise((resolve) => setTimeout(resolve, 0));
"""


def test_a_loss_is_waited_for_and_a_session_that_is_gone_is_not(modules: Page) -> None:
    got = run(
        modules,
        CONNECTION
        + """const connection = make({ token: "secret-token", subprotocols: ["p"] });
        opened[0].onopen();
        opened[0].onclose({ code: 1006, reason: "" });
        connection.retryNow();
        opened[1].onopen();
        opened[1].onmessage({ data: '{"a": 1}' });
        opened[1].onclose({ code: 4410, reason: "deleted" });
        return { told, protocols: opened[0].protocols, n: opened.length };""",
    )
    states = [each.get("state", each) for each in got["told"]]
    assert states == ["connecting", "open", "waiting", "connecting", "open", {"a": 1}, "ended"]
    assert got["told"][2]["seconds"] == 0.5
    assert got["told"][-1]["code"] == 4410
    assert got["protocols"] == ["phantomlink.bearer.secret-token", "p"]
    assert got["n"] == 2


def test_a_refused_upgrade_is_explained_by_http(modules: Page) -> None:
    got = run(
        modules,
        CONNECTION
        + """const asked = [];
        const answer = (status, detail, retry) => async (url, options) => {
          asked.push([url, options.headers?.Authorization]);
          return { ok: false, status, headers: { get: () => retry }, json: async () => ({ detail }) };
        };
        make({ token: "t", probe: "http://a/api/sessions/x", fetch: answer(404, "no session", null) });
        opened[0].onclose({ code: 1006, reason: "" });
        await tick(); await tick();
        const busy = make({ probe: "http://a/api/stats", fetch: answer(503, "full", "9") });
        opened[1].onclose({ code: 1006, reason: "" });
        await tick(); await tick();
        busy.close();
        return { told, asked };""",
    )
    ended = [each for each in got["told"] if each.get("state") == "ended"]
    waiting = [each for each in got["told"] if each.get("state") == "waiting"]
    assert [(each["code"], each["reason"]) for each in ended] == [(404, "no session")]
    assert [(each["code"], each["seconds"]) for each in waiting] == [(503, 9)]
    assert got["asked"][0] == ["http://a/api/sessions/x", "Bearer t"]


def test_a_moved_session_is_followed_to_its_new_server(modules: Page) -> None:
    got = run(
        modules,
        CONNECTION
        + """const asked = [];
        const fetch = async (url) => { asked.push(url); throw new TypeError("no answer"); };
        const follow = (options, reason) => {
          const n = opened.length;
          const connection = make({ probe: "http://a/api/sessions/x", fetch, ...options });
          opened[n].onopen();
          opened[n].onclose({ code: 4412, reason });
          connection.retryNow();
          return { url: opened.at(-1).url, seconds: told.filter((each) => each.state === "waiting").at(-1).seconds };
        };
        const answers = [
          follow({}, "wss://elsewhere:8443/prefix/stream/binary/x"),
          follow({}, "http://elsewhere:81/"),
          follow({}, "it has gone to elsewhere"),
          follow({ stays: true }, "ws://elsewhere/stream/x"),
        ];
        follow({}, "ws://b/stream/x");
        // Two servers that each say it is the other's are not asked without a pause.
        opened.at(-1).onopen();
        opened.at(-1).onclose({ code: 4412, reason: "ws://a/stream/x" });
        answers.push({ again: told.at(-1).seconds });
        follow({}, "wss://c/stream/x");
        opened.at(-1).onclose({ code: 1006, reason: "" });
        await tick();
        return { answers, asked };""",
    )
    assert got["answers"] == [
        {"url": "wss://elsewhere:8443/prefix/view/x", "seconds": 0},
        {"url": "ws://elsewhere:81/view/x", "seconds": 0},
        {"url": "ws://a/view/x", "seconds": 0},
        {"url": "ws://a/view/x", "seconds": 0},
        {"again": 1},
    ]
    assert got["asked"] == ["https://c/api/sessions/x"]


def test_predictions_are_sent_as_json(modules: Page) -> None:
    got = run(
        modules,
        CONNECTION
        + """const connection = make({});
        const before = connection.predict({ packet_id: 1, vx: 0, vy: 1 });
        opened[0].readyState = 1;
        const after = connection.predict({ packet_id: 1, vx: 0, vy: 1 });
        return { before, after, sent: JSON.parse(opened[0].sent) };""",
    )
    assert (got["before"], got["after"]) == (False, True)
    assert got["sent"] == {"type": "prediction", "data": {"packet_id": 1, "vx": 0, "vy": 1}}


RING = """
const { ColumnRing, FLAG } = await import("/core/ring.js");
const { decodeMessagePack } = await import("/phantomlink-client.js");
const messages = value.map((text) => decodeMessagePack(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer));
const columns = (ring) => { const all = []; for (let c = ring.start; c < ring.end; c += 1) all.push(c); return all; };
"""


def encoded(*packets: Any, bins: int = 1, lost: tuple[int, ...] = (), gap: int = 0) -> list[str]:
    builder = ColumnBuilder(bins, slice(0, 3))
    for each in packets:
        if each.packet_id in lost:
            builder.take_lost(each)
        else:
            builder.take(each, 1.0)
    builder.finish_run()
    records = [columns_record(each) for each in builder.finished()]
    if gap:
        records[0]["gap"] = gap
    return [base64.b64encode(packed(record)).decode() for record in records]


def test_the_ring_holds_what_was_sent_and_says_what_is_between(modules: Page) -> None:
    messages = [
        *encoded(*(packet(i) for i in range(3))),
        *encoded(*(packet(i) for i in range(3, 6)), lost=(4,)),
        *encoded(packet(90, 6), packet(91, 7, perturbation="x")),
        *encoded(packet(92, 8, perturbation="x"), gap=2),
    ]
    got = run(
        modules,
        RING
        + """const ring = new ColumnRing(3, 1, 100);
        for (const message of messages) ring.push(message);
        return columns(ring).map((c) => [ring.packets[ring.slot(c)], [...ring.countsOf(c)], ring.flags[ring.slot(c)]]);""",
        messages,
    )
    assert [each[0] for each in got] == [0, 1, 2, 3, 4, 5, 90, 91, -1, -1, 92]
    assert got[3][1] == [3, 1, 255]
    assert got[4][1] == [0, 0, 0]
    flags = [each[2] for each in got]
    # The first column, the seek and what follows a gap do not follow anything.
    assert flags == [1, 0, 0, 0, 4 | 64, 0, 1, 8, 2, 2, 8 | 1]


def test_packets_lost_on_purpose_end_no_trial(modules: Page) -> None:
    messages = [
        # Trial 0 is 0 to 7, trial 1 begins with 10.
        *encoded(*(packet(i) for i in range(13)), lost=(4, 7, 9)),
        *encoded(packet(90, 13), lost=(90,)),
    ]
    got = run(
        modules,
        RING
        + """const { Annotations } = await import("/core/annotations.js");
        const { decodedPath } = await import("/core/decoded-path.js");
        const { livePsth } = await import("/core/psth.js");
        const ring = new ColumnRing(3, 1, 100);
        for (const message of messages) ring.push(message);
        const notes = new Annotations();
        notes.extend(ring, ring.start, ring.end, new Map(), 0.025);
        const said = new Float32Array(200).fill(1);
        return {
          trials: columns(ring).map((c) => ring.trials[ring.slot(c)]),
          spans: notes.trials.map(({ from, to, trial }) => [from, to, trial]),
          edges: notes.edges, told: [ring.lastTold(7), ring.lastTold(8)],
          steps: decodedPath(ring, said, 8, 0.025).length,
          rates: livePsth(ring, 0, new Map([[0, 4]]), 0.025, 2).rates,
        };""",
        messages,
    )
    assert got["trials"] == [0] * 8 + [-1] * 2 + [1] * 3 + [-1]
    assert got["spans"] == [[0, 8, 0], [10, 13, 1]]
    assert got["edges"] == [8, 10, 13]
    assert got["told"] == [6, 8]
    assert got["steps"] == 8
    # What nobody was told is no rate of 0.
    assert got["rates"] == [2 / 0.025, 3 / 0.025, None, 5 / 0.025]


def test_figures_are_of_the_last_frames(modules: Page) -> None:
    got = run(
        modules,
        """const { FrameFigures } = await import("/core/frame-figures.js");
        const figures = new FrameFigures();
        const before = figures.read();
        const now = performance.now();
        for (let i = 0; i < 700; i += 1) {
          if (i % 2) figures.arrived((performance.timeOrigin + now - i) / 1000);
          figures.drew(now - 8e6 + i * 1e4, now - 8e6 + i * 1e4 + i);
        }
        figures.drew(now, now + 1000);
        const { began_ms, draws_ms } = figures.frames();
        return { before, after: figures.read(), began: began_ms.length, draws: draws_ms.sort((a, b) => a - b) };""",
    )
    nothing = {"p50": None, "p99": None, "n": 0}
    assert got["before"] == {"fps": 0, "draw_ms": nothing, "stamp_to_pixel_ms": nothing}
    assert got["began"] == 600
    np.testing.assert_allclose(got["draws"], [*range(101, 700), 1000], atol=1)
    draw = got["after"]["draw_ms"]
    assert (draw["p50"], draw["p99"]) == (pytest.approx(401, abs=1), pytest.approx(695, abs=1))
    assert (draw["n"], got["after"]["stamp_to_pixel_ms"]["n"]) == (600, 350)
    # Whatever the machine does between the last frame and the question.
    assert got["after"]["fps"] <= 1


def test_a_decoded_cursor_outside_of_the_picture_stands_at_its_edge(modules: Page) -> None:
    got = run(
        modules,
        """const { partInside } = await import("/core/decoded-path.js");
        const ends = [[90, 10], [140, 50], [50, -45], [-350, 450], [50, 50]];
        return ends.map((end) => partInside([50, 50], end, [100, 100], 10));""",
    )
    # Of ways of 40, 90, 95, 400 along an axis there is room for 40.
    assert got == [1, 40 / 90, 40 / 95, 40 / 400, 1]


def test_numbers_are_written_as_people_read_them(modules: Page) -> None:
    got = run(
        modules,
        """const { number } = await import("/core/format.js");
        return [number(-0.04, 1), number(-0.06, 1), number(1234.5, 2), number(null), number(NaN)];""",
    )
    assert got == ["0", "-0.1", "1,234.5", "\N{EN DASH}", "\N{EN DASH}"]


def test_columns_that_were_summed_are_spread_so_that_sums_stay(modules: Page) -> None:
    builder = ColumnBuilder(1, slice(0, 3))
    for i in range(4):
        builder.take(packet(i), 1.0)
    (columns,) = builder.finished()
    from phantomlink.outputs.view.merging import shortened  # noqa: PLC0415

    (merged,) = shortened([columns], most=2).columns
    message = base64.b64encode(packed(columns_record(merged))).decode()
    got = run(
        modules,
        RING
        + """const ring = new ColumnRing(3, 1, 100);
        ring.push(messages[0]);
        return columns(ring).map((c) => [ring.packets[ring.slot(c)], [...ring.countsOf(c)], ring.flags[ring.slot(c)]]);""",
        [message],
    )
    assert [each[0] for each in got] == [0, 1, 2, 3]
    assert np.array([each[1] for each in got]).sum(axis=0)[:2].tolist() == [6, 4]
    assert all(each[2] & 16 for each in got)


def test_the_ring_forgets_the_oldest_and_drops_what_it_stands_on(modules: Page) -> None:
    messages = encoded(*(packet(i) for i in range(100)))
    standing = encoded(packet(50, 100))
    got = run(
        modules,
        RING
        + """const ring = new ColumnRing(3, 1, 64);
        ring.push(messages[0]);
        const first = [ring.start, ring.end, ring.packets[ring.slot(ring.start)]];
        ring.pushStanding(messages[1]);
        const stood = [ring.end, ring.packets[ring.slot(ring.end - 1)]];
        ring.push(messages[1]);
        return { first, stood, end: ring.end, found: [ring.find(50), ring.find(99), ring.find(3)] };""",
        [*messages, *standing],
    )
    assert got["first"] == [36, 100, 36]
    assert got["stood"] == [101, 50]
    assert got["end"] == 101
    assert got["found"] == [100, 99, -1]


def test_colours_tell_counts_apart_up_to_the_maximum(modules: Page) -> None:
    got = run(
        modules,
        """const { colourTable, scaleMaximum } = await import("/core/palette.js");
        return ["dark", "light"].flatMap((theme) => [4, 8, 16, 32, 64, 128, 255].map((most) => {
          const table = colourTable(theme, most);
          return [most, new Set(table.subarray(0, most + 1)).size, new Set(table.subarray(most)).size, scaleMaximum(most)];
        }));""",
    )
    for most, n_below, n_above, maximum in got:
        assert (n_above, maximum) == (1, most)
        # Of the largest scale some neighbours share a colour: there are not so many to be seen.
        assert n_below == most + 1 or (most == 255 and n_below > 230)


def test_addresses_hold_what_is_shown(modules: Page) -> None:
    got = run(
        modules,
        """const { readAddress, changedAddress, takeToken } = await import("/core/url-state.js");
        return {
          live: readAddress("http://a/prefix/s/my%2Dcode?at=12&window=30&reach_id=3&units=10&sort=rate&theme=light"),
          odd: readAddress("http://a/s/x?at=-1&window=7&sort=?&theme=blue&trial_id=x"),
          screens: ["http://a/", "http://a/timing", "http://a/p/datasets", "http://a/decoders"].map((each) => readAddress(each).screen),
          changed: changedAddress("http://a/s/x?at=1&window=5", { window: null, units: "a b" }),
          token: takeToken("http://a/s/x?at=1#token=t%2B1"), none: takeToken("http://a/#other"),
        };""",
    )
    assert got["live"] == {
        "screen": "live", "code": "my-code", "at": 12, "window": 30, "filter": {"reach_id": 3},
        "search": "10", "sort": "rate", "theme": "light",
    }  # fmt: skip
    assert got["odd"] == {
        "screen": "live", "code": "x", "at": None, "window": 10, "filter": {},
        "search": "", "sort": "id", "theme": None,
    }  # fmt: skip
    assert got["screens"] == ["sessions", "timing", "datasets", "decoders"]
    assert got["changed"] == "http://a/s/x?at=1&units=a+b"
    assert got["token"] == {"token": "t+1", "href": "http://a/s/x?at=1"}
    assert got["none"]["token"] is None


def test_units_are_found_and_sorted(modules: Page) -> None:
    got = run(
        modules,
        """const { orderedUnits } = await import("/core/units.js");
        const ids = [11, 21, 105, 1011];
        const summary = { rates: [1, 4, 2, 4], directions: [0, -1, 2, 1] };
        return ["", "11", "100-1100", "11, 105"].map((each) => orderedUnits(ids, "id", each, summary))
          .concat([orderedUnits(ids, "rate", "", summary), orderedUnits(ids, "direction", "", summary)]);""",
    )
    assert got == [[0, 1, 2, 3], [0, 3], [2, 3], [0, 2, 3], [1, 3, 2, 0], [1, 0, 3, 2]]


def test_the_time_machine_stays_inside_and_loops(modules: Page) -> None:
    got = run(
        modules,
        """const { TimeMachine } = await import("/core/time-machine.js");
        const machine = new TimeMachine(); const ring = { start: 10, end: 100 };
        const seen = [machine.advance(ring, 1, 40)];
        machine.freeze(100); ring.end = 200;
        seen.push(machine.advance(ring, 1, 40));
        machine.move(ring, -30); seen.push(machine.advance(ring, 1, 40));
        machine.move(ring, -1000); seen.push(machine.advance(ring, 1, 40));
        machine.rate = 2; seen.push(machine.advance(ring, 0.5, 40));
        machine.loop = [20, 60]; machine.end = 55; seen.push(machine.advance(ring, 0.25, 40));
        machine.loop = null; machine.end = 190; seen.push(machine.advance(ring, 10, 40)); seen.push(machine.rate);
        machine.live(); seen.push(machine.advance(ring, 1, 40));
        return seen;""",
    )
    assert got == [100, 100, 70, 11, 51, 35, 200, 0, 200]


def test_sliders_are_made_of_the_schema(modules: Page) -> None:
    from phantomlink.perturbation.parse import parse_among  # noqa: PLC0415
    from phantomlink.rest.all_routes import ROUTES  # noqa: PLC0415
    from phantomlink.rest.openapi import openapi_document  # noqa: PLC0415

    got = run(
        modules,
        """const form = await import("/core/perturbation-form.js");
        const schema = form.perturbationSchema(value);
        const kinds = form.transformKinds(schema);
        const fields = kinds.flatMap((kind) => form.fieldsOf(kind).filter((field) => !field.isList));
        return {
          names: kinds.map((kind) => kind.title),
          made: kinds.map((kind) => form.newTransform(kind)),
          inside: fields.every((field) => [0, 1, 250, 999, 1000].every((at) => {
            const v = form.valueAt(field, at);
            return v >= field.minimum && v <= field.maximum * 1.001 && Math.abs(form.positionOf(field, v) - at) <= 60;
          })),
          odd: fields.filter((field) => [0, 250, 1000].some((at) => {
            const v = form.valueAt(field, at);
            return !(v >= field.minimum && v <= field.maximum * 1.001);
          })).map((field) => field.name),
          presets: form.presetNames(schema),
        };""",
        json.loads(json.dumps(openapi_document(ROUTES))),
    )
    assert "gaussian_noise" in got["names"]
    assert "next_day" in got["presets"]
    assert got["odd"] == []
    for made in got["made"]:
        parse_among({"transforms": [made]}, "perturbation", {})

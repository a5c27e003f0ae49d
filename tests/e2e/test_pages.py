"""The code blocks of the pages do what the pages say: they are run."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.blocks import ROOT, Block, blocks, foreign_names, run_block

PAGES = (ROOT / "README.md", ROOT / "docs/guide/clients.md", ROOT / "docs/guide/decoders.md")
ONE_LANGUAGE_PAGES = (
    ROOT / "docs/start.md",
    ROOT / "docs/guide/beginners.md",
    ROOT / "docs/guide/browser.md",
    ROOT / "docs/guide/captures.md",
    ROOT / "docs/guide/classroom.md",
    ROOT / "docs/guide/python-client.md",
    ROOT / "docs/explanation/determinism.md",
    ROOT / "docs/reference/messages.md",
    ROOT / "docs/reference/from-the-original.md",
)
BLOCKS = {
    block.name: block
    for page in PAGES + ONE_LANGUAGE_PAGES
    for block in blocks(page)
    # A module for `phantomlink score`, with which test_decoders_page.py runs it.
    if "class LeastSquares" not in block.code
}
JAVASCRIPT = [name for name, block in BLOCKS.items() if block.language == "javascript"]
PYTHON = [name for name, block in BLOCKS.items() if block.language == "python"]
RUN = PYTHON + JAVASCRIPT


@pytest.fixture(scope="module")
def outcomes(maze_server, tmp_path_factory):
    def run(name):
        return run_block(BLOCKS[name], maze_server.address, tmp_path_factory.mktemp("block"))

    # At once: they mostly wait for packets.
    with ThreadPoolExecutor(len(RUN)) as pool:
        return dict(zip(RUN, pool.map(run, RUN), strict=True))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_shows_a_client_in_both_languages(page):
    assert {block.language for block in blocks(page)} == {"python", "javascript"}


@pytest.mark.parametrize("name", RUN)
def test_a_block_runs(name, outcomes, maze_server):
    outcome = outcomes[name]
    assert outcome.returncode in (0, None), f"{outcome.stderr}\nthe server:\n{maze_server.log}"
    assert outcome.stdout.strip(), f"it says nothing; on stderr: {outcome.stderr}"
    assert "rror" not in outcome.stderr


def test_the_first_client_receives_packets(outcomes, maze_server):
    (first, *_) = (name for name in PYTHON if name.startswith("docs/guide/clients"))
    lines = outcomes[first].stdout.splitlines()
    assert lines[0] == "maze 142 channels 40 Hz"
    assert len(lines) == 41
    maze_server.check_no_gap("first", [int(line.split()[0]) for line in lines[1:]])


@pytest.mark.parametrize("name", JAVASCRIPT)
def test_javascript_asks_for_what_the_contract_has(name):
    assert foreign_names(BLOCKS[name].code) == set()


def test_a_name_that_the_contract_lacks_is_found():
    code = "const packet = message.data; packet.spikes.counts.map(f); message.payload; a.trial_no;"
    assert foreign_names(code) == {"counts", "payload", "trial_no"}


def test_a_block_that_fails_is_seen(maze_server, tmp_path):
    block = Block("here", "python", "print('127.0.0.1:8000')\nraise SystemExit(3)\n")
    outcome = run_block(block, maze_server.address, tmp_path)
    assert outcome.returncode == 3
    assert outcome.stdout.strip() == maze_server.address


# As the original's README has it, but for the URL's end, and with an end of its own.
ORIGINAL = """
import asyncio, json, urllib.request, websockets

def post(path, body):
    url, kind = "http://127.0.0.1:8000" + path, {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), kind)
    return json.load(urllib.request.urlopen(request))

async def main():
    session = post("/api/sessions/create", {"custom_code": "validation-run1"})
    n = 0
    async with websockets.connect(session["stream_url"] + "?format=json") as ws:
        async for message in ws:
            packet = json.loads(message)["data"]
            if packet["trial_id"] is None:
                continue
            actual = (packet["intention"]["target_x"], packet["intention"]["target_y"])
            print(sum(packet["spikes"]["spike_counts"]), actual[0] - 1.0, actual[1] - 1.0)
            n += 1
            if n == 20:
                return

asyncio.run(main())
"""


def test_a_client_of_the_original_goes_on_with_json_asked_for(maze_server, tmp_path):
    outcome = run_block(Block("the original", "python", ORIGINAL), maze_server.address, tmp_path)
    assert outcome.returncode == 0, outcome.stderr
    assert len(outcome.stdout.splitlines()) == 20

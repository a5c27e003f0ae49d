"""The shell lines of how-to pages, run as they stand: of each page, in their order.

Installing is not done again: that the extras exist, and that programs are there, is looked at.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path

import pytest

from phantomlink import __version__
from phantomlink.cli.arguments import make_parser
from tests.blocks import ROOT, node_command
from tests.servers import live_server
from tests.unit.test_docs import PAGES

PROGRAMS = Path(sys.executable).parent
FENCE = re.compile(r"^```(?:sh|powershell)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def shell_lines(page):
    """Every line of a page's shell blocks; one that ends in a backslash goes on."""
    text = "\n".join(FENCE.findall(page.read_text(encoding="utf-8")))
    return [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def run_shell(line, folder, environment=None):
    variables = {"PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(
        ["sh", "-euc", line],
        cwd=folder,
        env=os.environ | variables | dict(environment or {}),
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )


# --- every page


def programs_of(line):
    """The arguments of each `phantomlink ...` of a line."""
    words = shlex.shlex(line, posix=True, punctuation_chars=";|&<>")
    words.whitespace_split = True
    command = []
    for word in [*words, ";"]:
        if set(word) <= set(";|&<>"):
            if command and re.split(r"[/\\]", command[0])[-1] == "phantomlink":
                yield command[1:]
            command = []
        elif command or not re.match(r"\w+=", word):
            command.append(word)


COMMANDS = [
    (str(page.relative_to(ROOT)), arguments)
    for page in PAGES
    for line in shell_lines(page)
    if "..." not in line
    for arguments in programs_of(line)
]


@pytest.mark.parametrize(
    ("page", "arguments"), COMMANDS, ids=[f"{p}:{' '.join(a)}" for p, a in COMMANDS]
)
def test_a_command_of_a_page_is_taken(page, arguments):
    make_parser()[0].parse_args(arguments)


def test_every_extra_that_a_page_installs_is_one():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    known = set(extras["optional-dependencies"])
    named = {
        name
        for page in PAGES
        for wanted in re.findall(
            r"pip install [^`\n]*?(?:phantomlink|\.|\.whl)\[([\w,]+)\]",
            page.read_text(encoding="utf-8"),
        )
        for name in wanted.split(",")
    }
    assert named >= {"client", "testing", "notebook"}
    assert named <= known


def test_no_line_installs_phantomlink_from_an_index():
    """It is on none: a bare name only adds an extra to what is installed, and CI has a wheel."""
    folders = ("docs", "examples", "notebooks", "data", "phantomlink")
    kinds = {".md", ".py", ".ipynb", ".yml", ".js", ".m", ".cpp", ".html"}
    files = [path for name in folders for path in (ROOT / name).rglob("*") if path.suffix in kinds]
    lines = {
        (str(path.relative_to(ROOT)), line)
        for path in [*files, *PAGES]
        for line in re.findall(r"pip install .*phantomlink.*", path.read_text(encoding="utf-8"))
    }
    assert len(lines) > 15
    bare = re.compile(r"(?<![\w./])phantomlink(?!\[|-)\b")
    assert {each for each in lines if bare.search(each[1])} == set()
    workflows = [line for name, line in lines if name.startswith("examples/ci/")]
    assert len(workflows) >= 3
    assert {line for line in workflows if "./wheels/phantomlink-" not in line} == set()


# --- docs/guide/classroom.md


def test_a_class_gets_its_token_and_its_variables(maze_recording, tmp_path):
    umask, make_token, serve, install, *exports = shell_lines(ROOT / "docs/guide/classroom.md")
    wheel = f"phantomlink-{__version__}-py3-none-any.whl"
    assert install == f"pip install './{wheel}[notebook]'"
    assert wheel in (ROOT / "docs/start.md").read_text(encoding="utf-8")
    run_shell(f"{umask}\n{make_token}", tmp_path)
    assert (tmp_path / "token.txt").stat().st_mode & 0o077 == 0
    token = (tmp_path / "token.txt").read_text().strip()

    arguments = make_parser()[0].parse_args(shlex.split(serve)[1:])
    # As given, but on loopback: a test opens no port to the network.
    environment = {
        "PHANTOM_API_TOKEN_FILE": str(tmp_path / arguments.api_token_file),
        "PHANTOM_MAX_SESSIONS": str(arguments.max_sessions),
    }
    assert (arguments.host, arguments.lsl_enabled) == ("0.0.0.0", "false")
    with live_server(maze_recording, env=environment) as server:
        typed = "\n".join(exports).replace("ADDRESS:8000", server.address)
        client = (
            "from phantomlink.client import Session, connect\n"
            'with connect(session="ada-lovelace") as stream: print(stream.receive().packet_id)\n'
            'print(len(Session("ada-lovelace").trials()))'
        )
        program = f"{typed.replace('THE-TOKEN', token)}\npython3 -c {shlex.quote(client)}"
        printed = run_shell(program, tmp_path).stdout.splitlines()
        assert printed[1] == "60"
        with urllib.request.urlopen(f"{server.http}/livez") as answer:
            assert answer.status == 200


# --- docs/guide/browser.md


def test_a_page_of_an_allowed_origin_and_no_other_gets_in(maze_recording):
    (serve,) = [
        line for line in shell_lines(ROOT / "docs/guide/browser.md") if "phantomlink serve" in line
    ]
    origins = make_parser()[0].parse_args(shlex.split(serve)[1:]).allowed_origins
    with live_server(maze_recording, env={"PHANTOM_ALLOWED_ORIGINS": origins}) as server:
        for origin, expected in ((origins, origins), ("https://other.example", None)):
            asked = urllib.request.Request(f"{server.http}/health", headers={"Origin": origin})
            with urllib.request.urlopen(asked) as answer:
                assert answer.headers["Access-Control-Allow-Origin"] == expected


def test_the_module_is_saved_and_imported_by_a_program(maze_server, tmp_path):
    for line in shell_lines(ROOT / "docs/guide/browser.md"):
        if line.startswith("curl"):
            run_shell(line.replace("127.0.0.1:8000", maze_server.address), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        *("phantomlink-client.js", "phantomlink-client.d.ts")
    }
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "main.js").write_text(
        f"""
        import {{ connectStream, spikeCounts }} from "./phantomlink-client.js";
        const seen = [];
        const connection = connectStream("{maze_server.http}", "saved-module", {{
          subprotocols: ["phantomlink.v2.msgpack"],
          onMessage: ({{ type, data }}) => {{
            if (type !== "data") return;
            seen.push([data.packet_id, spikeCounts(data.spikes).length]);
            if (seen.length < 5) return;
            connection.close();
            console.log(JSON.stringify(seen));
          }},
        }});
        """
    )
    done = subprocess.run(
        [node_command(), "main.js"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    seen = json.loads(done.stdout)
    first = seen[0][0]
    assert seen == [[packet_id, 142] for packet_id in range(first, first + 5)]


def test_what_the_page_asks_of_the_module_is_typed():
    """TypeScript itself is no package of Python's: it was run by hand (--strict)."""
    page = (ROOT / "docs/guide/browser.md").read_text(encoding="utf-8")
    types = (ROOT / "phantomlink/web/static/phantomlink-client.d.ts").read_text(encoding="utf-8")
    (union,) = re.findall(r"export type Status =(.*?});\n\n", types, re.DOTALL)
    states = re.findall(r"\{ state: .*?\}", union)
    assert len(states) == 4
    asked = set(re.findall(r"\bstatus\.(\w+)", page))
    assert asked == {"state", "meaning"}
    assert [each for each in states if not all(name in each for name in asked)] == []
    (counts,) = re.findall(r"export interface SpikeCounts [^{]*\{(.*?)\n\}", types, re.DOTALL)
    called = set(re.findall(r"spikeCounts\(data\.spikes\)\.(\w+)", page))
    assert called
    assert all(re.search(rf"\b{name}\b", counts) for name in called)
    imported = set(re.findall(r"\b(connect\w+|spikeCounts)\(", page))
    assert all(f"export function {name}(" in types for name in imported)


# --- docs/guide/ci.md


def test_what_github_runs_is_there_and_uses_what_the_page_says():
    page = (ROOT / "docs/guide/ci.md").read_text(encoding="utf-8")
    workflow = (ROOT / "examples/ci/github-actions.yml").read_text(encoding="utf-8")
    (shown,) = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert shown in workflow
    (install,) = shell_lines(ROOT / "docs/guide/ci.md")
    assert f"- run: {install}\n" in workflow

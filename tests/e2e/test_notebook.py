"""The notebook runs from its first cell to its last, in a kernel with a loop of its own."""

import os
import re

import nbformat
import pytest
from nbclient import NotebookClient

from tests.blocks import ROOT

NOTEBOOK = ROOT / "notebooks/first_decoder.ipynb"


@pytest.fixture
def environment(tmp_path):
    """Variables of a kernel that keeps what it writes to itself."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PHANTOM_")}
    folders = ("JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "MPLCONFIGDIR", "XDG_CACHE_HOME")
    return kept | {name: str(tmp_path / name) for name in folders}


def run_cells(cells, environment, folder):
    """Run cells in a new kernel; answers the text that each of them printed."""
    notebook = nbformat.v4.new_notebook(cells=cells)
    resources = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources)
    client.execute(env=environment)
    return ["".join(output.get("text", "") for output in cell.outputs) for cell in cells]


def code_cells():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_it_runs_and_decodes(maze_server, environment, tmp_path):
    cells = code_cells()
    printed = run_cells(cells, environment | {"PHANTOM_URL": maze_server.http}, tmp_path)
    assert printed[0] == f"the server is at {maze_server.http}\n"
    scores = {
        name: float(score)
        for text in printed
        for name, score in re.findall(r"^R2 of velocity, (.*): (-?[\d.]+)$", text, re.MULTILINE)
    }
    clean, *perturbed = scores.values()
    assert clean > 0.35
    assert len(perturbed) == 3
    assert all(score < clean for score in perturbed)
    told = re.findall(
        r"^(trials|movement): R2 (\S+) over (\d+) bins$", "".join(printed), re.MULTILINE
    )
    assert [window for window, _, _ in told] == ["trials", "movement"]
    assert all(float(score) > 0.35 and int(n) > 100 for _, score, n in told)
    (coverage,) = re.findall(
        r"^coverage (\S+), median latency \S+ ms$", "".join(printed), re.MULTILINE
    )
    assert float(coverage) > 0.9
    pictures = [
        output for cell in cells for output in cell.outputs if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 2


def test_without_a_server_it_starts_one_of_its_own(environment, tmp_path):
    first, *_, last = code_cells()
    asked = nbformat.v4.new_code_cell("print(Session.create(url=url).position()['total_packets'])")
    printed = run_cells([first, asked, last], environment, tmp_path)
    assert re.fullmatch(r"the server is at http://127\.0\.0\.1:\d+\n", printed[0])
    assert printed[1] == "11777\n"


def test_it_is_kept_without_what_it_printed():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert [
        cell.outputs for cell in notebook.cells if cell.cell_type == "code" and cell.outputs
    ] == []
    assert {cell.get("execution_count") for cell in notebook.cells} == {None}

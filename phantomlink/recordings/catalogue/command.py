"""`phantomlink datasets`: which datasets there are, and which could be fetched."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from phantomlink.errors import PhantomLinkError
from phantomlink.files.shown import shown
from phantomlink.recordings.catalogue.card import card_of
from phantomlink.recordings.catalogue.datasets import Dataset, find_datasets
from phantomlink.recordings.catalogue.facts import FactsCache
from phantomlink.recordings.catalogue.readers import Readers, describe
from phantomlink.recordings.identity import FileIdentity


def run_datasets(data_dir: Path, *, as_json: bool = False, opens: bool = True) -> int:
    """Print a table of datasets, or their cards.

    Args:
        data_dir: where recordings are.
        as_json: print the cards.
        opens: open files that were not opened before, each in a child process.

    Returns:
        Exit code: 0, or 2 after one line on stderr.
    """
    try:
        found = find_datasets(data_dir)
    except PhantomLinkError as error:
        sys.stderr.write(f"phantomlink: {error}\n")
        return 2
    cache = FactsCache()
    with closing(Readers()) as readers:
        cards = [
            local_card(dataset, cache, readers if opens else None) for dataset in found.values()
        ]
    if as_json:
        sys.stdout.write(json.dumps(cards, indent=2) + "\n")
    else:
        _print(cards, data_dir)
    return 0


def local_card(dataset: Dataset, cache: FactsCache, readers: Readers | None) -> dict[str, Any]:
    """The card of a dataset where no server runs.

    Args:
        dataset: of which.
        cache: of facts.
        readers: that open a file that was not opened before; None: it is not opened.
    """
    if dataset.path is None:
        return card_of(dataset, None, state="listed", reason=dataset.problem)
    if dataset.problem is not None:
        return card_of(dataset, None, state="broken", reason=dataset.problem)
    if dataset.is_to_make:
        return card_of(dataset, None, state="available", reason="is made when it is first played")
    try:
        size = FileIdentity.of(dataset.path).size
        facts = (
            describe(dataset.path, dataset.options, cache, readers)
            if readers is not None
            else cache.get(dataset.path, dataset.options)
        )
    except (OSError, PhantomLinkError) as error:
        return card_of(dataset, None, state="broken", reason=str(error))
    return card_of(dataset, facts, state="available", size=size)


def _print(cards: list[dict[str, Any]], data_dir: Path) -> None:
    from rich import box  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(highlight=False, emoji=False)
    if not console.is_terminal:
        console = Console(width=140, highlight=False, emoji=False, no_color=True)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("name", "title", "state", "size", "units", "seconds", "trials", "licence"):
        table.add_column(heading, overflow="fold")
    for card in cards:
        ours = card["phantomlink"]
        cells = (
            ours["name"],
            ours["title"],
            ours["state"],
            _size(card["contentSize"]),
            ours["num_channels"],
            None if ours["duration_seconds"] is None else f"{ours['duration_seconds']:.0f}",
            ours["num_trials"],
            card["license"],
        )
        table.add_row(*(Text("-" if cell is None else shown(str(cell))) for cell in cells))
    console.print(table)
    for card in cards:
        if card["phantomlink"]["reason"]:
            line = f"{card['phantomlink']['name']}: {card['phantomlink']['reason']}"
            console.print(Text(shown(line, 600)), soft_wrap=True)
    console.print(
        Text(
            f"Play one: phantomlink serve NAME; get a listed one: phantomlink fetch NAME "
            f"(into {data_dir})"
        ),
        soft_wrap=True,
    )


def _size(size: int | None) -> str | None:
    return None if size is None else f"{size / 1e6:.1f} MB"

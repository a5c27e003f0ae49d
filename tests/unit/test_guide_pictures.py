"""The pictures of the beginner's guide are those that tools/guide_pictures.py draws."""

import re
import sys

from tests.unit.test_docs import ROOT, text_of
from tools import guide_pictures


def test_every_picture_of_the_guide_is_drawn_and_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["guide_pictures.py", "--out", str(tmp_path)])
    guide_pictures.main()
    drawn = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    shown = set(re.findall(r"images/(guide-\S+\.png)", text_of("docs/guide/beginners.md")))
    kept = {path.name for path in (ROOT / "docs/images").glob("guide-*")}
    assert set(drawn) == shown == kept
    assert all(
        picture.startswith(b"\x89PNG") and len(picture) > 10_000 for picture in drawn.values()
    )

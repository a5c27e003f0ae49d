"""What an NWB file says about itself."""

from __future__ import annotations

from phantomlink.errors import RecordingError
from phantomlink.files.shown import cut
from phantomlink.recordings.contents import RecordingInfo
from phantomlink.recordings.nwb.hdf5 import HDF5_ERRORS, one_line, text
from phantomlink.recordings.nwb.tree import NwbTree

_MAX_KEYWORDS = 200


def read_info(tree: NwbTree) -> RecordingInfo:
    """What the file says about itself; each item that cannot be read is empty, and noted."""
    words = _keywords(tree)
    identifier = _said(tree, "identifier")
    subject = _said(tree, "general/subject/subject_id")
    # Not the description: that of a genuine recording may speak of synthetic stimuli.
    telling = (identifier, subject, *words)
    return RecordingInfo(
        identifier=identifier,
        session_description=_said(tree, "session_description"),
        session_id=_said(tree, "general/session_id"),
        subject=subject,
        species=_said(tree, "general/subject/species"),
        lab=_said(tree, "general/lab"),
        institution=_said(tree, "general/institution"),
        session_start_time=_said(tree, "session_start_time"),
        nwb_version=cut(text(tree.file.attrs.get("nwb_version", ""))),
        keywords=words,
        is_synthetic=any("synthetic" in told.lower() for told in telling),
    )


def _said(tree: NwbTree, path: str) -> str:
    item = tree.dataset(path)
    if item is None:
        return ""
    try:
        return cut(text(item))
    except (*HDF5_ERRORS, RecordingError) as error:
        tree.anomalies.add(path, f"cannot be read: {one_line(error)}")
        return ""


def _keywords(tree: NwbTree) -> tuple[str, ...]:
    item = tree.dataset("general/keywords")
    if item is None or item.size is None:
        return ()
    try:
        stored = item[()] if item.ndim == 0 else item[:_MAX_KEYWORDS]
    except HDF5_ERRORS as error:
        tree.anomalies.add("general/keywords", f"cannot be read: {one_line(error)}")
        return ()
    words = [stored] if item.ndim == 0 else stored.ravel().tolist()
    return tuple(cut(text(word), 200) for word in words)

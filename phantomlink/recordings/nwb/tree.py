"""The groups and datasets of a file, by path, such that none leads out of the file unseen.

HDF5 follows a link to another file, a virtual dataset's sources and raw data in other files by
itself: whoever writes a recording could have any file of this machine shown. So links are walked
one by one here (`in`, `visititems` and `[]` of h5py follow them) and each dataset is looked at
before it is handed out. Raw data in other files are never read. Links to other files and virtual
sources are followed only where the operator allows it, to regular files inside the recording's
own folder, one level deep.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import h5py

from phantomlink.errors import RecordingError
from phantomlink.recordings.anomalies import AnomalyList, Severity
from phantomlink.recordings.nwb.filters import missing_filter
from phantomlink.recordings.nwb.hdf5 import HDF5_ERRORS, Unchanged, neurodata_type, one_line
from phantomlink.recordings.nwb.linked_files import LinkedFileError, LinkedFiles
from phantomlink.settings import EXTERNAL_LINKS

Node: TypeAlias = "h5py.Group | h5py.Dataset"

_MAX_LINKS = 16
_MAX_DEPTH = 10
_ALLOW = "to read files of the recording's own folder too"
_OPTION = (("external-links", "folder"),)


class NwbTree:
    """An open NWB file.

    Args:
        file: open.
        path: of it.
        follow: whether links to other files of its folder are followed.

    Attributes:
        file: the open file.
        path: of it.
        anomalies: what has been noticed, here and by those who read the tree.
    """

    def __init__(self, file: h5py.File, path: Path, *, follow: bool) -> None:
        self.file = file
        self.path = path
        self.anomalies = AnomalyList()
        self._unchanged = Unchanged(file)
        self._linked = LinkedFiles(path, follow=follow)
        # To walk to one from the root costs a millisecond, and each is asked for several times.
        self._groups: dict[str, h5py.Group] = {}

    @property
    def unchanged(self) -> Unchanged:
        """The watch over the file itself."""
        return self._unchanged

    @property
    def linked_paths(self) -> tuple[Path, ...]:
        """Other files that are open because something in this one links to them."""
        return self._linked.paths

    def group(self, path: str) -> h5py.Group | None:
        """The group at a path; None where there is none that may be read."""
        known = self._groups.get(path)
        if known is not None:
            return known
        node = self.node(path)
        if not isinstance(node, h5py.Group):
            return None
        self._groups[path] = node
        return node

    def dataset(self, path: str) -> h5py.Dataset | None:
        """The dataset at a path; None where there is none that may and can be read."""
        node = self.node(path)
        return node if isinstance(node, h5py.Dataset) else None

    def node(self, path: str) -> Node | None:
        """The group or dataset at a path; what may not be read is noted as an anomaly."""
        parent, _, name = path.rpartition("/")
        known = self._groups.get(parent)
        if known is None:
            found = self._walk(self.file, path, path, 0)
        else:
            found = self._walk(known, name, path, 0)
        if isinstance(found, h5py.Dataset):
            return self._vetted(found, path, 0)
        return found

    def kind(self, path: str) -> str:
        """The NWB type of what is at a path; empty where it says none."""
        node = self._groups.get(path) or self.node(path)
        return "" if node is None else neurodata_type(node)

    def names(self, path: str) -> list[str]:
        """Names of the members of a group, without following any link."""
        group = self.group(path) if path else self.file
        return [] if group is None else list(group)

    def groups(self, places: tuple[str, ...]) -> Iterator[str]:
        """Paths of all groups at and below some places, each group once, in order of path."""
        waiting = [(place, 0) for place in reversed(places)]
        seen: set[tuple[int, int]] = set()
        while waiting:
            path, depth = waiting.pop()
            group = self.group(path)
            if group is None:
                continue
            info = h5py.h5o.get_info(group.id)
            address = (info.fileno, info.addr)
            if address in seen:
                continue
            seen.add(address)
            yield path
            if depth < _MAX_DEPTH:
                waiting += [(f"{path}/{name}", depth + 1) for name in reversed(list(group))]

    def check(self) -> None:
        """Whether the open files are still what they were.

        Raises:
            RecordingError: one is not.
        """
        self._unchanged.check()
        self._linked.check()

    def close(self) -> None:
        """Close the file and those it links to."""
        self._groups.clear()
        self._linked.close()
        self.file.close()

    def _walk(self, root: h5py.Group, path: str, said: str, n_links: int) -> Node | None:
        node: Node = root
        for name in path.split("/"):
            if name in {"", "."}:
                continue
            if not isinstance(node, h5py.Group):
                return None
            following = self._child(node, name, said, n_links)
            if following is None:
                return None
            node = following
        return node

    def _child(self, group: h5py.Group, name: str, said: str, n_links: int) -> Node | None:
        encoded = name.encode("utf-8", errors="surrogateescape")
        links = group.id.links
        try:
            if not links.exists(encoded):
                return None
            kind = links.get_info(encoded).type
            if kind == h5py.h5l.TYPE_HARD:
                return group[name]
            target = links.get_val(encoded) if kind in _KNOWN_LINKS else None
        except HDF5_ERRORS as error:
            self.anomalies.add(said, f"cannot be read: {one_line(error)}")
            return None
        if target is None or n_links >= _MAX_LINKS:
            what = "a link of a kind that is not read" if target is None else "a chain of links"
            self.anomalies.add(said, f"is {what}")
            return None
        if kind == h5py.h5l.TYPE_SOFT:
            found = self._soft(group, os.fsdecode(target), said, n_links)
        else:
            name_of_file, name_in_it = map(os.fsdecode, target)
            found = self._external(group, name_of_file, name_in_it, said)
        return found

    def _soft(self, group: h5py.Group, target: str, said: str, n_links: int) -> Node | None:
        root = group.file["/"]
        where = target if target.startswith("/") else f"{group.name}/{target}"
        found = self._walk(root, where, said, n_links + 1)
        if found is None:
            self.anomalies.add(
                said, f"is a link to something that is not there or not read, {where}"
            )
        return found

    def _external(self, group: h5py.Group, name: str, target: str, said: str) -> Node | None:
        if group.file.filename != self.file.filename:
            self.anomalies.add(said, f"is a link from a linked file to another, {name}")
            return None
        try:
            root = self._linked.opened(name)
        except LinkedFileError as error:
            self._refused(said, error)
            return None
        self.anomalies.add(said, f"is in another file, {name}", severity=Severity.DETAIL)
        found = self._walk(root, target, said, 1)
        if found is None:
            self.anomalies.add(said, f"is a link to {target} of {name}, which is not there")
        return found

    def _vetted(self, dataset: h5py.Dataset, said: str, depth: int) -> h5py.Dataset | None:
        """The dataset, if reading it reads nothing but what may be read."""
        try:
            layout = dataset.id.get_create_plist()
            if layout.get_external_count():
                names = ", ".join(
                    os.fsdecode(layout.get_external(i)[0])
                    for i in range(layout.get_external_count())
                )
                self.anomalies.add(
                    said,
                    f"its numbers are not in the file but raw in others ({names}), which is never "
                    "read",
                    "copy them into the file: h5repack -l CONTI recording.nwb whole.nwb",
                )
                return None
            if layout.get_layout() == h5py.h5d.VIRTUAL:
                return self._vetted_virtual(dataset, said, depth)
            missing = missing_filter(layout)
        except LinkedFileError as error:
            self._refused(said, error)
            return None
        except HDF5_ERRORS as error:
            self.anomalies.add(said, f"cannot be read: {one_line(error)}")
            return None
        if missing is not None:
            self.anomalies.add(
                said,
                f"is compressed with {missing}, which is not installed",
                "install it: pip install 'phantomlink[filters]'",
            )
            return None
        return dataset

    def _vetted_virtual(self, dataset: h5py.Dataset, said: str, depth: int) -> h5py.Dataset | None:
        for source in dataset.virtual_sources():
            if source.file_name == ".":
                found = self._walk(dataset.file["/"], source.dset_name, said, 1)
                is_fine = (
                    isinstance(found, h5py.Dataset)
                    and depth < _MAX_LINKS
                    and self._vetted(found, said, depth + 1) is not None
                )
            else:
                if dataset.file.filename != self.file.filename:
                    raise LinkedFileError("is virtual in a linked file", "")
                root = self._linked.opened(source.file_name, is_virtual=True)
                found = self._walk(root, source.dset_name, said, 1)
                is_fine = (
                    isinstance(found, h5py.Dataset)
                    and self._vetted(found, said, _MAX_LINKS) is not None
                )
                self.anomalies.add(
                    said, f"is in another file, {source.file_name}", severity=Severity.DETAIL
                )
            if not is_fine:
                self.anomalies.add(
                    said, f"is made of {source.dset_name} of {source.file_name}, which is not read"
                )
                return None
        # Without the folder as prefix HDF5 would look in the working directory first.
        access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
        access.set_virtual_prefix(os.fsencode(self._linked.folder))
        return h5py.Dataset(h5py.h5d.open(dataset.file.id, dataset.name.encode(), access))

    def _refused(self, said: str, error: LinkedFileError) -> None:
        options = _OPTION if error.may_be_allowed else ()
        self.anomalies.add(
            said, str(error), _ALLOW if error.may_be_allowed else error.remedy, options=options
        )


_KNOWN_LINKS = frozenset({h5py.h5l.TYPE_SOFT, h5py.h5l.TYPE_EXTERNAL})


def tree_of(file: h5py.File, path: Path, external_links: str) -> NwbTree:
    """The tree of an open file.

    Args:
        file: open.
        path: of it.
        external_links: `off`, or `folder` to follow links to files of its own folder.

    Raises:
        RecordingError: another value.
    """
    if external_links not in EXTERNAL_LINKS:
        raise RecordingError(f"external_links: got {external_links!r}, takes off or folder")
    return NwbTree(file, path, follow=external_links == "folder")

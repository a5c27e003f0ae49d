"""For the tests of decoders and dashboards: a server of the tests' own, with pytest or without.

The fixtures of pytest are in `phantomlink.testing.plugin`, which pytest finds by itself
(the extra `testing`). Without pytest:

    from phantomlink.testing import make_recording, running_server

    with running_server(make_recording(folder / "small.nwb")) as server:
        print(server.url)
"""

from phantomlink.testing.server import ServerError, TestServer, make_recording, running_server

__all__ = ["ServerError", "TestServer", "make_recording", "running_server"]

"""`phantomlink watch`: a client that checks a stream, whoever serves it.

It knows the contract and nothing of this server: not one module of the engine is imported here.
"""

from __future__ import annotations

from phantomlink.watch.command import run_watch

__all__ = ["run_watch"]

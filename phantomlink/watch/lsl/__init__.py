"""`phantomlink lsl-watch`: inlets that check what a session sends over Lab Streaming Layer."""

from __future__ import annotations

from phantomlink.watch.lsl.command import run_lsl_watch

__all__ = ["run_lsl_watch"]

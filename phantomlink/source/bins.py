"""Bins: where they lie on the recording's clock, and what a run of them holds."""

from __future__ import annotations

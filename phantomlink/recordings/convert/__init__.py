"""Recordings of other kinds of files, written as NWB; the server imports nothing of it."""

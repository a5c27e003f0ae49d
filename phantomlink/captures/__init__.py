"""Captures: what a session sent, kept in a journal, converted, recomputed and compared. Pure.

`records` says what a journal holds, `framing` how it lies in a file, `journal_writer` and
`journal_reader` write and read it. `source` makes the packets of a capture anew, and `verify`
compares. Nothing here knows an event loop; the output that fills journals while a session plays is
outputs/capture/.
"""

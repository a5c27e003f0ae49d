"""Captures of running sessions: each packet that leaves goes into a journal.

`recorder` takes packets and events and keeps references, in the tick; `running` owns one capture
and its journal, `captures` all of them, and writes four times a second in a thread. Limits
and what lies in the folder are there too.
"""

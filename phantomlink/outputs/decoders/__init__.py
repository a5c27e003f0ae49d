"""Decoders of a session: what it sends is observed, predictions are paired with it and scored.

`scores` runs with the session and holds its scoreboard, `client_input` is what one connection
sends, `tap` remembers the latest packets until somebody answers one.
"""

KIND = "decoders"
"""What this kind of output is called in requests and answers."""

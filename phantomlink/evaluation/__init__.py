"""Decoders held against a recording: the commands `score` and `fit`, and what a session shares.

`truth` says what is scored in a recording, `feed` how a decoder gets packets, `stream` plays a
recording to decoders as fast as the machine allows.
"""

"""Kinds of output that a session's packets go to."""

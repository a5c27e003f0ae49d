"""Several processes that serve one port: who owns which session, and what becomes of it.

Without `--processes` none of it is imported.
"""

"""Redis streams that the nodes of a BRAND graph read.

BRAND is described in Ali et al. 2024, doi 10.1088/1741-2552/ad3b3a. coredis is imported when a
session is made that wants the streams, and nowhere else.
"""

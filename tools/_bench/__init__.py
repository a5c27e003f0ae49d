"""Parts of the benchmark `tools/jitter.py`; docs/internals/benchmark.md says what is measured."""

"""Parts of the jitter benchmark, `tools/jitter.py`. What is measured: docs/benchmark.md."""

"""A process of a tool: `python -m tools.bench.harness MODULE DESCRIPTOR`, see `children`."""

import sys
from importlib import import_module

from .children import fail, hear

module = import_module(f"tools.bench.{sys.argv[1]}")
try:
    module.run(hear())
except (ImportError, OSError, RuntimeError, ValueError) as error:
    fail(f"{sys.argv[1].rpartition('.')[2]}: {error}")

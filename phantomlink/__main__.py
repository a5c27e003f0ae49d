"""`python -m phantomlink`."""

import sys

from phantomlink.cli import main

sys.exit(main())

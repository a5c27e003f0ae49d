"""Which datasets there are: files that can be played, and those that could be fetched."""

"""Sessions that come back after a restart: what is kept of them, in which file, and when."""

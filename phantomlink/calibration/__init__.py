"""Models of a server: fitted by one bounded worker process at a time, kept over restarts."""

"""Recordings: what is in the file, as bins and trials. Pure: nothing here knows an event loop."""

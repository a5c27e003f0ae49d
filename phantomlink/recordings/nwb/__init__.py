"""Recordings in NWB files: the only room that reads HDF5."""

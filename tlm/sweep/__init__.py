"""Sweeps: hundreds of points of configuration and workload from one file, resumable, into one columnar store."""

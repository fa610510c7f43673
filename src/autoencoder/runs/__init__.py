"""Reads and writes what a run produces: its folder, checkpoints, history, logs and reports."""

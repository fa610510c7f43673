"""What a run leaves, and how it is read again: its folder, checkpoints, history, logs, reports."""

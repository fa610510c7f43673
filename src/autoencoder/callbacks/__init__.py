"""Callbacks, which Lightning calls during training: checkpoints, history, progress, stopping, views."""

"""A model on a split: its latents and errors, its baselines, and the metrics asked for."""

"""A model on a split: its latents and errors, its baselines, and the metrics asked for."""

from typing import Literal

Projection = Literal["tsne", "pca", "umap"]  # of the map of the latents
Device = Literal["auto", "cpu", "gpu"]  # that a trained model is measured on

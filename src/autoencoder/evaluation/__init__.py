"""Evaluates a model on a split: its latents and errors, its baselines, and the requested metrics."""

from typing import Literal

Projection = Literal["tsne", "pca", "umap"]  # of the map of the latents
Device = Literal["auto", "cpu", "gpu"]  # for evaluating a trained model
Source = Literal["auto", "prior", "mixture"]  # of the latents of generated images

"""Chooses the images and latents for figures: worst and median by error, traversals, interpolations."""

import torch
from torch import Tensor


def rank_by_error(errors: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Indices of the `k` largest errors, largest first, and of the `k` in the middle of the ranking, smallest first.

    Args:
        errors: [N], one per image.
        k: how many indices of each kind, from 1 to N.
    Returns: two tensors of indices [k] into `errors`.
    Raises: ValueError if `k` is not from 1 to N.
    """
    count = len(errors)
    if not 1 <= k <= count:
        raise ValueError(f"`k` must be from 1 to {count}, the number of errors, got {k}")
    ascending = errors.argsort(stable=True)
    middle = (count - k) // 2
    return ascending[count - k :].flip(0), ascending[middle : middle + k]


def first_of_each_class(labels: Tensor, count: int = 1) -> Tensor:
    """The first `count` indices of each label in `labels` [N], one column per label: [count, classes].

    If a class has fewer, all columns are as short as its own.
    """
    places = [(labels == label).nonzero()[:count, 0] for label in labels.unique().tolist()]
    count = min(map(len, places))
    return torch.stack([place[:count] for place in places], dim=1)


def traversal_latents(latents: Tensor, start: Tensor, steps: int, low: float = 0.01, high: float = 0.99) -> Tensor:
    """Copies of `start` in which one dimension at a time moves in even steps between quantiles of the data.

    Args:
        latents: [N, K], the data from which quantiles are computed.
        start: [K], the values of the other dimensions.
        steps: values per dimension, at least 2; the first is the `low` quantile, the last the `high` one.
        low, high: quantiles, 0 <= low < high <= 1.
    Returns: [K, steps, K]; row k moves dimension k.
    Raises: ValueError if `steps` or the quantiles are out of range.
    """
    if steps < 2:
        raise ValueError(f"`steps` must be at least 2, got {steps}")
    if not 0 <= low < high <= 1:
        raise ValueError(f"`low` and `high` must satisfy 0 <= low < high <= 1, got {low} and {high}")
    dimensions = latents.shape[1]
    bounds = torch.quantile(latents, torch.tensor([low, high]).to(latents), dim=0)  # [2, K]
    weights = torch.linspace(0, 1, steps).to(latents)[:, None]
    values = bounds[0] + weights * (bounds[1] - bounds[0])  # [steps, K]
    moved = start.expand(dimensions, steps, dimensions).clone()
    every = torch.arange(dimensions)
    moved[every, :, every] = values.T
    return moved


def interpolation_latents(start: Tensor, end: Tensor, steps: int) -> Tensor:
    """Evenly spaced points on the straight line from each `start` to its `end`, both included.

    Args:
        start, end: [P, K], the ends of P lines.
        steps: points per line, at least 2.
    Returns: [P, steps, K].
    Raises: ValueError if `steps` is below 2 or the shapes differ.
    """
    if steps < 2:
        raise ValueError(f"`steps` must be at least 2, got {steps}")
    if start.shape != end.shape:
        raise ValueError(f"`start` and `end` must have the same shape, got {tuple(start.shape)} and {tuple(end.shape)}")
    weights = torch.linspace(0, 1, steps).to(start)[:, None]  # [steps, 1]
    return torch.lerp(start[:, None], end[:, None], weights)

"""EpochSums: the errors and penalties of an epoch, summed step by step and averaged once."""

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

import torch
from torch import Tensor


class EpochSums:
    """Sums over the images of an epoch so far, in float32, on the device of what is added.

    Summing takes nothing measurable; Lightning's `self.log` in every step takes up to a third of the step.
    """

    def __init__(self) -> None:
        self.totals: dict[str, Tensor] = {}
        self.images = 0

    def add(self, count: int, means: Mapping[str, Tensor]) -> None:
        """Adds scalars by name, each a mean over `count` images."""
        for name, value in means.items():
            if name not in self.totals:
                self.totals[name] = torch.zeros((), dtype=torch.float32, device=value.device)
            self.totals[name].add_(value.detach(), alpha=count)
        self.images += count

    def is_finite(self, name: str) -> bool:
        """Whether the values of `name` were all finite, since NaN and infinity stay in a sum; makes a GPU wait."""
        return name not in self.totals or isfinite(self.totals[name].item())

    def means(self, reduce: Callable[..., Any]) -> dict[str, float]:
        """The means over the images of all processes, averaged by Lightning's `strategy.reduce`.

        All processes have the same number of images, so the mean of their means is exact.
        """
        return {name: float(reduce(total / self.images, reduce_op="mean")) for name, total in self.totals.items()}

    def state(self, reduce: Callable[..., Any]) -> dict[str, Any]:
        """Plain values for a checkpoint, the mean over all processes."""
        totals = {name: float(reduce(total.clone(), reduce_op="mean")) for name, total in self.totals.items()}
        return {"sums": totals, "images": self.images}

    def load(self, state: Mapping[str, Any]) -> None:
        """Restores `state`, on the CPU."""
        self.totals = {name: torch.tensor(value, dtype=torch.float32) for name, value in state["sums"].items()}
        self.images = state["images"]

    def to(self, device: torch.device) -> None:
        """Moves the sums to `device`."""
        self.totals = {name: total.to(device) for name, total in self.totals.items()}

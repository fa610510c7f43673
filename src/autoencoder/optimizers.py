"""Optimisers, made from a module: Adam, AdamW, and Muon for the weight matrices with Adam for the biases."""

from collections.abc import Iterable
from typing import Any

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.optim.adam import adam as adam_step

from autoencoder.limits import Decay, checked


@checked
def adam(module: nn.Module, lr: PositiveFloat = 1e-3) -> torch.optim.Adam:
    """Adam (Kingma and Ba, 2015) with its usual decays, one kernel for all parameters.

    Args: module, whose parameters are trained; lr, the learning rate.
    """
    return torch.optim.Adam(module.parameters(), lr=lr, fused=True)


@checked
def adamw(module: nn.Module, lr: PositiveFloat = 2e-3, weight_decay: NonNegativeFloat = 0.01) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter, 2019), one kernel for all parameters.

    Args: module, whose parameters are trained; lr, the learning rate; weight_decay, times lr, taken off each step.
    """
    return torch.optim.AdamW(module.parameters(), lr=lr, weight_decay=weight_decay, fused=True)


@checked
def muon(
    module: nn.Module,
    lr: PositiveFloat = 1.5e-2,
    momentum: Decay = 0.9,
    bias_lr: PositiveFloat = 3e-3,
    newton_schulz_steps: PositiveInt = 5,
) -> torch.optim.Optimizer:
    """Muon for every weight matrix, the first and last too, and Adam for everything else.

    Args: module, whose parameters are trained; the rest as `Muon` has it.
    """
    return Muon(module.parameters(), lr, momentum, bias_lr, newton_schulz_steps)


class Muon(torch.optim.Optimizer):
    """Momentum made orthogonal, for matrices (Jordan et al., 2024, 'Muon: an optimizer for hidden layers').

    The update is scaled by 0.2 sqrt(max(rows, columns)), so that its size is about that of Adam's
    (Liu et al., 2025, 'Muon is scalable for LLM training', section 2.2). Parameters that are not matrices
    are left to Adam with its usual decays.

    Args:
        params: to be trained; those of two dimensions by Muon.
        lr: learning rate of the matrices.
        momentum: decay of the running sum of gradients, with Nesterov's look ahead.
        bias_lr: learning rate of everything else.
        newton_schulz_steps: iterations of `orthogonalize`.
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float, momentum: float, bias_lr: float, newton_schulz_steps: int
    ) -> None:
        parameters = list(params)
        matrices = [parameter for parameter in parameters if parameter.ndim == 2]
        others = [parameter for parameter in parameters if parameter.ndim != 2]
        super().__init__(
            [
                {"params": matrices, "lr": lr, "momentum": momentum, "newton_schulz_steps": newton_schulz_steps},
                {"params": others, "lr": bias_lr},
            ],
            {},
        )

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step; `closure`, if given, computes the loss and is returned by this."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        matrices, others = self.param_groups
        self._step_matrices(matrices)
        self._step_adam(others)
        return loss

    def _step_matrices(self, group: dict[str, Any]) -> None:
        for weight in group["params"]:
            if weight.grad is None:
                continue
            state = self.state[weight]
            if not state:
                state["momentum"] = torch.zeros_like(weight)
            momentum = state["momentum"].mul_(group["momentum"]).add_(weight.grad)
            ahead = weight.grad.add(momentum, alpha=group["momentum"])
            update = orthogonalize(ahead, group["newton_schulz_steps"])
            weight.add_(update, alpha=-group["lr"] * 0.2 * max(weight.shape) ** 0.5)

    def _step_adam(self, group: dict[str, Any], beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8) -> None:
        parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
        if not parameters:
            return
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter] = {
                    "step": torch.tensor(0.0),
                    "exp_avg": torch.zeros_like(parameter),
                    "exp_avg_sq": torch.zeros_like(parameter),
                }
        states = [self.state[parameter] for parameter in parameters]
        adam_step(
            parameters,
            [parameter.grad for parameter in parameters],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            fused=True,
            amsgrad=False,
            beta1=beta1,
            beta2=beta2,
            lr=group["lr"],
            weight_decay=0.0,
            eps=eps,
            maximize=False,
        )


def orthogonalize(matrix: Tensor, steps: int) -> Tensor:
    """Roughly the nearest matrix with singular values near 1 (0.7 to 1.2), by Newton-Schulz iteration.

    The quintic coefficients are Jordan's (2024). In bfloat16 on a GPU, where that is faster; on a CPU in float32,
    where bfloat16 is some ten times slower.

    Args: matrix [rows, columns]; steps, iterations.
    """
    wide = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    wide = wide.bfloat16() if wide.is_cuda else wide
    wide = wide / (wide.norm() + 1e-7)
    for _ in range(steps):
        gram = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=-4.7750, alpha=2.0315), wide, beta=3.4445)
    return (wide.T if matrix.shape[0] > matrix.shape[1] else wide).to(matrix.dtype)

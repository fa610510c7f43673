"""Functions that make an optimiser from a module: Adam, AdamW, and Muon (for weight matrices, with Adam for biases)."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.optim.adam import adam as adam_step

from autoencoder.limits import Decay, checked

A, B, C = 3.4445, -4.7750, 2.0315  # coefficients of the Newton-Schulz quintic (Jordan, 2024)
NO_NORM = 1e-7  # added to norms, so that a zero gradient stays zero


@checked
def adam(module: nn.Module, lr: PositiveFloat = 1e-3) -> torch.optim.Adam:
    """Adam (Kingma and Ba, 2015) with its usual decays, fused into one kernel for all parameters.

    Args: module, whose parameters are trained; lr, the learning rate.
    """
    return torch.optim.Adam(module.parameters(), lr=lr, eps=adam_eps(module.parameters()), fused=may_fuse(module))


@checked
def adamw(module: nn.Module, lr: PositiveFloat = 2e-3, weight_decay: NonNegativeFloat = 0.01) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter, 2019), fused into one kernel for all parameters.

    Args: module, whose parameters are trained; lr, the learning rate; weight_decay, times lr: the fraction of each
        weight subtracted in each step.
    """
    eps = adam_eps(module.parameters())
    return torch.optim.AdamW(module.parameters(), lr=lr, eps=eps, weight_decay=weight_decay, fused=may_fuse(module))


@checked
def muon(
    module: nn.Module,
    lr: PositiveFloat = 1.2e-2,
    momentum: Decay = 0.9,
    weight_decay: NonNegativeFloat = 0.1,
    bias_lr: PositiveFloat = 3e-3,
    newton_schulz_steps: PositiveInt = 5,
) -> torch.optim.Optimizer:
    """Muon for every weight matrix and convolution kernel, including the first and the last, and Adam for the rest.

    Args: module, whose parameters are trained; the others as in `Muon`.
    """
    return Muon(module.parameters(), lr, momentum, weight_decay, bias_lr, newton_schulz_steps)


def of_module(make: Callable[..., Any]) -> Callable[[nn.Module], torch.optim.Optimizer]:
    """Turns `make`, such a function or a torch optimiser class, into one that makes an optimiser from a module."""
    kind = getattr(make, "func", make)  # of a functools.partial
    takes_parameters = isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer)
    return (lambda module: make(module.parameters())) if takes_parameters else make


def may_fuse(module: nn.Module) -> bool:
    """Whether a module's parameters may be updated by one fused kernel.

    With mixed precision, a fused optimiser unscales gradients itself, which would be after clipping; so Lightning
    refuses to clip gradients then.
    """
    try:
        trainer: Any = module.trainer
    except (AttributeError, RuntimeError):  # no LightningModule, or one that has no Trainer yet
        return True
    return not (trainer.gradient_clip_val and str(trainer.precision).endswith("-mixed"))


def adam_eps(parameters: Iterable[Tensor]) -> float:
    """Adam's epsilon: 1e-8, but 1e-4 in float16, where 1e-8 and the squares of small gradients are rounded to zero."""
    return 1e-4 if any(parameter.dtype == torch.float16 for parameter in parameters) else 1e-8


class Muon(torch.optim.Optimizer):
    """Orthogonalised momentum for matrices (Jordan et al., 2024, 'Muon: an optimizer for hidden layers').

    The update is scaled by 0.2 sqrt(max(rows, columns)), so that its size is about that of Adam's (Liu et al., 2025,
    'Muon is scalable for LLM training', section 2.2), and by sqrt(rows / columns) for matrices with more rows than
    columns (Jordan's rule). A convolution's kernel is the matrix [out, in * height * width] of its filters, that of a
    transposed convolution [in, out * height * width]. Other parameters are trained by Adam with its usual decays.

    Args:
        params: parameters to train; those with two or more dimensions by Muon.
        lr: learning rate of the matrices.
        momentum: decay of the running sum of gradients, with Nesterov's look-ahead.
        weight_decay: times lr, the fraction of a matrix subtracted in each step.
        bias_lr: learning rate of everything else.
        newton_schulz_steps: iterations of `orthogonalize`.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        momentum: float,
        weight_decay: float,
        bias_lr: float,
        newton_schulz_steps: int,
    ) -> None:
        parameters = list(params)
        matrices = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "steps": newton_schulz_steps}
        groups = [
            {"params": [parameter for parameter in parameters if parameter.ndim >= 2], **matrices},
            {"params": [parameter for parameter in parameters if parameter.ndim < 2], "lr": bias_lr},
        ]
        super().__init__(groups, {})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Takes one step. `closure`, if given, computes the loss, which is returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        matrices, others = self.param_groups
        for weight in matrices["params"]:
            if weight.grad is not None:
                settings = {name: matrices[name] for name in ("lr", "momentum", "weight_decay", "steps")}
                self._step_matrix(weight, weight.grad, **settings)
        self._step_adam([parameter for parameter in others["params"] if parameter.grad is not None], others["lr"])
        return loss

    def _step_matrix(
        self, weight: Tensor, gradient: Tensor, lr: float, momentum: float, weight_decay: float, steps: int
    ) -> None:
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        running = state["momentum"].mul_(momentum).add_(gradient)
        update = orthogonalize(gradient.add(running, alpha=momentum).flatten(1), steps)
        rows, columns = update.shape
        scale = 0.2 * max(rows, columns) ** 0.5 * max(1.0, rows / columns) ** 0.5
        weight.mul_(1 - lr * weight_decay).add_(update.view_as(weight), alpha=-lr * scale)

    def _step_adam(self, parameters: list[Tensor], lr: float) -> None:
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter] = {
                    "step": torch.zeros((), device=parameter.device),
                    "exp_avg": torch.zeros_like(parameter),
                    "exp_avg_sq": torch.zeros_like(parameter),
                }
        states = [self.state[parameter] for parameter in parameters]
        if states:
            adam_step(
                parameters,
                [parameter.grad for parameter in parameters if parameter.grad is not None],
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [],
                [state["step"] for state in states],
                fused=True,
                amsgrad=False,
                beta1=0.9,
                beta2=0.999,
                lr=lr,
                weight_decay=0.0,
                eps=adam_eps(parameters),
                maximize=False,
            )


def orthogonalize(matrix: Tensor, steps: int) -> Tensor:
    """Approximates the nearest matrix with singular values near 1 (0.7 to 1.2), by Newton-Schulz iteration.

    Iterates the quintic x <- a x + b (x x') x + c (x x')^2 x with Jordan's coefficients (2024). On a CPU it works on
    the Gram matrix, in at least float32 whatever the precision of training; on a GPU in bfloat16, to use matrix units.

    Args: matrix [rows, columns]; steps, iterations.
    """
    is_tall = matrix.shape[0] > matrix.shape[1]
    wide = (matrix.T if is_tall else matrix).to(torch.promote_types(matrix.dtype, torch.float32))
    result = newton_schulz(wide, steps, torch.bfloat16) if matrix.is_cuda else newton_schulz_on_gram(wide, steps)
    return (result.T if is_tall else result).to(matrix.dtype)


def newton_schulz(wide: Tensor, steps: int, dtype: torch.dtype) -> Tensor:
    """The iteration as published, in `dtype`, from `wide` [rows, columns], rows <= columns."""
    x = (wide / (wide.norm() + NO_NORM)).to(dtype)
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(A * x, torch.addmm(gram, gram, gram, beta=B, alpha=C), x)
    return x


def newton_schulz_on_gram(wide: Tensor, steps: int) -> Tensor:
    """The same iteration on the small square matrix g = x x', from `wide` [rows, columns], rows <= columns.

    Each iterate is a polynomial in g times x, so x is multiplied only once, at the end. This gives the same result in
    less than half the time for 128 x 784. It needs float32: the singular values of g are the squares of those of x, and
    bfloat16 would lose the small ones.
    """
    gram = wide @ wide.T
    square_norm = gram.trace() + NO_NORM**2
    gram = gram / square_norm
    factor: Tensor | None = None  # of the iterate so far: x_k = factor x_0
    for step in range(steps):
        multiplier = torch.addmm(gram, gram, gram, beta=B, alpha=C)
        multiplier.diagonal().add_(A)
        factor = multiplier if factor is None else multiplier @ factor
        if step < steps - 1:
            gram = multiplier @ gram @ multiplier
    return (factor * square_norm.rsqrt()) @ wide if factor is not None else wide

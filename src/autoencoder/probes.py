"""What latents tell about the classes: nearest neighbours, and a linear probe."""

from typing import NamedTuple

import torch
from torch import Tensor

from autoencoder.latents import Latents
from autoencoder.threads import one_thread

NEIGHBOURS = 5
STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)
GROUPS = 512  # of training images, in the search for neighbours
CHUNK = 50  # test images at once: few enough for their distances to stay in the cache
PART = 10_000  # training images at once, for the same reason
HELD_OUT = 10  # without validation images, the last tenth of the training images chooses C


@one_thread()
def knn_accuracy(train: Latents, test: Latents, k: int = NEIGHBOURS) -> float:
    """The share of `test` whose class is the most frequent among the `k` nearest of `train`, by Euclidean distance.

    The classifier of Cover and Hart (1967); of equally frequent classes the lowest number wins, as in scikit-learn.
    """
    values, labels = train
    classes, k = int(labels.max()) + 1, min(k, len(values))
    missing = -len(values) % GROUPS  # filled up with images infinitely far away
    padded = torch.nn.functional.pad(values, (0, 0, 0, missing))
    half_squares = torch.nn.functional.pad(values.square().sum(1) / 2, (0, missing), value=torch.inf)
    correct = 0
    for latents, truth in zip(test.values.split(CHUNK), test.labels.split(CHUNK), strict=True):
        # |a - b|² / 2 without |a|² / 2, which changes no order
        distances = torch.addmm(half_squares, latents, padded.T, alpha=-1)
        nearest = labels[_nearest(distances.unflatten(1, (-1, GROUPS)), k)]
        votes = torch.nn.functional.one_hot(nearest, classes).sum(1)
        votes = votes * classes - torch.arange(classes, device=votes.device)  # the lowest number first
        correct += int((votes.argmax(1) == truth).sum())
    return correct / len(test.labels)


def _nearest(distances: Tensor, k: int) -> Tensor:
    """Where the `k` least of `distances` [B, members, groups] are, [B, k], counted over members and groups.

    They lie in the `k` groups with the least minima: several times as fast as a search through all of them.
    """
    members, groups = distances.shape[1:]
    close = distances.amin(1).topk(min(k, groups), largest=False, sorted=False).indices  # [B, k]
    candidates = distances.gather(2, close[:, None].expand(-1, members, -1)).flatten(1)  # [B, members * k]
    best = candidates.topk(k, largest=False, sorted=False).indices
    return best // close.shape[1] * groups + close.gather(1, best % close.shape[1])


class Probe(NamedTuple):
    """Softmax regression on standardised latents: `weights` [K, classes], `bias` [classes], `mean` and `scale` [K].

    `strength` is scikit-learn's C, the inverse weight of the penalty on the squared weights.
    """

    weights: Tensor
    bias: Tensor
    mean: Tensor
    scale: Tensor
    strength: float

    def accuracy(self, latents: Latents) -> float:
        """The share of images whose class it names."""
        logits = (latents.values - self.mean) / self.scale @ self.weights + self.bias
        return float((logits.argmax(1) == latents.labels).double().mean())


def probe_accuracy(train: Latents, val: Latents | None, test: Latents) -> float:
    """The accuracy on `test` of the linear probe fitted on `train`, its C the best on `val`.

    Without `val`, the last tenth of `train` chooses C and the rest of it is fitted. Test images choose nothing.
    """
    if val is None:
        fitted = len(train.labels) - max(len(train.labels) // HELD_OUT, 1)
        train, val = (Latents(*(part[kept] for part in train)) for kept in (slice(fitted), slice(fitted, None)))
    chosen = val
    return max(fit_probes(train), key=lambda probe: probe.accuracy(chosen)).accuracy(test)


@one_thread()
def fit_probes(train: Latents, strengths: tuple[float, ...] = STRENGTHS, max_iterations: int = 100) -> list[Probe]:
    """A probe for each C: minimises C * (sum of cross-entropies) + |weights|² / 2, the bias free.

    The objective of scikit-learn's LogisticRegression; all at once, by one L-BFGS over the whole of `train`.
    """
    values, labels = train
    count, dimensions = values.shape
    classes, probes = int(labels.max()) + 1, len(strengths)
    mean, scale = values.mean(0), values.std(0, correction=0)
    scale = torch.where(scale > 0, scale, 1.0)
    inputs = torch.cat([(values - mean) / scale, values.new_ones(count, 1)], dim=1)  # [N, K + 1]: the bias comes last
    penalties = 1 / (count * inputs.new_tensor(strengths))[:, None, None].expand(-1, classes, dimensions + 1).clone()
    penalties[:, :, -1] = 0
    parameters = inputs.new_zeros(probes, classes, dimensions + 1, requires_grad=True)
    truth = torch.nn.functional.one_hot(labels, classes).to(inputs)
    chunks = [(one, targets.T.contiguous()) for one, targets in zip(inputs.split(PART), truth.split(PART), strict=True)]
    optimizer = torch.optim.LBFGS([parameters], max_iter=max_iterations, line_search_fn="strong_wolfe", history_size=20)

    def closure() -> float:
        """The loss, with its gradient written out, part by part: several times as fast as autograd over all."""
        weights = parameters.detach()
        loss, gradient = float((penalties * weights.square()).sum()) / 2, penalties * weights
        for images, targets in chunks:  # [B, K + 1], [classes, B]
            logits = (weights.flatten(0, 1) @ images.T).unflatten(0, (probes, classes))
            log_shares = logits.log_softmax(1)
            loss -= float((log_shares * targets).sum()) / count
            difference = log_shares.exp_().sub_(targets)  # of the classes' shares and the truth
            gradient += (difference.flatten(0, 1) @ images).view_as(gradient) / count
        parameters.grad = gradient
        return loss

    optimizer.step(closure)
    fitted = parameters.detach()
    return [
        Probe(one[:, :-1].T.contiguous(), one[:, -1].contiguous(), mean, scale, strength)
        for one, strength in zip(fitted, strengths, strict=True)
    ]

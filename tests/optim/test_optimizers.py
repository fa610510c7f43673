"""Muon and Adam do what their papers say."""

import copy

import pytest
import torch

from autoencoder.models.networks.mlp import MLP
from autoencoder.optim import optimizers
from autoencoder.optim.optimizers import adam, adamw, muon, newton_schulz, orthogonalize


@pytest.fixture
def network():
    torch.manual_seed(0)
    return MLP((1, 6, 6), 3, 3, [12])


def backward(network, seed=0):
    images = torch.rand(8, 1, 6, 6, generator=torch.Generator().manual_seed(seed))
    network.zero_grad()
    (network.decoder(network.encoder(images)) - images).square().mean().backward()


@pytest.mark.parametrize("shape", [(128, 784), (784, 128), (32, 64), (5, 5)])
def test_orthogonalize_keeps_directions_and_evens_out_their_sizes(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    result = orthogonalize(matrix, steps=5)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    in_its_own_basis = left.T @ result @ right.T
    assert in_its_own_basis.diagonal().min() > 0.3 and in_its_own_basis.diagonal().max() < 1.3
    off_diagonal = in_its_own_basis - in_its_own_basis.diagonal().diag()
    assert off_diagonal.abs().max() < 1e-3


def test_orthogonalize_is_newton_schulz_as_published():
    matrix = torch.randn(32, 100, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = matrix / matrix.norm()
    for _ in range(5):
        gram = expected @ expected.T
        expected = 3.4445 * expected + (-4.7750 * gram + 2.0315 * gram @ gram) @ expected
    torch.testing.assert_close(orthogonalize(matrix.float(), 5), expected.float(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(128, 784), (32, 64)])
def test_bfloat16_makes_the_same_of_a_matrix_up_to_its_own_precision(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    result = newton_schulz(matrix, 5, torch.bfloat16)
    assert result.dtype == torch.bfloat16
    error = (result.float() - orthogonalize(matrix, 5)).norm() / shape[0] ** 0.5  # both have a norm of about its root
    assert error < 0.03


def test_muon_learns_as_well_in_bfloat16(network, monkeypatch):
    """As on a GPU, the iteration's own precision aside."""

    def trained(network):
        optimizer = muon(network)
        for step in range(60):
            backward(network, step % 4)
            optimizer.step()
        return closure(network).item()

    twin = copy.deepcopy(network)
    expected = trained(network)
    monkeypatch.setattr(
        optimizers, "newton_schulz_on_gram", lambda wide, steps: newton_schulz(wide, steps, torch.bfloat16)
    )
    assert trained(twin) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_gradient_of_zero_moves_nothing(dtype):
    assert torch.equal(orthogonalize(torch.zeros(3, 5), 5), torch.zeros(3, 5))
    assert torch.equal(newton_schulz(torch.zeros(3, 5), 5, dtype), torch.zeros(3, 5, dtype=dtype))


def test_muons_first_step_is_the_gradient_made_orthogonal(network):
    backward(network)
    before = copy.deepcopy(network)
    optimizer = muon(network, lr=0.1, momentum=0.9, weight_decay=0.5, bias_lr=0.01)
    optimizer.step()
    for (name, new), old in zip(network.named_parameters(), before.parameters(), strict=True):
        if new.ndim == 2:
            rows, columns = new.shape
            scale = 0.2 * max(rows, columns) ** 0.5 * max(1, rows / columns) ** 0.5
            expected = (1 - 0.1 * 0.5) * old - 0.1 * scale * orthogonalize(new.grad, 5)
        else:  # Adam's first step: the gradient's sign
            expected = old - 0.01 * new.grad / (new.grad.abs() + 1e-8)
        # Newton-Schulz makes rounding errors hundreds of times larger in directions that the gradient lacks.
        torch.testing.assert_close(new, expected, atol=2e-4, rtol=0, msg=name)


def test_muons_biases_move_as_under_adam(network):
    twin = copy.deepcopy(network)
    optimizer = muon(network, bias_lr=0.01)
    for weight in (parameter for parameter in network.parameters() if parameter.ndim == 2):
        weight.requires_grad_(False)
    reference = torch.optim.Adam([parameter for parameter in twin.parameters() if parameter.ndim == 1], lr=0.01)
    for step in range(5):
        backward(network, step)
        optimizer.step()
        backward(twin, step)
        reference.step()
    for one, other in zip(network.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("make", [muon, adam, adamw])
def test_every_optimiser_lowers_the_error_and_resumes_from_its_state(network, make):
    optimizer = make(network)
    losses = []
    for step in range(60):
        if step == 30:
            state = copy.deepcopy(optimizer.state_dict())
            optimizer = make(network)
            optimizer.load_state_dict(state)
        loss = optimizer.step(closure=lambda: closure(network))
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert len(optimizer.state_dict()["state"]) == len(list(network.parameters()))


def closure(network):
    images = torch.rand(8, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    network.zero_grad()
    loss = (network.decoder(network.encoder(images)) - images).square().mean()
    loss.backward()
    return loss


@pytest.mark.parametrize(
    ("make", "argument"),
    [(muon, {"lr": 0.0}), (muon, {"momentum": 1.0}), (adam, {"lr": -1.0}), (adamw, {"weight_decay": "0"})],
)
def test_bad_arguments_are_errors(network, make, argument):
    with pytest.raises(ValueError, match=next(iter(argument))):
        make(network, **argument)


def test_muon_trains_a_kernel_as_the_matrix_of_its_filters():
    torch.manual_seed(0)
    kernel = torch.nn.Conv2d(3, 8, 5)
    matrix = torch.nn.Linear(75, 8)
    matrix.load_state_dict({"weight": kernel.weight.detach().flatten(1), "bias": kernel.bias.detach()})
    gradient = torch.randn(8, 75)
    for module in (kernel, matrix):
        optimizer = muon(module)
        for _ in range(2):
            module.weight.grad, module.bias.grad = gradient.view_as(module.weight).clone(), torch.ones(8)
            optimizer.step()
    torch.testing.assert_close(kernel.weight.flatten(1), matrix.weight, rtol=0, atol=0)

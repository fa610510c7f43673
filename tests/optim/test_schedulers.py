"""Schedules have the shape that they are named after."""

import pytest
import torch

from autoencoder.optim.schedulers import constant, linear


def rates(schedule, steps):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2.0)
    scheduler = schedule(optimizer)
    result = []
    for _ in range(steps):
        result.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return result


def test_linear_rises_to_the_peak_and_falls_to_the_floor():
    expected = [0.5, 1.0, 1.5, 2.0, 2.0, 1.75, 1.5, 1.25, 1.0, 0.75, 0.5, 0.25]
    assert rates(lambda optimizer: linear(optimizer, 12, warmup=1 / 3), 12) == pytest.approx(expected)
    assert rates(lambda optimizer: linear(optimizer, 10, warmup=0.1, floor=0.5), 11)[-1] == pytest.approx(1.0)


def test_constant_stays():
    assert rates(lambda optimizer: constant(optimizer, 5), 8) == [2.0] * 8


def test_a_share_above_one_is_an_error():
    with pytest.raises(ValueError, match="warmup"):
        rates(lambda optimizer: linear(optimizer, 5, warmup=2.0), 1)

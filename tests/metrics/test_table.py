"""The table of metrics: each row has a function, and each report reads the rows."""

from typing import get_args

import pytest
import torch

from autoencoder.metrics import GROUPS, METRICS, MetricName, metric_rows
from autoencoder.metrics.classes import Latents
from autoencoder.metrics.codes import Codes
from autoencoder.runs.report import _test_table
from autoencoder.runs.report_card import format_report
from autoencoder.runs.study_report import COLUMNS


@pytest.mark.parametrize("name", METRICS)
def test_each_row_has_a_function_of_what_it_says(name):
    torch.manual_seed(0)
    images, latents = torch.rand(20, 1, 8, 8) * 2 - 1, torch.randn(20, 3)
    labelled = Latents(latents, torch.arange(20) % 2)
    metric = METRICS[name]
    if metric.of == "reconstructions":
        assert metric.function(images * 0.9, images).shape == (20,)
    elif metric.of == "latents":
        assert isinstance(metric.function(latents), int | float)
    elif metric.of == "codes":
        details = {"kl": latents, "elbo": latents[:, 0], "active": latents > 0, "indices": (latents > 0).long()}
        assert metric.needs in details
        assert isinstance(metric.function(Codes(latents, details, (2, 2, 2))), int | float)
    elif metric.of == "errors":
        assert 0 <= metric.function(latents[:, 0], torch.arange(20) < 5) <= 1
    else:
        assert 0 <= metric.function(labelled, labelled, labelled) <= 1


@pytest.mark.parametrize("name", METRICS)
def test_each_report_shows_each_metric_under_its_name_with_its_digits(name):
    sizes = dict.fromkeys(("latent_dim", "train_size", "val_size", "test_size", "parameters"), 1)
    metrics = sizes | {f"test/{name}": 0.25, f"pca/test_{name}": 0.5}
    metric = METRICS[name]
    own, pca = (format(value, metric.digits) for value in (0.25, 0.5))
    heading, *rows = _test_table(metrics)
    assert heading.split("  ")[-1].strip() == metric.heading
    assert [row.split()[-1] for row in rows] == [own, pca]
    assert [cell.strip() for cell in format_report(metrics, "digits").splitlines()[-1].split("|")[1:-1]] == [
        *(metric.label, own, pca)
    ]
    assert metric_rows(metrics)[-1] == [metric.label, own, pca]
    assert f"test/{name}" in COLUMNS


def test_the_command_line_knows_the_groups_of_the_table():
    assert get_args(MetricName) == GROUPS
    assert set(GROUPS) == {metric.group for metric in METRICS.values()} | {"per_class"} >= {"mse", "knn", "latents"}

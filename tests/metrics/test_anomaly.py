"""AUROC equals a sum of ranks, and is measured where the test images have classes that were not trained on."""

import numpy as np
import pytest
import torch
from conftest import run_evaluate, run_train
from made_images import blobs, write_images
from scipy.stats import rankdata

from autoencoder import AutoencoderModule, ImageDataModule
from autoencoder.data.folder_module import FolderDataModule
from autoencoder.evaluation.evaluate import evaluate
from autoencoder.evaluation.outputs import Outputs
from autoencoder.metrics.anomaly import auroc, roc_curve


def by_ranks(errors: np.ndarray, is_normal: np.ndarray) -> float:
    """AUROC from the sum of the anomalies' ranks (Mann and Whitney, 1947); ties have the mean of their ranks."""
    anomalies = (~is_normal).sum()
    ranks = rankdata(errors)[~is_normal].sum()
    return (ranks - anomalies * (anomalies + 1) / 2) / (anomalies * is_normal.sum())


@pytest.mark.parametrize("digits", [8, 1, 0])
def test_auroc_is_the_sum_of_ranks_with_ties_or_without(digits):
    generator = torch.Generator().manual_seed(0)
    is_normal = torch.rand(500, generator=generator) < 0.3
    errors = (torch.rand(500, generator=generator) + 0.5 * ~is_normal).round(decimals=digits)
    expected = by_ranks(errors.numpy(), is_normal.numpy())
    assert auroc(errors, is_normal) == pytest.approx(expected, abs=1e-9) and 0.6 < expected < 0.95
    normal, anomalies = roc_curve(errors, is_normal)
    assert np.trapezoid(anomalies, normal) == pytest.approx(expected, abs=1e-9)


def test_larger_errors_are_anomalies_and_what_is_no_number_is_the_largest():
    is_normal = torch.tensor([True, True, False, False, False])
    assert auroc(torch.tensor([0.1, 0.2, 0.3, float("inf"), float("nan")]), is_normal) == 1.0
    assert auroc(torch.tensor([0.3, 0.3, 0.1, 0.1, 0.2]), is_normal) == 0.0


def test_evaluation_ranks_the_classes_left_out_against_those_trained_on():
    datamodule = ImageDataModule("mnist_5k", train_classes=[0, 1])
    outputs = Outputs(AutoencoderModule(latent_dim=4), datamodule.images)
    measured = evaluate(outputs)
    is_normal = datamodule.images.test.labels.numpy() < 2
    for prefix, model in (("test/", outputs), ("pca/test_", outputs.pca)):
        assert measured[f"{prefix}auroc"] == pytest.approx(by_ranks(model.errors.numpy(), is_normal), abs=1e-9)
    assert measured["pca/test_auroc"] > 0.9


def test_a_folder_of_good_images_with_broken_ones_among_the_test_images_is_such_a_set(tmp_path):
    write_images(tmp_path / "train" / "good", blobs(40))
    write_images(tmp_path / "test" / "good", blobs(9, seed=1))
    write_images(tmp_path / "test" / "broken", 255 - blobs(6, seed=2))
    outputs = Outputs(AutoencoderModule(3, image_shape=(1, 12, 10)), FolderDataModule(tmp_path).images)
    measured = evaluate(outputs, ["auroc"])
    is_good = np.repeat([False, True], [6, 9])  # sorted by name
    assert measured["test/auroc"] == pytest.approx(by_ranks(outputs.errors.numpy(), is_good), abs=1e-9)
    assert measured["pca/test_auroc"] == 1.0


def test_where_all_classes_were_trained_on_there_is_none_and_who_asks_is_told(digits, caplog):
    outputs = Outputs(AutoencoderModule(latent_dim=4), digits.images)
    assert "test/auroc" not in evaluate(outputs) and not caplog.text
    with caplog.at_level("INFO"):
        assert evaluate(outputs, ["auroc"]) == {}
    assert "auroc is left out: the test images have no classes beside those trained on" in caplog.text


@pytest.mark.slow
def test_a_run_on_one_class_leaves_auroc_report_figures_and_page(tmp_path):
    """One training class is enough for training, evaluation, figures, views and the explorer's page."""
    settings = ("experiment=anomaly", "data=mnist_5k", "trainer.max_epochs=1", "figures=true", "explorer=true")
    metrics = run_train(tmp_path / "run", *settings)
    assert (metrics["train_size"], metrics["val_size"], metrics["test_size"]) == (400, 50, 500)
    assert 0.5 < metrics["test/auroc"] < 1 and "pca/test_auroc" in metrics
    assert "anomalies by mse, AUROC" in (tmp_path / "run" / "report.md").read_text(encoding="utf-8")
    assert "anomalies by mse, AUROC" in (tmp_path / "run" / "explorer.html").read_text(encoding="utf-8")
    again = run_evaluate(tmp_path / "again", f"ckpt_path={tmp_path}/run/checkpoints/best.ckpt")
    assert again["test/auroc"] == pytest.approx(metrics["test/auroc"], abs=1e-6)
    assert {f"test/mse_class_{label}" for label in range(10)} <= again.keys()
    for folder in ("run", "again"):
        assert (tmp_path / folder / "figures" / "roc.pdf").is_file()
        assert (tmp_path / folder / "figures" / "class_errors.png").is_file()
    logs = [*(tmp_path / "run").glob("*.log"), *(tmp_path / "again").glob("*.log")]
    said = [line for log in logs for line in log.read_text(encoding="utf-8").splitlines()]
    left_out = {line for line in said if "left out" in line}
    assert left_out == {f"{name} is left out: its training images all have the same class" for name in ("knn", "probe")}

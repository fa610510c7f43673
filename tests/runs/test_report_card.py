"""The page and the closing summary show what was measured, and nothing else."""

import pytest

from autoencoder.runs.folder import RunFolder
from autoencoder.runs.report import summarize
from autoencoder.runs.report_card import format_report

DATA = {"latent_dim": 512, "train_size": 55_000, "val_size": 5_000, "test_size": 10_000, "parameters": 222_384}
IMAGES = {
    f"{prefix}{name}": value
    for prefix in ("test/", "pca/test_")
    for name, value in {"mse": 0.0123, "sse": 2.41, "psnr": 24.5, "ssim": 0.95}.items()
}
ACCURACIES = {f"{p}{n}_accuracy": 0.9876 for p in ("test/", "pca/test_", "random/test_") for n in ("knn", "probe")}
CLASSES = {f"{p}mse_class_{label}": label / 1000 for p in ("test/", "pca/test_") for label in (0, 1, 10)}


def rows(page: str) -> dict[str, list[str]]:
    """The cells of a page's table rows, by the first."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:1] == "|"]
    return {first: rest for first, *rest in cells}


def test_the_page_has_a_column_for_each_model():
    page = format_report(DATA | IMAGES | ACCURACIES | {"test/dead_dimensions": 3}, "MNIST")
    assert page.startswith("# MNIST, 512 latent dimensions\n\n55,000 training")
    table = rows(page)
    assert table[""] == ["autoencoder", "PCA", "random encoder"]
    assert table["ssim"] == ["0.9500", "0.9500", ""]
    assert table["linear probe, accuracy"] == ["98.76%"] * 3
    assert table["dead dimensions"] == ["3", "", ""]
    assert "Each class" not in page


def test_a_name_with_markup_is_text_in_the_page():
    markup = "<img src=x onerror=alert(1)>\n# `more` | *bold*"
    names = {"changes": markup, "ended_early": markup, "bottleneck": markup}
    page = format_report(DATA | IMAGES | names, markup)
    plain = r"\<img src=x onerror=alert(1)> # \`more\` \| \*bold\*"
    assert page.count(plain) == 4 and page.count("<img") == page.count(r"\<img") and "\n# \\`" not in page


def test_the_page_has_a_row_for_each_class_in_their_order():
    table = rows(format_report(DATA | IMAGES | CLASSES, "MNIST"))
    assert table["class"] == ["mse", "PCA mse"]
    assert [first for first in table if first.isdigit()] == ["0", "1", "10"]
    assert table["10"] == ["0.0100", "0.0100"]


def test_a_page_without_metrics_has_no_table():
    assert "|" not in format_report(DATA, "MNIST")


@pytest.mark.parametrize("extra", [{}, ACCURACIES])
def test_the_summary_fits_a_terminal(extra, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "logs" / "train" / "runs" / "2026-01-01_00-00-00-000000"
    files = ["metrics.json", "report.md", "reconstructions.png", "explorer.html"]
    for name in ("figures", "checkpoints"):
        (folder / name).mkdir(parents=True)
    for name in [*files, "figures/worst.png"]:
        (folder / name).touch()
    lines = summarize(DATA | IMAGES | extra, "Fashion-MNIST", RunFolder(folder)).splitlines()
    assert max(map(len, lines)) <= 80
    assert all(name in "".join(lines[-2:]) for name in [*files, "figures/", "checkpoints/"])
    assert any(line.split()[:3] == ["test,", "512", "dims"] for line in lines)
    assert any("98.76%" in line for line in lines) == bool(extra)
    assert any(line.startswith("random encoder ") for line in lines) == bool(extra)


def test_the_summary_of_a_folder_right_below_the_root():
    assert "files in /out" in summarize(DATA | IMAGES, "MNIST", RunFolder("/out"))


def test_the_summary_of_nothing_measured_has_no_table():
    assert "PCA" not in summarize(DATA, "MNIST", RunFolder("logs/runs/1"))

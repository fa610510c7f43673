"""A study's chart is of the kind that its settings ask for, on paper and in the page, which works without network."""

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from made_runs import make_run, make_sweep
from matplotlib.figure import Figure
from test_figures import check_texts

from autoencoder.pictures.comparison import draw_comparison
from autoencoder.pictures.save_study import save_study
from autoencoder.pictures.study_chart import chart_of, is_geometric
from autoencoder.pictures.study_figure import draw_study
from autoencoder.runs.jobs import find_runs
from autoencoder.runs.same_images import spread_by_rank
from autoencoder.runs.study import study_of

DIM, LR = "model.latent_dim", "optimizer.lr"


def drawn(folder: Path, *jobs) -> tuple:
    study = study_of(find_runs([make_sweep(folder / "sweep", *jobs)]))
    chart = chart_of(study)
    return chart, draw_study(chart, study.metric)


def legend_of(figure: Figure) -> list[str]:
    legends = [axes.get_legend() for axes in figure.axes] + figure.legends
    return [text.get_text() for legend in legends if legend for text in legend.get_texts()]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([2, 4, 8, 16], True),
        ([16, 32, 64], True),
        ([1e-4, 1e-3, 1e-2], True),
        ([1, 2, 3, 4], False),
        ([0.5, 0.6, 0.7], False),
        ([2, 64], False),
        ([0, 1, 10, 100], False),
        ([-1, 1, 10], False),
        ([3, 3, 3], False),
    ],
)
def test_geometric_values_ask_for_a_logarithmic_axis(values, expected):
    assert is_geometric(values) is expected


def test_one_number_is_a_curve_with_bars_pca_and_failed_jobs(tmp_path):
    jobs = [({DIM: dim}, seed, 1 / dim + seed / 1000) for dim in (2, 4, 8, 16) for seed in (0, 1)]
    chart, figure = drawn(tmp_path, *jobs, ({DIM: 32}, 0, None))
    (axes,) = figure.axes
    assert chart.kind == "curve" and (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    (point, *_) = chart.series[0].points
    assert point.mean == pytest.approx(0.5005) and point.sd == pytest.approx(np.std([0.5, 0.501], ddof=1))
    assert legend_of(figure) == ["PCA", "1 failed job", "autoencoder"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == (DIM, "test mse, per pixel in [-1, 1]")
    assert [round(tick) for tick in axes.get_xticks()] == [2, 4, 8, 16, 32]


def test_another_number_has_no_curve_of_pca(tmp_path):
    chart, figure = drawn(tmp_path, *(({LR: lr}, 0, 0.1 + lr) for lr in (0.01, 0.02, 0.03)))
    assert chart.kind == "curve" and not chart.baseline and not legend_of(figure)
    assert figure.axes[0].get_xscale() == figure.axes[0].get_yscale() == "linear"


def test_a_number_and_names_are_a_line_each(tmp_path):
    jobs = [({DIM: dim, "optimizer": name}, 0, 1 / dim) for dim in (2, 4) for name in ("adam", "muon")]
    chart, figure = drawn(tmp_path, *jobs)
    assert [series.name for series in chart.series] == ["optimizer=adam", "optimizer=muon"]
    assert {"optimizer=adam", "optimizer=muon", "PCA"} == set(legend_of(figure))


def test_two_numbers_are_a_heat_map_with_the_best_framed(tmp_path):
    jobs = [({DIM: dim, LR: lr}, 0, lr + 1 / dim) for dim in (2, 4) for lr in (0.1, 0.2, 0.3)]
    chart, figure = drawn(tmp_path, *jobs[:-1], ({DIM: 4, LR: 0.3}, 0, None))
    axes = figure.axes[0]
    cells = axes.images[0].get_array()
    assert chart.kind == "grid" and cells.shape == (3, 2) and cells[0, 1] == pytest.approx(0.35)
    assert math.isnan(cells.data[2, 1]) and set(legend_of(figure)) == {"best", "1 failed job"}
    assert axes.patches[0].get_xy() == (0.5, -0.5)


def test_two_numbers_on_no_grid_are_points(tmp_path):
    chart, figure = drawn(tmp_path, *(({DIM: n, LR: 10.0**-n}, 0, 0.1 * n) for n in range(1, 9)))
    assert chart.kind == "points" and len(figure.axes[0].collections[0].get_offsets()) == 8


def test_lists_and_names_are_rows_best_on_top(tmp_path):
    jobs = [
        ({"model.network.hidden_dims": [width]}, seed, 1 / width + seed / 100) for width in (8, 16) for seed in (0, 1)
    ]
    chart, figure = drawn(tmp_path, *jobs, ({"model.network.hidden_dims": [4]}, 0, None))
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert chart.kind == "names" and labels == ["[16]", "[8]", "[4]"]
    assert figure.axes[0].yaxis_inverted() and legend_of(figure) == ["1 failed job"]


def test_many_settings_are_cut_to_the_best(tmp_path):
    jobs = [({DIM: n, "tag": str(n), LR: n / 100}, 0, 1 / n) for n in range(1, 31)]
    chart, _ = drawn(tmp_path, *jobs)
    assert chart.kind == "names" and len(chart.series[0].points) == 20 and chart.left_out == 10
    assert chart.series[0].points[0].label == f"{DIM}=30 tag=30 {LR}=0.3"


def test_a_single_setting_is_dots_of_its_seeds(tmp_path):
    chart, figure = drawn(tmp_path, ({}, 0, 0.1), ({}, 5, 0.2), ({}, 7, None))
    assert chart.kind == "seeds" and [point.x for point in chart.series[0].points] == [0, 5]
    assert set(legend_of(figure)) == {"mean", "± standard deviation", "1 failed job"}


def test_no_text_lies_over_another(tmp_path):
    for number, jobs in enumerate(
        (
            [({DIM: dim}, 0, 1 / dim) for dim in (2, 4, 8, 16, 32)],
            [({DIM: dim, LR: lr}, 0, lr + 1 / dim) for dim in (2, 4, 8) for lr in (0.1, 0.2, 0.3)],
            [({"model.network.hidden_dims": [width] * 3}, 0, 1 / width) for width in (8, 16, 32, 64)],
            [({}, seed, 0.1 + seed / 1000) for seed in range(5)],
        )
    ):
        check_texts(drawn(tmp_path / str(number), *jobs)[1])


def test_nothing_measured_is_no_chart(tmp_path):
    study = study_of(find_runs([make_sweep(tmp_path / "sweep", ({DIM: 2}, 0, None))]))
    assert chart_of(study) is None and draw_comparison(study) is None
    assert save_study(study, tmp_path / "report", "title") == ["summary.csv", "summary.md", "summary.html"]


@pytest.fixture
def restored(run, tmp_path):
    """Three jobs with the same checkpoint, and ranks that were made up."""
    for number, mse in enumerate((0.3, 0.1, 0.2)):
        make_run(tmp_path / str(number), {DIM: number}, {"test/mse": mse, "val/mse": mse})
        (tmp_path / str(number) / "checkpoints").mkdir()
        shutil.copy(run / "checkpoints" / "best.ckpt", tmp_path / str(number) / "checkpoints")
    return tmp_path


def rows_of(figure: Figure) -> list[str]:
    return [label.get_text() for label in figure.axes[0].get_yticklabels()]


def test_reconstructions_are_ranked_worst_to_best(restored):
    figure = draw_comparison(study_of(find_runs([restored])))
    assert rows_of(figure) == ["test images", f"{DIM}=0\n0.3000", f"{DIM}=2\n0.2000", f"{DIM}=1\n0.1000"]
    pixels = figure.axes[0].images[0].get_array()
    assert pixels.shape == (4 * 28, 10 * 28) and (pixels[28:56] == pixels[56:84]).all()
    assert not (pixels[:28] == pixels[28:56]).all()
    check_texts(figure)


def test_a_job_whose_checkpoint_cannot_be_read_is_left_out(restored, caplog):
    (restored / "1" / "checkpoints" / "best.ckpt").write_bytes(b"no zip")
    assert len(rows_of(draw_comparison(study_of(find_runs([restored]))))) == 3
    (line,) = [record.message for record in caplog.records]
    assert line.startswith("comparison.png is without job 1: ") and "is broken" in line


def test_the_jobs_shown_are_evenly_spaced_with_both_ends():
    assert spread_by_rank(range(100), 4) == [0, 33, 66, 99]
    assert spread_by_rank(range(3)) == [0, 1, 2]


def test_a_picture_that_fails_does_not_lose_the_tables(restored, tmp_path, monkeypatch, caplog):
    for name in ("study_figure.draw_study", "comparison.draw_comparison"):
        monkeypatch.setattr(f"autoencoder.pictures.{name}", lambda *_: 1 / 0)
    written = save_study(study_of(find_runs([restored])), tmp_path / "report", "title")
    assert written == ["summary.csv", "summary.md", "summary.html"]
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "summary.png is left out",
        "comparison.png is left out",
    ]


HOSTILE = "</script><img src=x onerror=alert(1)>"


@pytest.fixture
def page(restored) -> Path:
    """The page of jobs, one of which has a hostile name and a hostile error."""
    make_run(restored / "3", {DIM: HOSTILE}, None, f"error: {HOSTILE}")
    save_study(study_of(find_runs([restored])), restored / "report", f"Report {HOSTILE}")
    return restored / "report" / "summary.html"


def test_the_page_is_one_file_without_requests_or_foreign_tags(page):
    text = page.read_text(encoding="utf-8")
    assert "http" not in text.replace("http-equiv", "") and "//" not in text.partition("<body>")[0].replace("<!--", "")
    assert "<img src=x" not in text and "</script><img" not in text
    assert text.count("data:image/png;base64,") == 1


def test_the_page_sorts_and_explains_in_a_browser(page, browser):
    browser.get(page.as_uri())
    column = "return [...document.querySelectorAll('table')[1].tBodies[0].rows].map((row) => row.cells[0].textContent)"
    assert browser.execute_script(column) == ["1", "2", "0", "3"]
    headings = browser.find_elements("css selector", "section:last-of-type th button")
    (mse,) = [heading for heading in headings if heading.text == "test/mse"]
    mse.click()
    assert browser.execute_script(column) == ["1", "2", "0", "3"]
    mse.click()
    assert browser.execute_script(column) == ["0", "2", "1", "3"]  # empty cells stay last
    (job,) = [heading for heading in headings if heading.text == "job"]
    job.click()
    assert browser.execute_script(column) == ["0", "1", "2", "3"]
    points = browser.find_elements("css selector", "#chart .point")
    assert len(points) == 3 and browser.find_element("id", "tip").text == ""
    browser.execute_script("arguments[0].dispatchEvent(new Event('pointerenter'))", points[0])
    assert browser.find_element("id", "tip").text == f"{DIM}=0\ntest/mse 0.3000"
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("kind", ["names", "grid", "points", "seeds"])
def test_each_kind_of_chart_is_drawn_in_the_page(kind, browser, tmp_path):
    jobs = {
        "names": [({"optimizer": name}, 0, mse) for name, mse in (("a", 0.1), ("b", 0.2), ("c", 0.9))],
        "grid": [({DIM: dim, LR: lr}, 0, lr / dim) for dim in (2, 4) for lr in (0.1, 0.2)],
        "points": [({DIM: n, LR: 10.0**-n}, 0, 0.1 * n) for n in range(1, 9)],
        "seeds": [({}, seed, 0.1 + seed / 100) for seed in range(4)],
    }[kind]
    study = study_of(find_runs([make_sweep(tmp_path / "sweep", *jobs)]))
    assert chart_of(study).kind == kind
    save_study(study, tmp_path / "report", kind, comparison=False)
    browser.get((tmp_path / "report" / "summary.html").as_uri())
    assert len(browser.find_elements("css selector", "#chart .point")) == len(jobs)
    assert "NaN" not in browser.execute_script("return document.getElementById('chart').outerHTML")
    assert browser.get_log("browser") == []

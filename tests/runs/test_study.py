"""A study's statistics are NumPy's, its comparisons pair seeds, and its tables show every job."""

import csv
import json
from io import StringIO

import numpy as np
import pytest
import yaml
from made_runs import make_run, make_sweep

from autoencoder.errors import InputError
from autoencoder.metrics import format_value, is_higher_better, label_of
from autoencoder.runs.folder import RunFolder
from autoencoder.runs.job_values import best_jobs, count_statuses, measured_metrics
from autoencoder.runs.jobs import PLAN, find_jobs, find_runs
from autoencoder.runs.study import study_of
from autoencoder.runs.study_report import MOST_ROWS, format_table, summary_csv, summary_md

DIM = "model.latent_dim"
ADAM = np.array([0.30, 0.35, 0.28, 0.33])
MUON = ADAM - np.array([0.011, 0.009, 0.010, 0.012])  # a small, steady gain: visible only in pairs


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(text)))


@pytest.fixture
def paired(tmp_path):
    jobs = [({"optimizer": "adam"}, seed, float(mse)) for seed, mse in enumerate(ADAM)]
    jobs += [({"optimizer": "muon"}, seed, float(mse)) for seed, mse in enumerate(MUON)]
    return study_of(find_runs([make_sweep(tmp_path / "sweep", *jobs)]))


def test_mean_and_standard_deviation_are_those_of_numpy(paired):
    best, other = paired.settings
    assert (best.label, other.label) == ("optimizer=muon", "optimizer=adam")
    for setting, values in ((best, MUON), (other, ADAM)):
        statistic = setting.statistic("test/mse")
        assert statistic.mean == pytest.approx(values.mean()) and statistic.n == 4
        assert statistic.sd == pytest.approx(values.std(ddof=1))


def test_settings_with_the_same_seeds_are_compared_in_pairs(paired):
    (comparison,) = paired.comparisons
    differences = ADAM - MUON
    assert comparison.difference == pytest.approx(differences.mean()) and comparison.shared == 4
    assert comparison.spread == pytest.approx(differences.std(ddof=1))
    assert comparison.is_larger and np.hypot(ADAM.std(ddof=1), MUON.std(ddof=1)) > comparison.difference
    assert comparison.sentence("test/mse") == (
        "optimizer=adam: test/mse is 0.0105 above the best, larger than the spread of seeds (0.0013, paired, 4 seeds)"
    )


def test_settings_with_other_seeds_are_compared_by_both_variances(tmp_path):
    jobs = [({DIM: 2}, seed, float(mse)) for seed, mse in enumerate(ADAM)]
    jobs += [({DIM: 8}, seed + 3, float(mse)) for seed, mse in enumerate(MUON)]  # one seed in common
    study = study_of(find_runs([make_sweep(tmp_path / "sweep", *jobs)]))
    (comparison,) = study.comparisons
    assert comparison.spread == pytest.approx(np.hypot(ADAM.std(ddof=1), MUON.std(ddof=1)))
    assert comparison.difference == pytest.approx(ADAM.mean() - MUON.mean()) and comparison.shared == 0
    assert not comparison.is_larger and "within the spread of seeds" in comparison.sentence("test/mse")


def test_single_seeds_say_that_their_spread_is_not_known(tmp_path):
    study = study_of(find_runs([make_sweep(tmp_path / "sweep", ({DIM: 2}, 0, 0.3), ({DIM: 8}, 0, 0.2))]))
    (comparison,) = study.comparisons
    assert comparison.is_larger is None and "run both with several seeds" in comparison.sentence("test/mse")
    assert "±" not in format_table(study) and "seeds" not in format_table(study)


def test_runs_of_one_seed_count_once(tmp_path):
    jobs = find_runs([make_sweep(tmp_path / "sweep", ({}, 0, 0.2), ({}, 0, 0.4), ({}, 1, 0.5))])
    (setting,) = study_of(jobs).settings
    statistic = setting.statistic("test/mse")
    assert statistic.n == 2 and statistic.mean == pytest.approx(0.4)


TIMER = ["+callbacks.t._target_=lightning.pytorch.callbacks.Timer", "+callbacks.t.duration=00:00:00:01"]


@pytest.mark.parametrize(
    ("overrides", "settings", "keys"),
    [
        ([*TIMER, "callbacks.t=null"], {"callbacks.t": None}, []),
        ([*TIMER, "~callbacks.t"], {}, []),
        (["+callbacks.t={_target_: Timer, duration: 1}", "~callbacks.t"], {}, []),
        (["+callbacks.t={_target_: Timer, duration: 1}"], {"callbacks.t.duration": 1}, ["callbacks.t"]),
        (["experiment=quick"], {}, ["experiment"]),
    ],
)
def test_what_a_resumed_run_has_taken_away_is_none_of_its_settings(tmp_path, overrides, settings, keys):
    make_run(tmp_path / "0", {}, {"test/mse": 0.3})
    make_run(tmp_path / "1", settings, {"test/mse": 0.2})
    (tmp_path / "1" / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(overrides), encoding="utf-8")
    assert study_of(find_runs([tmp_path])).keys == keys


def test_only_finished_jobs_are_averaged_and_missing_values_are_left_out(tmp_path):
    sweep = make_sweep(tmp_path / "sweep", ({DIM: 2}, 0, 0.3), ({DIM: 2}, 1, None))
    make_run(sweep / "2", {DIM: 2}, {"test/mse": 9.0, "status": "interrupted"}, seed=2)
    make_run(sweep / "3", {DIM: 2}, {"test/mse": float("nan"), "test/sse": 5.0}, seed=3)
    make_run(sweep / "4", {DIM: 4}, {}, seed=0)
    study = study_of(find_runs([sweep]))
    first, second = study.settings
    assert first.by_seed("test/mse") == {0: 0.3} and first.statistic("test/sse").mean == 5.0
    assert second.statistic("test/mse") is None and study.comparisons == []
    rows = rows_of(summary_csv(study, sweep))
    assert [row["test/mse"] for row in rows] == ["0.3", "", "", "", ""]
    assert count_statuses(study.jobs) == "3 finished, 1 interrupted, 1 failed"


def test_a_metric_that_is_better_when_higher_ranks_the_other_way(tmp_path):
    for number, psnr in enumerate((15.0, 20.0)):
        make_run(tmp_path / str(number), {DIM: number}, {"test/psnr": psnr, "val/mse": psnr})
    study = study_of(find_runs([tmp_path]), "test/psnr")
    assert [setting.values[DIM] for setting in study.settings] == [1, 0]
    assert "5.00 below the best" in study.comparisons[0].sentence("test/psnr")
    assert [job.name for job in best_jobs(study.jobs)] == ["0"]  # by val/mse, whatever is shown


def test_data_sets_are_told_apart_and_never_averaged(tmp_path):
    for number, (dataset, mse) in enumerate((("kmnist", 0.4), ("mnist", 0.1), ("mnist", 0.2))):
        make_run(tmp_path / str(number), {DIM: number // 2}, {"test/mse": mse, "val/mse": mse, "dataset": dataset})
    study = study_of(find_runs([tmp_path]))
    assert study.keys[0] == "dataset" and len(study.settings) == 3
    (comparison,) = study.comparisons
    assert comparison.setting.dataset == comparison.best.dataset == "mnist"
    assert [job.name for job in best_jobs(study.jobs)] == ["0", "1"]
    for text in (format_table(study), summary_md(study, "title", {})):
        assert "These runs have 2 data sets (kmnist, mnist)" in text


def test_a_row_a_job_with_settings_metrics_status_error_and_folder(tmp_path):
    sweep = make_sweep(
        tmp_path / "sweep",
        ({"model.network.hidden_dims": [8, 4]}, 0, 0.25),
        ({"model.network.hidden_dims": [8]}, 1, None),
    )
    make_run(
        tmp_path / "alone", {"model.network.hidden_dims": [8]}, {"test/mse": 0.5, "fit_seconds": 3.5, "test/ssim": 0.75}
    )
    study = study_of(find_runs([sweep, tmp_path / "alone"]))
    best, *others = rows_of(summary_csv(study, sweep))
    failed, alone = sorted(others, key=lambda row: row["status"])
    assert list(best)[:5] == ["job", "model.network.hidden_dims", "seed", "status", "val/mse"]
    assert best["model.network.hidden_dims"] == "[8, 4]" and best["folder"] == "0" and float(best["test/mse"]) == 0.25
    assert failed["error"] == "training diverged: the loss is NaN" and failed["seed"] == "1"
    assert alone["folder"] == str(tmp_path / "alone") and (alone["fit_seconds"], alone["test/ssim"]) == ("3.5", "0.75")


def test_waiting_and_running_jobs_are_shown(tmp_path):
    sweep = make_sweep(tmp_path / "sweep", ({DIM: 2}, 0, 0.3))
    make_run(sweep / "1", {DIM: 4})
    (sweep / PLAN).write_text(json.dumps({str(n): [f"{DIM}={2**n}"] for n in range(4)}), encoding="utf-8")
    folder = RunFolder(sweep / "1")
    folder.hold()
    try:
        study = study_of(find_runs([sweep]))
    finally:
        folder.release()
    assert count_statuses(study.jobs) == "1 finished, 1 running, 2 waiting"
    table = format_table(study)
    assert f"{DIM}=8  " in table and "waiting" in table and "running" in table


def test_the_page_says_how_to_resume_what_has_not_finished(tmp_path):
    sweep = make_sweep(tmp_path / "a sweep", ({DIM: 2}, 0, 0.3), ({DIM: 4}, 0, None))
    page = summary_md(study_of(find_runs([sweep])), "title", {"summary.png": "a chart"})
    assert "1 finished, 1 failed" in page and "training diverged: the loss is NaN" in page
    assert "python src/train.py 'resume=\"" in page and page.endswith("![a chart](summary.png)\n")


def test_text_of_others_does_not_break_the_page(tmp_path):
    make_run(tmp_path / "0", {"tag": "a|b"}, {"test/mse": 0.1})
    make_run(tmp_path / "1", {"tag": "<b>*x*"}, None, "error: <script>|`")
    page = summary_md(study_of(find_runs([tmp_path])), "title", {})
    table = [line for line in page.splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in table}) == 1
    assert r"\<script>\|\`" in page and "`1 tag=<b>*x* seed=0`" in page  # the one as text, the other as code


def test_the_console_shows_the_best_settings_of_many(tmp_path):
    study = study_of(find_runs([make_sweep(tmp_path / "s", *(({DIM: n}, 0, 1 / n) for n in range(1, 31)))]))
    lines = format_table(study).splitlines()
    assert len(lines) == MOST_ROWS + 2 and f"{DIM}=30" in lines[1]
    assert lines[-1] == "and 10 more, in summary.csv"


def test_seeds_alone_have_a_line_each_and_their_mean(tmp_path):
    sweep = make_sweep(tmp_path / "sweep", ({}, 0, 0.3), ({}, 1, 0.2), ({}, 2, None))
    _, first, second, third, last = format_table(study_of(find_runs([sweep]))).splitlines()
    assert "seed=0" in first and second.endswith("* best by val/mse") and "failed" in third
    assert last.split()[:4] == ["all", "mean", "±", "sd"] and "0.2500 ± 0.0707" in last


def test_runs_of_the_evaluation_show_what_they_measured(tmp_path):
    for number, name in enumerate(("a.ckpt", "b.ckpt")):
        make_run(tmp_path / str(number), {"ckpt_path": name}, {"test/knn_accuracy": 0.9 + number / 100}, seed=None)
    study = study_of(find_runs([tmp_path]))
    assert (study.metric, study.keys) == ("test/knn_accuracy", ["ckpt_path"])
    assert "91.00%" in format_table(study).splitlines()[1]


def test_a_metric_that_no_run_has_is_refused_with_those_there_are(tmp_path):
    jobs = find_jobs(make_sweep(tmp_path / "sweep", ({}, 0, 0.3)))
    with pytest.raises(InputError, match="metric=test/sse: no finished run has it; they have val/mse, test/mse"):
        study_of(jobs, "test/sse")
    assert measured_metrics(jobs) == ["val/mse", "test/mse", "pca/test_mse"]
    assert study_of(find_jobs(make_sweep(tmp_path / "new", ({}, 0, None))), "test/sse").metric == "test/sse"


def test_inputs_without_runs_have_their_line(tmp_path):
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "multirun.yaml").touch()
    (tmp_path / "empty" / "a file").mkdir(parents=True)
    (tmp_path / "empty" / "a file" / "x.txt").touch()
    for folders, said in (
        ([], "runs is an empty list"),
        ([tmp_path / "sweep"], "no job of this sweep has begun"),
        ([tmp_path / "empty"], "no run is in this folder"),
        ([tmp_path / "missing"], "there is no such folder"),
    ):
        with pytest.raises(InputError, match=said):
            find_runs(folders)


def test_a_folder_named_twice_is_read_once(tmp_path):
    make_run(tmp_path / "run", {}, {"test/mse": 0.1})
    assert [job.name for job in find_runs([tmp_path / "run", tmp_path / "run"])] == ["run"]
    assert [job.name for job in find_runs([tmp_path / "run", tmp_path])] == ["run"]


def test_labels_and_digits_come_from_the_table_of_metrics():
    assert label_of("val/mse") == "validation mse, per pixel in [-1, 1]"
    assert label_of("pca/test_ssim") == "PCA's test ssim" and label_of("fit_seconds") == "fit_seconds"
    assert format_value("test/mse", 0.01234) == "0.0123" and format_value("test/knn_accuracy", 0.5) == "50.00%"
    assert format_value("test/mse", 0.00001) == "1e-05" and format_value("fit_seconds", 12.3456) == "12.35"
    assert is_higher_better("pca/test_psnr") and not is_higher_better("test/mse_class_3")

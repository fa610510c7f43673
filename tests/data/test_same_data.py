"""A checkpoint is measured on the images that it was trained on, or one line says that these are others."""

import shutil

import numpy as np
import pytest
import torch
from conftest import call, read_metrics, run_evaluate, run_train, write_dataset, write_idx

import evaluate
import explore
import train
from autoencoder.data import sources
from autoencoder.runs.checkpoints import history_of

SETTINGS = ("trainer.max_epochs=1", "model.latent_dim=2", "model.network.hidden_dims=[8]")


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A run on 100 images, their folder, and another folder that has 60."""
    folder = tmp_path_factory.mktemp("two")
    write_dataset(folder / "its", train=100, test=30)
    write_dataset(folder / "other")
    run_train(folder / "run", *SETTINGS, f"data.data_dir={folder / 'its'}")
    return folder


@pytest.fixture
def copy(two, tmp_path):
    """The same, to be changed."""
    shutil.copytree(two, tmp_path / "copy")
    return tmp_path / "copy"


def refused(capfd, main, *arguments):
    """The one line with which a command ends."""
    with pytest.raises(SystemExit) as stopped:
        call(main, *arguments)
    assert stopped.value.code == 1
    captured = capfd.readouterr()
    [line] = (captured.out + captured.err).strip().splitlines()
    return line


def test_data_dir_in_the_environment_does_not_win_over_the_runs_own_folder(two, tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_DIR", str(two / "other"))
    measured = run_evaluate(tmp_path, f"ckpt_path={two}/run/checkpoints/best.ckpt", "metrics=[mse]", "figures=false")
    assert (measured["train_size"], measured["test_size"]) == (89, 30)
    assert measured["test/mse"] == pytest.approx(read_metrics(two / "run")["test/mse"], rel=1e-6)


@pytest.mark.slow
def test_images_that_were_moved_are_found_by_data_dir_in_the_environment(two, copy, tmp_path, monkeypatch):
    moved = tmp_path / "moved"
    shutil.copytree(two / "its", moved)
    monkeypatch.setenv("DATA_DIR", str(moved))
    hidden = two / "hidden"
    (two / "its").rename(hidden)
    try:
        measured = run_evaluate(tmp_path / "e", f"ckpt_path={copy}/run/checkpoints/best.ckpt", "metrics=[mse]")
        assert not (two / "its").exists()
    finally:
        hidden.rename(two / "its")
    assert measured["test_size"] == 30


def test_images_that_were_replaced_are_taken_from_data_dir(tmp_path, two, monkeypatch, capfd):
    shutil.copytree(two / "its", tmp_path / "its")
    run_train(tmp_path / "run", *SETTINGS, f"paths.data_dir={tmp_path / 'its'}")
    shutil.rmtree(tmp_path / "its")
    shutil.copytree(two / "other", tmp_path / "its")
    best = f"ckpt_path={tmp_path}/run/checkpoints/best.ckpt"
    capfd.readouterr()
    refused(capfd, evaluate.evaluate, best, f"hydra.run.dir={tmp_path}/e")
    monkeypatch.setenv("DATA_DIR", str(two / "its"))
    assert run_evaluate(tmp_path / "e", best, "metrics=[mse]", "figures=false")["test_size"] == 30
    monkeypatch.setenv("DATA_DIR", str(two / "other"))
    run_evaluate(tmp_path / "f", f"ckpt_path={two}/run/checkpoints/best.ckpt", "metrics=[mse]", "figures=false")
    assert f"using the run's images in {two / 'its'}, not those in DATA_DIR" in capfd.readouterr().out


@pytest.mark.parametrize("elsewhere", ["none", "moved"])
def test_a_run_goes_on_with_its_own_images_wherever_data_dir_points(elsewhere, two, tmp_path, monkeypatch):
    shutil.copytree(two / "its", tmp_path / "its")
    run_train(tmp_path / "run", *SETTINGS, f"paths.data_dir={tmp_path / 'its'}")
    if elsewhere == "moved":
        (tmp_path / "its").rename(tmp_path / "moved")
    call(train.train, f"resume={tmp_path}/run", "trainer.max_epochs=2", f"paths.data_dir={tmp_path / elsewhere}")
    metrics = read_metrics(tmp_path / "run")
    assert (metrics["dataset"], metrics["train_size"], metrics["epochs"]) == ("mnist", 89, 2)


def test_a_run_whose_images_are_gone_says_where_it_looked(two, tmp_path, capfd):
    shutil.copytree(two / "its", tmp_path / "its")
    run_train(tmp_path / "run", *SETTINGS, f"paths.data_dir={tmp_path / 'its'}")
    capfd.readouterr()
    (tmp_path / "its").rename(tmp_path / "moved")
    line = refused(
        capfd, train.train, f"resume={tmp_path}/run", "trainer.max_epochs=2", f"paths.data_dir={tmp_path}/no"
    )
    assert line == (
        f"error: the run's images are not in {tmp_path}/no or {tmp_path}/its: set DATA_DIR to the folder that has them"
    )


@pytest.mark.slow
def test_a_run_on_the_digits_that_stood_in_goes_on_with_them(tmp_path, two, monkeypatch):
    def fail(*arguments):
        raise OSError("no network")

    monkeypatch.setattr(sources, "_download", fail)
    run_train(tmp_path / "run", *SETTINGS, f"paths.data_dir={tmp_path / 'none'}", "+trainer.limit_train_batches=3")
    call(train.train, f"resume={tmp_path}/run", "trainer.max_epochs=2", f"paths.data_dir={two / 'its'}")
    metrics = read_metrics(tmp_path / "run")
    assert (metrics["dataset"], metrics["val_size"], metrics["epochs"]) == ("mnist_5k", 500, 2)


@pytest.mark.parametrize("main", [evaluate.evaluate, explore.explore])
def test_other_images_are_refused_by_name_and_number(main, two, tmp_path, capfd):
    arguments = (f"ckpt_path={two}/run/checkpoints/best.ckpt", f"data_dir={two}/other", f"hydra.run.dir={tmp_path}/e")
    line = refused(capfd, main, *arguments)
    assert line.startswith(f"error: {two / 'other'} has other images than the checkpoint was trained on: 60 training")
    assert "20 test images (fingerprint " in line and ") instead of 100 and 30 (" in line
    assert not list((two / "other").rglob("*.lock")) and not (two / "run" / "explorer.html").exists()


def test_images_that_are_nowhere_are_not_downloaded_in_place_of_others(copy, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "none"))
    monkeypatch.setattr(sources, "_download", lambda *_: pytest.fail("a download"))
    checkpoint = copy / "run" / "checkpoints" / "best.ckpt"
    line = refused(capfd, evaluate.evaluate, f"ckpt_path={checkpoint}", f"data_dir={tmp_path}/neither")
    assert f"the images that the checkpoint was trained on are not in {tmp_path}/neither: set data_dir" in line
    changed(checkpoint, lambda content: content["datamodule_hyper_parameters"].update(data_dir=str(tmp_path / "gone")))
    line = refused(capfd, evaluate.evaluate, f"ckpt_path={checkpoint}", f"hydra.run.dir={tmp_path}/e")
    assert f"are not in {tmp_path}/gone or {tmp_path}/none: set data_dir" in line
    assert not any((tmp_path / name).exists() for name in ("none", "neither", "gone"))


def changed(checkpoint, change):
    """Writes a checkpoint again, its content changed."""
    content = torch.load(checkpoint, weights_only=True)
    change(content)
    torch.save(content, checkpoint)
    return checkpoint


def test_a_checkpoint_of_an_older_version_is_measured_and_held_to_its_size_alone(copy, tmp_path, capfd):
    def age(content):
        content["ImageDataModule"] = {key: content["ImageDataModule"][key] for key in ("dataset", "val_size")}

    checkpoint = changed(copy / "run" / "checkpoints" / "best.ckpt", age)
    measured = run_evaluate(tmp_path / "e", f"ckpt_path={checkpoint}", "metrics=[mse]", "figures=false")
    assert measured["test_size"] == 30
    for name in sources.FILES:
        write_idx(copy / "sized" / name, np.zeros((90, 8, 9) if "images" in name else 90))
    capfd.readouterr()
    line = refused(capfd, evaluate.evaluate, f"ckpt_path={checkpoint}", f"data_dir={copy}/sized")
    assert "was trained on images of [1, 28, 28]" in line and f"those in {copy}/sized are [1, 8, 9]" in line


def test_a_checkpoint_of_weights_that_are_no_numbers_is_one_line(copy, capfd):
    def spoil(content):
        content["state_dict"]["network.encoder.1.weight"][0, 0] = torch.nan

    checkpoint = changed(copy / "run" / "checkpoints" / "best.ckpt", spoil)
    assert "has infinite or NaN weights" in refused(capfd, evaluate.evaluate, f"ckpt_path={checkpoint}")


def test_going_on_with_other_images_is_refused(copy, capfd):
    shutil.rmtree(copy / "its")
    arguments = (f"resume={copy}/run", "trainer.max_epochs=2", f"data.data_dir={copy}/other")
    assert f"{copy / 'other'} has other images than the checkpoint" in refused(capfd, train.train, *arguments)


def test_a_lone_checkpoint_has_no_loss_curves_and_no_figures_of_another_run(two, run, copy, tmp_path):
    best = copy / "run" / "checkpoints" / "best.ckpt"
    assert history_of(best) == copy / "run" / "history.csv"
    lone = copy / "lone" / "best.ckpt"
    lone.parent.mkdir()
    shutil.copy(best, lone)
    shutil.copy(run / "history.csv", copy / "history.csv")
    assert history_of(lone) is None
    among_others = copy / "third" / "checkpoints" / "best.ckpt"
    shutil.copytree(run, copy / "third")
    shutil.copy(best, among_others)
    assert history_of(among_others) is None
    call(explore.explore, f"ckpt_path={among_others}", f"output={tmp_path}/page.html")
    assert "30 test images" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert history_of("best.ckpt") is None and history_of("/best.ckpt") is None

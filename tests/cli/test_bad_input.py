"""Each mistake gets one line that names it and says what is allowed, an exit code, and no traceback."""

import re
import shutil
from pathlib import Path

import pytest
import torch
from conftest import QUICK, ROOT, command, refuse, refuse_here, write_dataset

import evaluate
import explore
import train
from autoencoder.cli.errors import explain
from autoencoder.data.sources import TITLES
from autoencoder.errors import InputError
from autoencoder.metrics import GROUPS
from autoencoder.runs.checkpoints import read_checkpoint

SETS = [repr(name) for name in TITLES]
TRAIN, EVALUATE = "src/train.py", "src/evaluate.py"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.latent_dimension=3", "unknown key 'model.latent_dimension': allowed keys are bottleneck,"),
        ("modle.latent_dim=3", "unknown key 'modle'"),
        ("++model.latent_dimension=3", "unknown key 'model.latent_dimension': allowed keys are bottleneck,"),
        ("++epochs=3", "unknown key 'epochs': allowed keys are allow_targets, callbacks,"),
        ("++trainer.epochs=3", "unknown key 'trainer.epochs': allowed keys are accelerator,"),
        ("++optimizer.learning_rate=3", "unknown key 'optimizer.learning_rate'"),
        ("++callbacks.checkpoints.top=3", "unknown key 'callbacks.checkpoints.top': allowed keys are dirpath"),
        ("trainer.gradient_clip_val=1", "write +trainer.gradient_clip_val=VALUE"),
        ("model.latent_dim=0", "model.latent_dim must be greater than 0, got 0"),
        ("model.latent_dim=2.5", "model.latent_dim must be a valid integer, got 2.5"),
        ("model.latent_dim=many", "model.latent_dim must be a valid integer, got 'many'"),
        ("model.latent_dim='32'", "model.latent_dim must be a valid integer, got '32'"),
        ("++model.latent_dim=2.5", "model.latent_dim must be a valid integer, got 2.5"),
        ("model.network.hidden_dims=[128,0]", "model.network.hidden_dims must be greater than 0, got [128, 0]"),
        ("model.network.hidden_dims=128", "model.network.hidden_dims must be"),
        (
            "model.network.activation=swish",
            "model.network.activation must be 'relu', 'gelu', 'leaky_relu' or 'tanh', got 'swish'",
        ),
        ("data.batch_size=-1", "data.batch_size must be greater than 0, got -1"),
        ("data.val_size=60000", "data.val_size must be less than 60000, got 60000"),
        ("data.dataset=cifar", f"data.dataset must be {SETS[0]}, "),
        pytest.param("data.dataset=cifar", f" or {SETS[-1]}, got 'cifar'", marks=pytest.mark.slow),
        ("optimizer.lr=0", "optimizer.lr must be greater than 0, got 0"),
        ("scheduler.warmup=2", "scheduler.warmup must be less than or equal to 1, got 2"),
        ("seed=-1", "seed must be greater than or equal to 0, got -1"),
        ("seed=one", "seed must be a valid integer, got 'one'"),
        ("trainer.max_epochs=1.5", "trainer.max_epochs must be a valid integer, got 1.5"),
        ("trainer.precision=8", "trainer.precision must be"),
        ("experiment=unheard_of", "Could not find 'experiment/unheard_of' Available options in 'experiment': anomaly"),
        ("model=unheard_of", "Could not find 'model/unheard_of' Available options in 'model': "),
        ("callbacks=null", "callbacks=null: a group takes the name of one of its files"),
        ("logger=false", "no loggers: logger=[]"),
        ("+callbacks.x=5", "callbacks.x must be a group of settings with a _target_"),
        ("+trainer.gradient_clip_val=-1", "trainer.gradient_clip_val must be at least 0, got -1"),
        ("trainer.devices=999999", "trainer.devices=999999 would start that many processes: set at most"),
        ("sweep=latent_dim", "sweep=latent_dim starts several runs: add -m, or leave it out"),
        ("model._target_=autoencoder.Autoencoder", "'autoencoder.Autoencoder' was not found"),
        ("not an override", "error"),
        ("~hydra", "the config has no 'hydra', which a run needs: leave out ~hydra"),
    ],
)
def test_a_mistake_in_the_command(override, message, tmp_path):
    assert message in refuse(TRAIN, override, f"paths.log_dir={tmp_path}")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.max_epoch=3", "; did you mean trainer.max_epochs?"),
        ("+trainer.max_epoch=3", "; did you mean trainer.max_epochs?"),
        ("trainer.gradient_clip=1", "; did you mean trainer.gradient_clip_val?"),
        ("modle.latent_dim=3", "; did you mean model?"),
        ("latent_dim=3", "; did you mean model.latent_dim?"),
        ("++max_epochs=3", "; did you mean trainer.max_epochs?"),
        ("experimnt=quick", "; did you mean experiment?"),
        ("views.traversals.dimensions=0", "views.traversals.dimensions must be greater than 0, got 0"),
        ("+views.interpolations.steps=1", "views.interpolations.steps must be"),
        ("views.reconstruction=null", "; did you mean views.reconstructions?"),
        ("experiment=clasic", "; did you mean experiment=classic?"),
        ("logger=[tensorboard,cvs]", "'logger/cvs': logger takes csv, mlflow, tensorboard, wandb"),
        ("logger=tensorbord", "; did you mean logger=tensorboard?"),
        ("model._target_=autoencoder.AutoencoderModul", "; did you mean autoencoder.AutoencoderModule?"),
        ("model.network.hidden_dims=256", "model.network.hidden_dims must be a list: [256], got 256"),
        ("+model.image_shape=28", "model.image_shape must be a list: [28], got 28"),
        ("model.latent_dim=[3]", "must be a valid integer, got [3]: one value, without brackets"),
        ("figures=1", "figures must be a valid boolean, got 1: write true or false"),
        ("seed=99999999999", "seed must be less than or equal to 4294967295, got 99999999999"),
        ("data.seed=4294967296", "data.seed must be less than or equal to 4294967295"),
        ("data.batch_size=10000000000000000000", "data.batch_size must be less than 9223372036854775808"),
        ("optimizer.lr=inf", "optimizer.lr must be a finite number, got inf"),
        ("optimizer.weight_decay=nan", "optimizer.weight_decay must be a finite number, got nan"),
        ("model.latent_dim=???", "model.latent_dim is not set"),
        ("trainer.max_epochs = 3", "write KEY=VALUE without spaces"),
        ("~scheduler", "the config has no 'scheduler', which a run needs: leave out ~scheduler, or write scheduler=NA"),
        ("~optimizer", "or write optimizer=NAME (adam, "),
        ("~model", "the config has no 'model'"),
        ("~data", "the config has no 'data'"),
        ("~trainer", "the config has no 'trainer'"),
        ("~callbacks", "the config has no 'callbacks'"),
        ("~paths", "the config has no 'paths'"),
        ("~logger", "for none, write logger=[]"),
        ("~seed", "leave out ~seed"),
        ("~figures", "figures is not set: leave out ~figures"),
        ("+callbacks.stop._target_=lightning.pytorch.callbacks.EarlyStopping", "add +callbacks.stop.monitor=VALUE"),
        ("+callbacks.mine.path=x", "callbacks.mine has no _target_, the class to build"),
        ("+callbacks.stop._target_=no_such_package.Stop", "allow it with allow_targets=[no_such_package]"),
        (
            "+callbacks.stop._target_=no_such_package.Stop allow_targets=[no_such_package]",
            "(ModuleNotFoundError: No module named 'no_such_package')",
        ),
        ("+callbacks.stop._target_=Stop", "must be the name of a class or function, MODULE.NAME, got 'Stop'"),
        ("model._target_=3 model.first=1", "unknown key 'model.first'"),
        ("optimizer._target_=torch.optim.swa_utils", "'torch.optim.swa_utils' was not found"),
        (
            "callbacks.progress=null callbacks.progress.rate=3",
            "callbacks.progress is null in this run: leave it out, or add the part anew, "
            "'callbacks.progress={_target_: CLASS, rate: VALUE}'",
        ),
        ("views.traversals=null views.traversals._target_=x", "anew, 'views.traversals={_target_: CLASS}'"),
        ("views=none views.samples.n=3", "views is empty in this run: add a part, +views.samples._target_=CLASS"),
        ("logger=[] logger.csv.name=x", "logger is empty in this run: add a part, +logger.NAME._target_=CLASS"),
        ("seed.first=3", "seed is a single value, not a group of settings"),
        ("model.network.activation.name=relu", "model.network.activation is a single value, not a group of settings"),
        ("model._target_=3", "model._target_ must be the name of a class or function, MODULE.NAME, got 3"),
    ],
)
def test_a_mistake_is_answered_with_what_was_meant(override, message, tmp_path, capfd):
    words = [override] if " = " in override else override.split()
    assert message in refuse_here(train.train, capfd, *words, f"paths.log_dir={tmp_path}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("model: {latent_dims: 3}", "unknown key 'model.latent_dims'"),
        ("model: {latent_dim: 2.5}", "model.latent_dim must be a valid integer, got 2.5"),
        ("trainer: {max_epochs: 'ten'}", "trainer.max_epochs must be a valid integer, got 'ten'"),
        ("optimiser: {lr: 1}", "unknown key 'optimiser'"),
    ],
)
def test_a_mistake_in_an_experiment_file(content, message, tmp_path):
    folder = tmp_path / "configs" / "experiment"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(f"# @package _global_\n{content}\n", encoding="utf-8")
    overrides = (f"hydra.searchpath=[{tmp_path / 'configs'}]", "experiment=mine", f"paths.log_dir={tmp_path}")
    assert message in refuse(TRAIN, *overrides)


def test_a_checkpoint_that_is_not_there(tmp_path):
    line = refuse(EVALUATE, f"ckpt_path={tmp_path}/best.ckpt", f"paths.log_dir={tmp_path}")
    assert "there is no such file" in line and "RUN/checkpoints/best.ckpt" in line
    assert "ckpt_path" in refuse(EVALUATE, f"paths.log_dir={tmp_path}")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("metrics=[mse,fid]", f"metrics must be {', '.join(map(repr, GROUPS[:-1]))} or {GROUPS[-1]!r}, got"),
        ("metrics=mse", "metrics must be a list: [mse], got 'mse'"),
        ("projection=mds", "projection must be 'tsne', 'pca' or 'umap', got 'mds'"),
        ("trainer.devices=2", "; trainer is a setting of train.py; here it comes from the checkpoint"),
        (
            "logs/train/latest",
            "'logs/train/latest' is not a setting: write KEY=VALUE, such as ckpt_path=",
        ),
        ("+trainer=gpu", "unknown key 'trainer': allowed keys are allow_packages, ckpt_path"),
        ("+logger=csv", "unknown key 'logger': allowed keys are allow_packages, ckpt_path"),
        ("+sweep=seeds", "sweep=seeds starts several runs: add -m, or leave it out"),
        ("hydra.job.chdir=true", "hydra.job.chdir=true would change what your paths mean"),
        ("data=mnist_5k", "; data is a setting of train.py; here it comes from the checkpoint"),
        ("figures=maybe", "figures must be a valid boolean, got 'maybe'"),
    ],
)
def test_a_mistake_in_an_evaluation(override, message, tmp_path):
    assert message in refuse(EVALUATE, "ckpt_path=best.ckpt", override, f"paths.log_dir={tmp_path}")


@pytest.mark.parametrize("folder", ["", "checkpoints"])
def test_a_folder_in_place_of_a_checkpoint(folder, tmp_path, run):
    with pytest.raises(InputError, match=f"is a folder: use a checkpoint, {run}/checkpoints/best.ckpt"):
        read_checkpoint(run / folder)


def test_a_broken_checkpoint(tmp_path, run):
    checkpoint = tmp_path / "broken.ckpt"
    whole = (run / "checkpoints" / "last.ckpt").read_bytes()
    checkpoint.write_bytes(whole[: len(whole) // 2])
    overrides = ("experiment=quick", f"ckpt_path={checkpoint}", f"paths.log_dir={tmp_path}")
    assert f"ckpt_path={checkpoint} is broken or not a checkpoint" in refuse(TRAIN, *overrides)


@pytest.mark.slow
def test_a_checkpoint_of_another_shape(tmp_path, run):
    checkpoint = run / "checkpoints" / "last.ckpt"
    line = refuse(TRAIN, "experiment=quick", f"ckpt_path={checkpoint}", f"paths.log_dir={tmp_path}")
    assert "was trained with latent_dim 8, this model has 32: set model.latent_dim=8 or start a new run" in line


@pytest.mark.slow
def test_a_checkpoint_of_another_optimiser(tmp_path, run):
    overrides = ("experiment=quick", "model.latent_dim=8", "optimizer=adam", f"paths.log_dir={tmp_path}")
    line = refuse(TRAIN, *overrides, f"ckpt_path={run / 'checkpoints' / 'last.ckpt'}")
    assert "was trained with the optimizer Muon, this run has Adam" in line


@pytest.mark.parametrize(
    ("damage", "message"),
    [("cut", "but its header says"), pytest.param("magic", "wrong magic number", marks=pytest.mark.slow)],
)
def test_a_damaged_data_file(tmp_path, damage, message):
    raw = tmp_path / "MNIST" / "raw"
    write_dataset(raw)
    file = raw / "train-images-idx3-ubyte"
    content = file.read_bytes()
    file.write_bytes(content[:-1] if damage == "cut" else b"PK" + content[2:])
    line = refuse(TRAIN, "data.val_size=10", f"paths.log_dir={tmp_path}", DATA_DIR=str(tmp_path))
    assert message in line and str(file) in line


@pytest.mark.slow
def test_a_gpu_where_there_is_none(tmp_path):
    line = refuse(TRAIN, "experiment=quick", "trainer=gpu", f"paths.log_dir={tmp_path}", CUDA_VISIBLE_DEVICES="")
    assert "trainer.accelerator=gpu: this machine has no GPU" in line and "trainer=cpu" in line


@pytest.mark.parametrize("main", [evaluate.evaluate, explore.explore])
def test_a_checkpoint_is_not_measured_on_a_gpu_that_is_not_there(run, tmp_path, capfd, monkeypatch, main):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    settings = (f"ckpt_path={run}/checkpoints/best.ckpt", "device=gpu", f"hydra.run.dir={tmp_path}/out")
    line = refuse_here(main, capfd, *settings)
    assert line.endswith("error: device=gpu: this machine has no GPU that torch can use; set device=auto or device=cpu")


def test_a_folder_that_cannot_be_one(tmp_path):
    (tmp_path / "file").touch()
    assert str(tmp_path / "file") in refuse(TRAIN, "experiment=quick", f"hydra.run.dir={tmp_path}/file")


def test_a_folder_that_holds_another_run(tmp_path, run):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    before = {path: path.read_bytes() for path in sorted(copy.rglob("*")) if path.is_file()}
    line = refuse(TRAIN, "experiment=quick", f"hydra.run.dir={copy}")
    assert f"{copy} holds a run with other settings, model.latent_dim was 8 and is 32 now" in line
    assert {path: path.read_bytes() for path in sorted(copy.rglob("*")) if path.is_file()} == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("class Stopp: pass\n", "'mine.Stop' was not found; check its spelling; did you mean mine.Stopp?"),
        ("def broken(:\n", "SyntaxError: "),
        ("import no_such_package\nclass Stop: pass\n", "No module named 'no_such_package'"),
        ("raise OSError('no licence')\nclass Stop: pass\n", "no licence"),
        (None, "ModuleNotFoundError: No module named 'mine'"),
    ],
)
def test_a_class_of_ones_own_that_cannot_be_imported(content, message, tmp_path):
    if content:
        (tmp_path / "mine.py").write_text(content, encoding="utf-8")
    overrides = ("experiment=quick", "+callbacks.mine._target_=mine.Stop", "allow_targets=[mine]")
    line = refuse(TRAIN, *overrides, f"paths.log_dir={tmp_path}", PYTHONPATH=str(tmp_path))
    assert "mine.Stop" in line and message in line


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.accelerator=cuda:0", "error: trainer: You selected an invalid accelerator name"),
        ("+trainer.num_nodes=0", "error: trainer: `num_nodes` must be a positive integer, but got 0"),
        ("trainer.devices=[7]", "error: trainer: `devices` selected with `CPUAccelerator` should be an int > 0"),
        ("+callbacks.mine._target_=math.sqrt allow_targets=[math]", "sqrt cannot be built: TypeError"),
        ("model.latent_dim=1000000000", "weights needs 1,536 GB to train, and this machine has"),
        (
            "model.network.hidden_dims=[1000000,1000000]",
            "set a smaller model.latent_dim or smaller model.network.hidden_dims",
        ),
    ],
)
def test_settings_that_only_their_library_knows_to_be_wrong(override, message, tmp_path, capfd):
    assert message in refuse_here(train.train, capfd, *QUICK, *override.split(), f"hydra.run.dir={tmp_path}")


def test_lack_of_memory_is_one_line():
    torch.ones(1)
    with pytest.raises(RuntimeError) as failed:
        torch.empty(2**60)
    assert str(explain(failed.value)).startswith("out of memory")
    assert str(explain(MemoryError("Unable to allocate 9 GiB"))).startswith("out of memory")


def test_config_errors_leave_torch_alone():
    stop = "+callbacks.stop._target_=lightning.pytorch.callbacks.EarlyStopping"
    for argument in ("--help", "model.latent_dim=0", "model.latent=3", "~model", stop, f"{stop}s"):
        imported = command("-X", "importtime", "src/train.py", argument).stderr
        assert re.search(r"\| +hydra$", imported, re.MULTILINE)
        assert not re.search(r"\| +(torch|lightning)$", imported, re.MULTILINE), argument


def test_no_checkpoint_is_ever_unpickled_in_full():
    for folder in ("src", "configs", "benchmarks"):
        for file in Path(ROOT, folder).rglob("*.*"):
            if file.suffix in (".py", ".yaml"):
                assert "weights_only=False" not in file.read_text(encoding="utf-8").replace(" ", ""), file

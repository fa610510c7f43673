"""A config runs only this project's code and what its user allows; all else is refused before it is imported."""

import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import QUICK, ROOT, call, refuse_here
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

import evaluate
import train
from autoencoder.cli import hydra_callbacks, own_configs
from autoencoder.cli.config_check import check_config
from autoencoder.cli.errors import arguments_of
from autoencoder.cli.hydra_callbacks import SweepReport
from autoencoder.cli.own_configs import named_in_configs
from autoencoder.cli.process import options_first
from autoencoder.cli.resume import expand_resume, find_start
from autoencoder.cli.signatures import find_definition, names_beside, signature_of
from autoencoder.errors import InputError
from autoencoder.models.parts import check_packages
from autoencoder.runs.folder import RunFolder

REFUSED = "it may name a class of autoencoder, of Lightning's callbacks, loggers and profilers, of torch.optim, or"
GONE = "was not found; check its spelling"
FUNCTION = "must name a class, or a function of autoencoder with _partial_: true"


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    """The resolved config of a run."""
    with initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        config = compose("train", ["hydra.runtime.output_dir=/nowhere"], return_hydra_config=True)
        own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
        OmegaConf.update(own, "paths.output_dir", "/nowhere")
        return OmegaConf.to_container(own, resolve=True)


@pytest.fixture
def stranger(tmp_path, monkeypatch) -> Path:
    """A package that can be imported, and that leaves a file when it is; returns the path of that file."""
    trace = tmp_path / "it_ran"
    touch = f"__import__('pathlib').Path({str(trace)!r}).touch()"
    (tmp_path / "stranger").mkdir()
    (tmp_path / "stranger" / "__init__.py").write_text(
        f"import os\nfrom shutil import copy\n{touch}\n\n\ndef part(size: {touch} = 1): ...\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield trace
    sys.modules.pop("stranger", None)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        *((target, REFUSED) for target in ("os.system", "subprocess.run", "shutil.copy", "builtins.exec")),
        *((target, REFUSED) for target in ("hydra.utils.instantiate", "hydra.utils.get_method", "torch.load")),
        *((target, REFUSED) for target in ("stranger.part", "stranger.copy", "stranger.os.system", "autoencoder_.X")),
        ("lightning.pytorch.strategies.DDPStrategy", "allow it with allow_targets=[lightning]"),
        ("autoencoder.runs.export.copy", GONE),
        # what a module of an allowed package has imported
        ("autoencoder.limits.os.system", GONE),
        ("autoencoder.limits.annotated_types.Ge", GONE),
        ("autoencoder.limits.Path", "autoencoder.limits.Path, which is pathlib.Path; it may"),
        ("autoencoder.cli.errors.contextmanager", ", which is contextlib.contextmanager; it may"),
        ("lightning.pytorch.callbacks.timer.timedelta", ", which is datetime.timedelta; it may"),
        ("lightning.pytorch.loggers.csv_logs.os.system", GONE),
        ("torch.optim.optimizer.torch.load", GONE),
        # methods, which may load anything, and functions, which do their work at once
        ("autoencoder.models.module.AutoencoderModule.load_from_checkpoint", GONE),
        ("autoencoder.models.module.load_from_checkpoint", GONE),
        ("autoencoder.runs.folder.write_whole", FUNCTION),
        ("autoencoder.load", FUNCTION),
        ("lightning.pytorch.loggers.tensorboard.rank_zero_only", ", which is lightning"),
        # no names at all
        *((target, "must be the name of a class or function, MODULE.NAME, got") for target in (3, None, ["os.system"])),
        *((target, "MODULE.NAME, got") for target in ("system", "", ".", "os.", "autoencoder..x", "autoencoder.x y")),
    ],
)
def test_a_config_may_not_name_other_code(settings, stranger, target, said):
    part = {"_target_": target}
    hidden = {"_target_": "lightning.pytorch.callbacks.LambdaCallback", "on_fit_start": [{"deep": [part]}]}
    places = {
        "callbacks.x": {"callbacks": settings["callbacks"] | {"x": part}},
        "callbacks.x.on_fit_start.0.deep.0": {"callbacks": settings["callbacks"] | {"x": hidden}},
        "model.bottleneck": {"model": settings["model"] | {"bottleneck": part}},
        "trainer.plugins.1": {"trainer": settings["trainer"] | {"plugins": ["x", part]}},
        "views.x": {"views": settings["views"] | {"x": part}},
        "optimizer": {"optimizer": part},
    }
    for path, change in places.items():
        with pytest.raises(InputError) as refused:
            check_config(settings | change, train.train.function, ["start"])
        line = str(refused.value)
        assert line.startswith(f"{path}._target_") and said in line and "\n" not in line, line
    assert not stranger.exists() and "stranger" not in sys.modules


def test_what_the_projects_configs_and_documents_use_may_be_named(settings):
    parts = (
        ("callbacks", {"_target_": "lightning.pytorch.callbacks.EarlyStopping", "monitor": "val/mse"}),
        ("callbacks", {"_target_": "lightning.pytorch.callbacks.early_stopping.EarlyStopping", "monitor": "val/mse"}),
        ("logger", {"_target_": "lightning.pytorch.loggers.CSVLogger", "save_dir": "x"}),
        ("logger", {"_target_": "autoencoder.runs.logs.CSVLogger", "save_dir": "x"}),  # is Lightning's
        ("views", {"_target_": "autoencoder.pictures.panels.traversals", "_partial_": True}),
    )
    for group, part in parts:
        check_config(settings | {group: settings[group] | {"x": part}}, train.train.function, ["start"])
    profiler = {"_target_": "lightning.pytorch.profilers.SimpleProfiler"}
    sgd = {"_target_": "torch.optim.SGD", "_partial_": True}
    step = {"_target_": "torch.optim.lr_scheduler.StepLR", "_partial_": True, "step_size": 2}
    own = {"trainer": settings["trainer"] | {"profiler": profiler}, "optimizer": sgd, "scheduler": step}
    check_config(settings | own, train.train.function, ["start"])


def test_an_allowed_package_may_be_named_but_not_what_it_has_imported(settings, stranger):
    def check(target: str, *allowed: str) -> None:
        callbacks = settings["callbacks"] | {"x": {"_target_": target, "_partial_": True}}
        own = {"callbacks": callbacks, "allow_targets": list(allowed)}
        check_config(settings | own, train.train.function, ["start"])

    check("stranger.part", "stranger")
    assert not stranger.exists(), "its signature is read from its source, of which nothing is run"
    check("stranger.copy", "stranger", "shutil")
    for target, suggestion in (("stranger.copy", "[stranger,shutil]"), ("stranger.os.system", "[stranger,posix]")):
        with pytest.raises(InputError, match=re.escape(f"allow it with allow_targets={suggestion}")):
            check(target, "stranger")
    assert stranger.exists(), "to see what its os is, it has been imported, as its user has allowed"
    check("lightning.pytorch.strategies.DDPStrategy", "lightning.pytorch.strategies")
    with pytest.raises(InputError, match="allow_targets must be a list"):
        check_config(settings | {"allow_targets": "os"}, train.train.function, ["start"])


def test_what_a_file_in_configs_names_is_allowed(tmp_path, monkeypatch, settings):
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    mine = {"model": settings["model"] | {"bottleneck": {"_target_": "my_package.Binary", "_partial_": True}}}
    with pytest.raises(InputError, match="name it there, or allow it"):
        check_config(settings | mine, train.train.function, ["start"])
    (tmp_path / "configs" / "model" / "bottleneck" / "binary.yaml").write_text(
        "# _target_: my_package.Commented\n_target_: my_package.Binary\nkey: ${oc.env:MY_VARIABLE}\n", encoding="utf-8"
    )
    monkeypatch.setattr(own_configs, "CONFIGS", tmp_path / "configs")
    assert named_in_configs().targets >= {"my_package.Binary", "lightning.pytorch.Trainer"}
    assert "my_package.Commented" not in named_in_configs().targets
    assert named_in_configs().variables == {"DATA_DIR", "PROJECT_ROOT", "MLFLOW_TRACKING_URI", "MY_VARIABLE"}
    with pytest.raises(InputError, match="ModuleNotFoundError: No module named 'my_package'"):  # allowed, but not there
        check_config(settings | mine, train.train.function, ["start"])


def test_the_signature_reader_reads_packages_only_and_runs_nothing(stranger, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    touch = f"__import__('pathlib').Path({str(stranger)!r}).touch()"
    (tmp_path / "evil.py").write_text(f"class Part:\n    def __init__(self, size: {touch}): ...\n", encoding="utf-8")
    (tmp_path / "built-in").write_text("def exit(): ...\n", encoding="utf-8")
    for target in (
        f"autoencoder.{tmp_path}/evil.Part",
        f"{tmp_path}/evil.Part",
        "autoencoder.../evil.Part",
        "sys.exit",
    ):
        assert signature_of(target) is None and find_definition(target) is None and arguments_of(target) == []
        assert names_beside(target) == ([], False)
    signature = signature_of("stranger.part")
    assert [annotation() for annotation in signature.parameters.values()] == [Any] and not stranger.exists()
    for path in (ROOT / "src").rglob("*.py"):
        assert not re.search(r"(?<![\w.])(eval|exec)\(", path.read_text(encoding="utf-8")), path


def test_a_command_refuses_in_one_line_and_runs_nothing(stranger, tmp_path, capfd):
    copy = f"{{_target_: shutil.copy, src: {ROOT}/LICENSE, dst: {stranger}}}"
    for words in (
        ("model._target_=os.system",),
        ("+callbacks.x._target_=stranger.part",),
        (f"+callbacks.x={copy}",),
        # what Hydra builds itself, before any command
        (f"+hydra.callbacks.x={copy}",),
        ("+hydra.callbacks.x=${paths.more}", f"+paths.more={copy}"),
        (f"++hydra={{callbacks: {{x: {copy}}}}}",),
        ("-m", "seed=0,1", f"+hydra.launcher.x={copy}"),
    ):
        line = refuse_here(train.train, capfd, *words, f"paths.log_dir={tmp_path}/logs")
        assert REFUSED in line and not [path for path in (tmp_path / "logs").rglob("*") if path.is_file()]
    for words, said in (
        (("+hydra.job_logging.handlers.x={class: shutil.copy}",), REFUSED),
        (("+hydra.hydra_logging.handlers.x={class: logging.os.system, command: 'true'}",), GONE),
        (("hydra.job_logging.handlers.console.stream=ext://stranger.part",), "may be ext://sys.stdout or ext://sys.st"),
    ):
        assert said in refuse_here(evaluate.evaluate, capfd, "ckpt_path=x", *words, f"paths.log_dir={tmp_path}/logs")
    assert not stranger.exists() and "stranger" not in sys.modules
    with pytest.raises(SystemExit, match="there is no option --experimental-rerun"):  # it unpickles a file
        options_first(["--experimental-rerun", "config.pickle"])


def test_each_job_of_a_sweep_is_refused(stranger, tmp_path, capfd):
    swept = "+callbacks.x._target_=stranger.part,autoencoder.limits.os.system"
    with pytest.raises(SystemExit):
        call(train.train, "-m", *QUICK, swept, f"hydra.sweep.dir={tmp_path}/sweep")
    said = capfd.readouterr().out
    assert f"error: callbacks.x._target_ names stranger.part; {REFUSED}" in said
    assert f"'autoencoder.limits.os.system' {GONE}" in said and not stranger.exists()


@pytest.fixture
def theirs(tmp_path) -> Path:
    """The folder of a run that somebody else has started, with a record that they could change."""
    folder = tmp_path / "theirs"
    (folder / ".hydra").mkdir(parents=True)
    words = "['+callbacks.x._target_=stranger.part', 'allow_targets=[stranger]']"
    (folder / ".hydra" / "overrides.yaml").write_text(words, encoding="utf-8")
    return folder


def last_line(capfd, *words: str) -> str:
    """The line with which train.py refuses, after it has said that the run starts from the beginning."""
    with pytest.raises(SystemExit):
        call(train.train, *words)
    return "".join(capfd.readouterr()).splitlines()[-1]


def test_a_record_cannot_make_a_resumed_run_do_something_else(theirs, stranger, tmp_path, capfd):
    line = last_line(capfd, f"resume={theirs}")
    assert f"callbacks.x._target_ names stranger.part; {REFUSED}" in line and not stranger.exists()
    expanded = expand_resume([f"resume={theirs}", "allow_targets=[stranger]"])
    assert [word for word in expanded if "allow_targets" in word] == ["allow_targets=[stranger]"]  # the user's own
    # a folder of configs that the record names, which holds the allowance
    folder = tmp_path / "configs" / "experiment"
    folder.mkdir(parents=True)
    (folder / "evil.yaml").write_text(
        "# @package _global_\nallow_targets: [stranger]\ncallbacks: {x: {_target_: stranger.part}}\n", encoding="utf-8"
    )
    (theirs / ".hydra" / "overrides.yaml").write_text("- experiment=evil\n", encoding="utf-8")
    hydra = {"hydra": {"overrides": {"hydra": [f"hydra.searchpath=[file://{tmp_path}/configs]"]}}}
    (theirs / ".hydra" / "hydra.yaml").write_text(yaml.safe_dump(hydra), encoding="utf-8")
    assert REFUSED in last_line(capfd, f"resume={theirs}")
    text = (folder / "evil.yaml").read_text(encoding="utf-8").replace("callbacks:", "hydra: {callbacks:")
    (folder / "evil.yaml").write_text(text.replace("}}\n", "}}}\n"), encoding="utf-8")
    line = last_line(capfd, f"resume={theirs}")
    assert f"hydra.callbacks.x._target_ names stranger.part; {REFUSED}" in line and not stranger.exists()


@pytest.mark.parametrize(
    "setting",
    [
        *("hydra.launcher.setup=[touch it_ran]", "hydra.launcher={setup: [touch it_ran]}"),
        *("hydra.launcher.additional_parameters={wrap: touch it_ran}", "hydra.launcher.account='me\ntouch it_ran'"),
    ],
)
def test_a_record_cannot_make_a_resumed_sweep_run_shell_commands(setting, tmp_path):
    record = {"hydra": {"overrides": {"task": ["seed=0,1"], "hydra": ["hydra/launcher=slurm", setting]}}}
    (tmp_path / "jobs.json").write_text("{}", encoding="utf-8")
    (tmp_path / "multirun.yaml").write_text(yaml.safe_dump(record), encoding="utf-8")
    with pytest.raises(InputError, match="would run shell commands that its record holds"):
        expand_resume([f"resume={tmp_path}"])


def test_a_run_recorded_before_there_was_such_a_setting_goes_on(settings, theirs):
    (theirs / "checkpoints").mkdir()
    (theirs / "checkpoints" / "last.ckpt").touch()
    older = {key: value for key, value in settings.items() if key != "allow_targets"}
    (theirs / ".hydra" / "config.yaml").write_text(yaml.safe_dump(older), encoding="utf-8")
    now = settings | {"allow_targets": ["my_package"], "resume": str(theirs)}
    assert find_start(RunFolder(theirs), now).goes_on
    del older["optimizer"]
    (theirs / ".hydra" / "config.yaml").write_text(yaml.safe_dump(older), encoding="utf-8")
    with pytest.raises(InputError, match=r"\.hydra/config.yaml is missing or broken"):
        find_start(RunFolder(theirs), now)


def test_a_record_cannot_make_a_report_load_other_classes(tmp_path, monkeypatch):
    allowed = []
    monkeypatch.setattr(hydra_callbacks, "find_jobs", lambda folder: ["a job"])
    for name in ("format_table", "taken_over", "best_lines", "study_of"):
        monkeypatch.setattr(hydra_callbacks, name, lambda jobs, name=name: "" if name == "format_table" else [])
    named = {"my_package.Binary", "stranger.part", "autoencoder.models.losses.MSE"}
    monkeypatch.setattr(hydra_callbacks, "classes_of_models", lambda jobs: named)
    monkeypatch.setattr(hydra_callbacks, "save_study", lambda *_, allow_packages: allowed.extend(allow_packages))
    config = {"hydra": {"sweep": {"dir": str(tmp_path)}}, "allow_targets": ["my_package"]}
    with pytest.raises(SystemExit):  # "a job" has not finished
        SweepReport().on_multirun_end(OmegaConf.create(config))
    assert set(allowed) == {"my_package.Binary", "autoencoder.models.losses.MSE"}


def test_packages_are_allowed_by_name_alike_for_checkpoints():
    binary = {"bottleneck": {"_target_": "my_package.parts.Binary"}, "loss": {"levels": 3}}
    for allowed in (["my_package"], ["my_package.parts"], ["my_package.parts.Binary"]):
        check_packages(binary, allowed, "best.ckpt")
    for allowed in ([], ["my_pack"], ["my_package.part"], ["other"]):
        with pytest.raises(InputError, match=r"best.ckpt needs .* allow it with allow_packages=\[my_package\]"):
            check_packages(binary, allowed, "best.ckpt")

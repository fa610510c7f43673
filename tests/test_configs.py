"""Every file in configs/ composes into a config whose parts can be built."""

from pathlib import Path

import pytest
import torch
import yaml
from conftest import ROOT
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import OmegaConf

import evaluate
import train
from autoencoder import AutoencoderModule
from autoencoder.cli.config_check import check_config
from autoencoder.cli.errors import EXTRAS
from autoencoder.cli.search_space import read_space
from autoencoder.cli.signatures import signature_of

CONFIGS = ROOT / "configs"
GROUPS = {
    "model",
    "data",
    "optimizer",
    "scheduler",
    "trainer",
    "callbacks",
    "views",
    "logger",
    "experiment",
    "sweep",
    "search",
    "hydra",
    "paths",
}
NEEDED = {"folder": ["data.path=images"]}  # by name of the file: what only the user can say
FILES = sorted(path.relative_to(CONFIGS).with_suffix("") for path in CONFIGS.glob("*/**/*.yaml"))


def composed(tmp_path: Path, *overrides: str, name: str = "train") -> dict:
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = compose(name, [f"hydra.runtime.output_dir={tmp_path}", *overrides], return_hydra_config=True)
        HydraConfig.instance().set_config(config)
        del_hydra = {key: value for key, value in config.items() if key != "hydra"}
        resolved = OmegaConf.to_container(OmegaConf.create(del_hydra), resolve=True)
    return resolved


@pytest.mark.parametrize("file", FILES, ids=str)
def test_each_file_composes_checks_and_builds(file, tmp_path):
    group, name = file.parent.as_posix(), file.name
    choice = f"{group}=[{name}]" if group == "logger" else f"{group}={name}"
    settings = composed(tmp_path, choice, *NEEDED.get(name, ()))
    check_config(settings, train.train.function, given=("start",))
    module = instantiate(
        settings["model"],
        optimizer=instantiate(settings["optimizer"]),
        scheduler=instantiate(settings["scheduler"]),
        _convert_="all",
    )
    assert isinstance(module, AutoencoderModule)
    optimizer = module.make_optimizer(module)
    assert module.make_scheduler(optimizer, 10).get_last_lr()
    instantiate(settings["data"], _convert_="all")
    if name in EXTRAS:
        pytest.importorskip(name, reason=f"needs the extra: pip install -e .[{name}]")
    for part in [*settings["callbacks"].values(), *settings["views"].values(), *settings["logger"].values()]:
        if "_target_" in part:
            instantiate(part, _convert_="all")
    if settings["trainer"]["accelerator"] == "cpu" or torch.cuda.is_available():
        assert instantiate(settings["trainer"], logger=False, enable_progress_bar=False).max_epochs


@pytest.mark.parametrize("name", [file.name for file in FILES if file.parts[0] == "search"])
def test_each_search_chooses_from_settings_that_a_run_takes(name, tmp_path):
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = compose("train", [f"search={name}"], return_hydra_config=True)
    params = OmegaConf.to_container(config.hydra.sweeper.params)
    space = read_space(None, params, [])
    assert space.ranges.keys() == params.keys() and config.hydra.sweep.dir.endswith(f"/searches/{name}")
    for example in space.examples():
        check_config(composed(tmp_path, *example), train.train.function, given=("start",))


def test_the_groups_are_those_of_the_contract():
    assert {path.name for path in CONFIGS.iterdir() if path.is_dir()} == GROUPS


def test_each_file_says_in_its_first_line_what_it_is_for():
    for path in CONFIGS.rglob("*.yaml"):
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("# @package")]
        assert lines[0].startswith("# "), path


def test_defaults_of_signature_and_config_agree(tmp_path):
    """A notebook and a command train the same thing."""
    import inspect
    from importlib import import_module

    settings = composed(tmp_path)
    parts = {name: settings[name] for name in ("model", "data", "optimizer", "scheduler")}
    for file in FILES:
        if file.parent.parent.name == "model":
            choice = f"{file.parent.as_posix()}={file.name}"
            parts[choice] = composed(tmp_path, choice)["model"][file.parent.name]
    for group, part in parts.items():
        module, _, name = part["_target_"].rpartition(".")
        parameters = inspect.signature(getattr(import_module(module), name)).parameters
        for key, value in part.items():
            if key in parameters and key != "data_dir" and not isinstance(value, dict):
                default = parameters[key].default
                assert (list(default) if isinstance(default, tuple) else default) == value, f"{group}.{key}"
    made = AutoencoderModule().hparams
    for name in ("network", "bottleneck", "corruption", "loss"):
        assert made[name] | {"_partial_": True} == settings["model"][name]


def test_the_evaluation_config_composes(tmp_path):
    settings = composed(tmp_path, "ckpt_path=some.ckpt", name="evaluate")
    check_config(settings, evaluate.evaluate.function)


def test_classic_is_the_plain_recipe(tmp_path):
    settings = composed(tmp_path, "experiment=classic")
    assert settings["optimizer"] == {"_target_": "autoencoder.optim.optimizers.adam", "_partial_": True, "lr": 1e-3}
    assert settings["scheduler"]["_target_"].endswith("constant")
    assert settings["data"]["batch_size"] == 128 and settings["trainer"]["max_epochs"] == 30
    assert settings["data"]["offline_fallback"] is False


def test_data_dir_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_DIR", "/somewhere")
    assert composed(tmp_path)["data"]["data_dir"] == "/somewhere"


def test_signatures_are_read_without_importing():
    signature = signature_of("lightning.pytorch.Trainer")
    assert {"max_epochs", "precision", "strategy"} <= signature.parameters.keys()
    assert signature_of("autoencoder.optim.optimizers.no_such") is None
    assert signature_of("no_such_package.Thing") is None


def test_no_file_sets_a_key_twice():
    class Strict(yaml.SafeLoader):
        pass

    def mapping(loader, node):
        keys = [key.value for key, _ in node.value]
        assert len(keys) == len(set(keys)), keys
        return loader.construct_mapping(node, deep=True)

    Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    for path in CONFIGS.rglob("*.yaml"):
        yaml.load(path.read_text(encoding="utf-8"), Strict)

"""An export computes what the model computes, loads as its README says, and is whole or not there."""

import re
import shutil
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, call, refuse_here
from omegaconf import OmegaConf
from torch import Tensor, nn

import export
from autoencoder import AutoencoderModule, load
from autoencoder.errors import InputError
from autoencoder.models.bottlenecks import Bottleneck, Code
from autoencoder.models.bottlenecks.fsq import FSQ
from autoencoder.models.bottlenecks.top_k import TopK
from autoencoder.models.bottlenecks.vq import VQ
from autoencoder.models.networks.mlp import MLP
from autoencoder.runs import onnx_files
from autoencoder.runs.export import FILES, TOLERANCE, check_output, write_export
from autoencoder.runs.onnx_files import Encoder, farthest

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra: pip install -e .[onnx]")

QUICK = ("mlp-identity",)  # of the combinations, which take two seconds each
NAMES = [
    sorted(path.stem for path in (ROOT / "configs/model" / group).glob("*.yaml")) for group in ("network", "bottleneck")
]
COMBINATIONS = [
    pytest.param(*names, id="-".join(names), marks=[] if "-".join(names) in QUICK else pytest.mark.slow)
    for names in product(*NAMES)
]
SMALL = partial(MLP, hidden_dims=[8])


def compute(path: Path, inputs: np.ndarray) -> np.ndarray:
    """What onnxruntime computes from a file with one input and one output."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    [given] = session.get_inputs()
    [outputs] = session.run(None, {given.name: inputs})
    return outputs


def read_part(group: str, name: str) -> dict[str, object]:
    settings = OmegaConf.to_container(OmegaConf.load(ROOT / "configs/model" / group / f"{name}.yaml"))
    return {key: value for key, value in settings.items() if key != "_partial_"}


@pytest.mark.parametrize(("network", "bottleneck"), COMBINATIONS)
def test_each_combination_computes_the_same_in_onnxruntime(network, bottleneck, digits, tmp_path):
    torch.manual_seed(0)
    parts = {"network": read_part("network", network), "bottleneck": read_part("bottleneck", bottleneck)}
    module = AutoencoderModule(16, **parts).eval()
    differences = write_export(module, tmp_path / "export")
    assert max(differences) <= TOLERANCE
    for count in (1, 50):
        images = digits.images.test.images(slice(count))
        with torch.no_grad():
            latents = module.encode(images)
            reconstructions = module.decode(latents)
        assert np.allclose(compute(tmp_path / "export/encoder.onnx", images.numpy()), latents, rtol=0, atol=1e-5)
        decoded = compute(tmp_path / "export/decoder.onnx", latents.numpy())
        assert np.allclose(decoded, reconstructions, rtol=0, atol=1e-5)
        assert torch.equal(load(tmp_path / "export/model.safetensors")(images), module(images))


@pytest.mark.slow
@pytest.mark.parametrize("network", NAMES[0])
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 27, 30)], ids=["colour", "odd"])
def test_images_of_any_shape(network, shape, tmp_path):
    module = AutoencoderModule(1, read_part("network", network), image_shape=shape).eval()
    write_export(module, tmp_path / "export")
    images = torch.rand(3, *shape)
    latents = compute(tmp_path / "export/encoder.onnx", images.numpy())
    assert compute(tmp_path / "export/decoder.onnx", latents) == pytest.approx(
        module(images).detach().numpy(), abs=1e-5
    )


def test_the_command_exports_a_run_beside_its_checkpoints(run, digits, tmp_path, monkeypatch, capfd):
    shutil.copytree(run, tmp_path / "run")
    best, folder = tmp_path / "run/checkpoints/best.ckpt", tmp_path / "run/export"
    call(export.export, f"ckpt_path={best}", f"hydra.run.dir={tmp_path}/log")
    out, err = capfd.readouterr()
    said = re.findall(r"(\d\.\de-\d\d) in (?:latents|reconstructions)", out)
    assert f"{folder}: {', '.join(FILES)}\n" in out and len(said) == 2 and all(float(one) <= 1e-5 for one in said)
    assert len(out.splitlines()) == 2 and not err
    assert {file.name for file in folder.iterdir()} == set(FILES) and not list(folder.parent.glob(".export*"))
    assert all(file.stat().st_mode == (tmp_path / "run/metrics.json").stat().st_mode for file in folder.iterdir())

    module, images = load(best), digits.images.test.images(slice(9))
    monkeypatch.chdir(folder)
    lines = Path("README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 3
    names = {"images": images.numpy()}
    for line in lines:
        exec(re.search("`(.*)`", line).group(1), names)
    with torch.no_grad():
        assert names["latents"] == pytest.approx(module.encode(images).numpy(), rel=1e-5, abs=1e-5)
        assert names["reconstructions"] == pytest.approx(module(images).numpy(), abs=1e-5)
        assert names["model"].hparams == module.hparams and torch.equal(names["model"](images), module(images))
    for name, shape in (("encoder", [1, 28, 28]), ("decoder", [8])):
        given = onnxruntime.InferenceSession(f"{name}.onnx").get_inputs()[0]
        assert (given.shape, given.type) == (["batch", *shape], "tensor(float)")
        assert str(ROOT).encode() not in Path(f"{name}.onnx").read_bytes()


def test_an_export_is_replaced_and_nothing_else_is(run, tmp_path, capfd, monkeypatch):
    best, logs = f"ckpt_path={run}/checkpoints/best.ckpt", f"paths.log_dir={tmp_path}/logs"
    output = tmp_path / "mine"
    output.mkdir()
    check_output(output)  # empty
    for name in FILES:  # an earlier export
        (output / name).touch()
    call(export.export, best, f"output={output}", logs)
    assert all(file.stat().st_size for file in output.iterdir())
    before = {file.name: file.read_bytes() for file in output.iterdir()}
    (tmp_path / "file").touch()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/README.md").write_text("mine", encoding="utf-8")
    capfd.readouterr()
    for name, message in (
        ("file", "is a file, and an export is a folder"),
        ("notes", "holds README.md and is not an export"),
        ("nowhere/export", "there is no folder"),
    ):
        line = refuse_here(export.export, capfd, best, f"output={tmp_path}/{name}", logs)
        assert message in line and f"output={tmp_path}/{name}" in line
    monkeypatch.setattr(onnx_files, "find_spec", lambda name: None if name == "onnxscript" else name)
    line = refuse_here(export.export, capfd, best, f"output={output}", logs)
    assert line.endswith("error: src/export.py needs the package onnxscript: pip install -e '.[onnx]'")
    assert {file.name: file.read_bytes() for file in output.iterdir()} == before
    assert (tmp_path / "notes/README.md").read_text(encoding="utf-8") == "mine"
    assert {file.name for file in tmp_path.iterdir()} == {"mine", "file", "notes", "logs"}


def test_a_sweep_into_a_single_folder_is_refused(run, tmp_path, capfd):
    best, last = (f"{run}/checkpoints/{name}.ckpt" for name in ("best", "last"))
    with pytest.raises(SystemExit):
        call(export.export, f"ckpt_path={best},{last}", f"output={tmp_path}/one", f"hydra.sweep.dir={tmp_path}/s", "-m")
    assert "output is a single folder, but -m writes several" in capfd.readouterr().out
    assert not (tmp_path / "one").exists()


class Branching(Bottleneck):
    """Asks a tensor which way to go, which no graph can."""

    def forward(self, encoded: Tensor) -> Code:
        return Code(encoded if encoded.sum() > 0 else -encoded)


class Different(Bottleneck):
    """Computes something else while it is exported."""

    def forward(self, encoded: Tensor) -> Code:
        return Code(encoded + 1e-4 if torch.compiler.is_exporting() else encoded)


@pytest.mark.parametrize(
    ("bottleneck", "message"),
    [
        (Branching, "the encoder of AutoencoderModule cannot be exported to ONNX .*data-dependent"),
        (Different, "encoder.onnx differs from torch by 1.0e-04, more than 1e-05"),
    ],
)
def test_what_onnx_cannot_compute_leaves_nothing_and_says_why(bottleneck, message, tmp_path, capfd):
    module = AutoencoderModule(4, SMALL, bottleneck)
    with pytest.raises(InputError, match=message) as caught:
        write_export(module, tmp_path / "export", ["test_export"])
    assert "\n" not in str(caught.value) and capfd.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())


def test_weights_that_one_file_cannot_hold_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_files, "LARGEST", 1000)
    with pytest.raises(InputError, match=r"encoder.onnx would have 0.0 GB of weights, and an ONNX file holds 2 GB"):
        write_export(AutoencoderModule(4, SMALL), tmp_path / "export")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("bottleneck", "scale"), [(FSQ, 10), (partial(VQ, groups=4), 1), (partial(TopK, k=4), 10)])
def test_a_code_may_only_differ_at_an_edge(bottleneck, scale, digits):
    torch.manual_seed(0)
    encoder = Encoder(AutoencoderModule(16, bottleneck=bottleneck).eval())
    images = digits.images.test.images(slice(100)).double()
    low, high = images, images.roll(1, 0)

    def code(images: Tensor) -> Tensor:
        latents = encoder(images.float())
        return latents != 0 if isinstance(encoder.model.bottleneck, TopK) else (latents * 1000).round()

    with torch.no_grad():
        encoder.model.network.encoder[-1].weight *= scale  # so that digits have different codes
        first = code(low)
        for _ in range(40):  # to two images that are the same but for rounding, with different codes
            middle = (low + high) / 2
            is_low = (code(middle) == first).all(1)[:, None, None, None]
            low, high = torch.where(is_low, middle, low), torch.where(is_low, high, middle)
        at_edge = (code(low) != code(high)).any(1)
        assert at_edge.sum() > 50 and (low - high).abs().max() < 1e-7
        inputs, ours, theirs = low[at_edge].float(), encoder(low[at_edge].float()), encoder(high[at_edge].float())
        assert (ours - theirs).abs().max() > 0.1
        assert farthest(encoder, inputs, ours) == 0
        assert farthest(encoder, inputs, theirs) <= TOLERANCE
        assert farthest(encoder, inputs, theirs.roll(1, 0)) > 0.1
        assert farthest(encoder, inputs, ours * float("nan")) == float("inf")


class Tied(AutoencoderModule):
    """A subclass with an argument of its own, shared weights, and an encoder that is more than its parts."""

    def __init__(self, factor: float = 2.0, **others: object) -> None:
        super().__init__(**others)
        self.save_hyperparameters("factor", logger=False)
        self.factor = factor
        self.network.decoder[0].weight = nn.Parameter(self.network.encoder[-1].weight.detach().T)
        self.again = self.network.encoder[1].weight

    def code(self, images: Tensor) -> Code:
        return Code(super().code(images).latents * self.factor)


def test_a_model_of_ones_own_in_half_precision_is_exported_as_float32(tmp_path):
    module = Tied(0.5, latent_dim=4, network=SMALL).bfloat16().eval()
    write_export(module, tmp_path / "export", ["test_export"])
    with pytest.raises(InputError, match=re.escape("allow it with allow_packages=[test_export]")):
        load(tmp_path / "export/model.safetensors")
    exact = load(tmp_path / "export/model.safetensors", ["test_export"])
    assert type(exact) is Tied and exact.factor == 0.5
    assert all(value.dtype == torch.float32 for value in exact.state_dict().values())
    for name, value in module.state_dict().items():
        assert torch.equal(value.float(), exact.state_dict()[name])
    images = torch.rand(3, 1, 28, 28)
    latents = compute(tmp_path / "export/encoder.onnx", images.numpy())
    assert latents == pytest.approx(exact.encode(images).detach().numpy(), abs=1e-5)
    assert "allow_packages=['test_export']" in (tmp_path / "export/README.md").read_text(encoding="utf-8")

"""A safetensors file gives back the model that was written, and runs no other code than a checkpoint may."""

import json
import re
import struct
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from autoencoder import AutoencoderModule, load
from autoencoder.errors import InputError
from autoencoder.models.bottlenecks.identity import Identity
from autoencoder.models.bottlenecks.variational import Variational
from autoencoder.models.networks.mlp import MLP
from autoencoder.runs.checkpoints import restore
from autoencoder.runs.weights import write_weights

SMALL = partial(MLP, hidden_dims=[8])


def test_a_model_is_written_and_loaded(tmp_path):
    module = AutoencoderModule(4, SMALL, partial(Variational, beta=0.5), image_shape=(3, 9, 8))
    write_weights(module, tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    assert again.hparams == module.hparams and not again.training
    images = torch.rand(5, 3, 9, 8)
    assert torch.equal(again(images), module.eval()(images))
    assert load_file(tmp_path / "model.safetensors").keys() == module.state_dict().keys()  # for other programs
    first = (tmp_path / "model.safetensors").read_bytes()
    write_weights(again, tmp_path / "model.safetensors")
    assert (tmp_path / "model.safetensors").read_bytes() == first


def change(path: Path, old: str, new: str) -> None:
    """Replaces text in the settings of a safetensors file."""
    content = path.read_bytes()
    [size] = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    header["__metadata__"]["settings"] = header["__metadata__"]["settings"].replace(old, new)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + size :])


IDENTITY = f"{Identity.__module__}.Identity"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (IDENTITY, "os.system", "needs the class os.system of another package: if you trust that"),
        ('"model": "AutoencoderModule"', '"model": "os.system"', "needs the class os.system of another package"),
        ('"AutoencoderModule"', '"Gone"', "needs the model class Gone, which does not exist"),
        (IDENTITY, "autoencoder.Gone", "model.bottleneck needs autoencoder.Gone, which is not there"),
        ('"latent_dim": 4', '"latent_dim": 5', "has other layers than the current AutoencoderModule"),
        ('"model": ', '"modell": ', "has no settings of a model in its metadata"),
        ('"model": ', "model", "has no settings of a model in its metadata"),
    ],
)
def test_an_export_with_other_settings_is_refused(old, new, message, tmp_path):
    path = tmp_path / "model.safetensors"
    write_weights(AutoencoderModule(4, SMALL), path)
    assert load(path).latent_dim == 4
    change(path, old, new)
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        load(path)
    assert str(path) in str(caught.value) or "model.bottleneck" in message


def test_broken_and_missing_exports_are_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    with pytest.raises(InputError, match="there is no such file"):
        load(path)
    module = AutoencoderModule(4, SMALL)
    with torch.no_grad():
        module.network.encoder[1].weight[0] = float("nan")
    write_weights(module, path)
    with pytest.raises(InputError, match="has infinite or NaN weights"):
        load(path)
    with pytest.raises(InputError, match="is an export, which does not know its data: use the run's checkpoint"):
        restore(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="is broken or not a safetensors file"):
        load(path)

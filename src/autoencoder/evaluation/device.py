"""Chooses the device for evaluating a trained model."""

import torch

from autoencoder.errors import InputError
from autoencoder.evaluation import Device


def pick_device(device: Device = "auto") -> torch.device:
    """The torch device for a setting: `auto` is the first GPU, or the CPU if there is none.

    Raises: InputError for `gpu` if there is none.
    """
    has_gpu = torch.cuda.is_available()
    if device == "gpu" and not has_gpu:
        raise InputError("device=gpu: this machine has no GPU that torch can use; set device=auto or device=cpu")
    return torch.device("cuda", 0) if has_gpu and device != "cpu" else torch.device("cpu")

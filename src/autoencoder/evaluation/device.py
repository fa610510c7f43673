"""The device that a trained model is measured on."""

import torch

from autoencoder.errors import InputError
from autoencoder.evaluation import Device


def pick_device(device: Device = "auto") -> torch.device:
    """The torch device of a setting: `auto` is the first GPU where there is one, else the CPU.

    Raises: InputError for `gpu` where there is none.
    """
    has_gpu = torch.cuda.is_available()
    if device == "gpu" and not has_gpu:
        raise InputError("device=gpu: this machine has no GPU that torch can use; take device=auto or device=cpu")
    return torch.device("cuda", 0) if has_gpu and device != "cpu" else torch.device("cpu")

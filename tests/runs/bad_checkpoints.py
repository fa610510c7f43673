"""Malformed and hostile checkpoints, made from a good one: kinds by name, and how each is refused."""

import io
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Any

import torch

GOOD = Path(__file__).parent / "format_1.ckpt"  # of a run of one epoch on mnist_5k, [784-2-2]
MISSING = object()
NETWORK = "hyper_parameters|network"
LOOP = "loops|fit_loop"
RANDOM = "callbacks|BestAndLast|random_states|0"
WEIGHT = "state_dict|network.encoder.1.weight"


def read_good() -> dict[str, Any]:
    """The content of the good checkpoint."""
    return torch.load(GOOD, weights_only=True)


def changed(content: Any, path: str, value: Any) -> Any:
    """`content` with another value at `path`, keys joined by |; a function gets the former value."""
    *parents, key = path.split("|")
    inner = content
    for parent in parents:
        inner = inner[int(parent) if parent.isdigit() else parent]
    place: Any = int(key) if key.isdigit() else key
    if value is MISSING:
        del inner[place]
    else:
        inner[place] = value(inner.get(place)) if callable(value) else value
    return content


def nested(levels: int) -> list[Any]:
    """A list in a list in a list."""
    inner: list[Any] = []
    for _ in range(levels):
        inner = [inner]
    return inner


def laughs() -> list[Any]:
    """10^30 values in a few bytes: a list of the same list ten times, of the same list ten times."""
    inner: list[Any] = [1]
    for _ in range(30):
        inner = [inner] * 10
    return inner


def endless() -> list[Any]:
    """A list that contains itself."""
    inner: list[Any] = []
    inner.append(inner)
    return inner


# Path in the content, value, and what is said of it.
CONTENTS: list[tuple[str, Any, str]] = [
    *((key, None, f"{key} must be") for key in ("state_dict", "hyper_parameters", "datamodule_hyper_parameters")),
    *((key, [1], f"{key} must be") for key in ("state_dict", "hyper_parameters", "callbacks", "loops", "logs")),
    *((key, "x", f"{key} must be") for key in ("optimizer_states", "lr_schedulers", "epoch_so_far", "logger_runs")),
    *((key, MISSING, "is not a checkpoint of this project") for key in ("state_dict", "hyper_parameters", "model")),
    ("ImageDataModule", MISSING, "is not a checkpoint of this project"),
    ("ImageDataModule", None, "must be a valid dictionary"),
    ("ImageDataModule|dataset", 3, "dataset must be a valid string, got 3"),
    ("ImageDataModule|val_size", -1, "val_size must be greater than or equal to 0"),
    ("ImageDataModule|train_images", MISSING, "must have fingerprint, test_images, train_images"),
    ("ImageDataModule|position", {"epoch": "x", "dealt": 1}, "position.epoch must be a valid integer"),
    ("datamodule_hyper_parameters|data_dir", "a\0b", "data_dir "),
    ("format_version", 2, "is of a later version of this project"),
    ("format_version", "1", "format_version must be a number"),
    ("format_version", None, "format_version must be a number"),
    ("pytorch-lightning_version", MISSING, "pytorch-lightning_version is missing"),
    ("pytorch-lightning_version", "new", "pytorch-lightning_version "),
    ("global_step", True, "global_step must be a valid integer"),
    ("model", 3, "model must be a valid string"),
    ("model", "", "model "),
    ("model", "os.system", "needs the class os.system of another package"),
    ("model", "..", "of another package"),
    ("model", "autoencoder.\0.x", "which does not exist"),
    ("model", "autoencoder.models.losses.MSE", "which does not exist"),
    (WEIGHT, None, "must be an instance of Tensor"),
    (WEIGHT, [1.0], "must be an instance of Tensor"),
    (WEIGHT, lambda old: old * torch.nan, "has infinite or NaN weights"),
    (WEIGHT, lambda old: old.double() + 1e300, "has infinite or NaN weights in the model's precision"),
    (WEIGHT, lambda old: old.T, "has other layers than the current AutoencoderModule"),
    (WEIGHT, lambda old: old.long(), "has other layers than the current AutoencoderModule"),
    (WEIGHT, lambda old: old + 1j, "has other layers than the current AutoencoderModule"),
    (WEIGHT, lambda old: old.to_sparse(), "may only hold tensors and plain values"),
    (WEIGHT, lambda old: old.to("meta"), "may only hold tensors and plain values"),
    (WEIGHT, lambda _: torch.zeros(1).expand(10**8, 10**7), "larger than its data"),
    ("state_dict|network.encoder.1.bias", MISSING, "network.encoder.1.bias was missing and is [2] now"),
    ("state_dict|more", torch.zeros(1), "more was [1] and is missing now"),
    ("hyper_parameters|latent_dim", 150_000_000, "has other layers than the current AutoencoderModule"),
    ("hyper_parameters|latent_dim", 10**30, "latent_dim"),
    ("hyper_parameters|latent_dim", "2", "latent_dim"),
    ("hyper_parameters|image_shape", [10**9, 10**9, 10**9], "GB to train, and this machine has"),
    ("hyper_parameters|image_shape", [1, 28], "image_shape"),
    ("hyper_parameters|more", 3, "more"),
    ("hyper_parameters|latent_dim", torch.zeros(2), "hyper_parameters must hold numbers, strings, lists and dicts"),
    ("hyper_parameters|optimizer", "os.system", "optimizer"),
    ("hyper_parameters|bottleneck", "identity", "bottleneck must be a valid dictionary"),
    ("hyper_parameters|loss|more", 3, "more"),
    (NETWORK, {}, "_target_ is missing"),
    (f"{NETWORK}|_target_", None, "_target_ must be a valid string"),
    (f"{NETWORK}|_target_", "os.system", "needs the class os.system of another package"),
    (f"{NETWORK}|_target_", "autoencoder.paths.absolute", "model.network must be derived from"),
    (f"{NETWORK}|_target_", "autoencoder.gone.MLP", "which is not there"),
    (f"{NETWORK}|hidden_dims", "abc", "hidden_dims"),
    (f"{NETWORK}|hidden_dims", [10**9], "GB to train, and this machine has"),
    (f"{NETWORK}|hidden_dims", [1] * 20_000, "hyper_parameters must have at most 10,000 values"),
    (f"{NETWORK}|hidden_dims", endless(), "more than 100 levels of values"),
    (f"{NETWORK}|hidden_dims", nested(400), "more than 100 levels of values"),
    ("more", laughs(), "contain themselves, or each other many times"),
    ("callbacks|History|rows", [{"epoch": "x"}], "rows.0.epoch must be a valid number"),
    ("callbacks|FitClock", {}, "FitClock.seconds is missing"),
    ("callbacks|BestAndLast|best_score", "x", "best_score must be a valid number"),
    (f"{RANDOM}|numpy", ("PCG64", torch.zeros(624).long(), 0, 0, 0.0), "numpy.0 must be 'MT19937'"),
    (f"{LOOP}|epoch_progress", MISSING, "epoch_progress is missing"),
    (f"{LOOP}|epoch_progress|current|processed", -1, "processed must be greater than or equal to 0"),
    (f"{LOOP}|epoch_loop.state_dict|_batches_that_stepped", "x", "must be a valid"),
    ("optimizer_states|0|state", None, "optimizer_states.0.state must be a valid dictionary"),
    ("optimizer", MISSING, "it has optimizer_states, but optimizer, the name of the class, is missing"),
    ("epoch_so_far|sums", {"mse": "x"}, "epoch_so_far.sums.mse must be a valid number"),
    ("logs", {"events": -1}, "logs.events must be greater than or equal to 0"),
]
# What only a run that goes on from it uses, and what is said when it tries that.
STATES: list[tuple[str, Any, str]] = [
    ("optimizer_states", [], "has only weights"),
    ("optimizer_states|0|state|0", {"other": 1}, "momentum of parameter 0 must be floats of shape [2, 784]"),
    ("optimizer_states|0|state|0|momentum", lambda old: old.T, "has a broken state of the optimiser"),
    ("optimizer_states|0|state|0|momentum", "x", "has a broken state of the optimiser"),
    ("optimizer_states|0|state|5|exp_avg", lambda old: old[:1], "exp_avg of parameter 5 must be floats of shape"),
    ("lr_schedulers|0|last_epoch", "x", "has a broken state of the schedule"),
    ("lr_schedulers|0|step", 3, "has a broken state of the schedule"),
    (f"{RANDOM}|python", (3, (1, 2), None), "has a broken random state"),
    (f"{RANDOM}|torch", lambda old: old[:10], "has a broken random state"),
    (f"{LOOP}|epoch_loop.val_loop.batch_progress", {}, "the checkpoint's state does not fit this run"),
    ("pytorch-lightning_version", "0.1.0", "the checkpoint's state does not fit this run"),
]


def saved(content: Any) -> bytes:
    """A file of `content`, as torch.save writes it."""
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def rezipped(archive: bytes, change: Callable[[str, bytes], bytes | None], method: int = zipfile.ZIP_STORED) -> bytes:
    """The archive with its members changed, by name; without those that become None."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(file, "w", method) as new:
        for member in old.infolist():
            if (content := change(member.filename, old.read(member))) is not None:
                new.writestr(member.filename, content)
    return file.getvalue()


def member(suffix: str, value: bytes | None) -> Callable[[str, bytes], bytes | None]:
    """For `rezipped`: another content of the member whose name ends in `suffix`."""
    return lambda name, content: value if name.endswith(suffix) else content


def pickled(*parts: bytes) -> Callable[[bytes, Path], bytes]:
    """The good archive with another pickle."""
    return lambda good, _: rezipped(good, member("/data.pkl", b"\x80\x02" + b"".join(parts) + b"."))


def named(module: str, name: str) -> bytes:
    """A pickle's opcode for a class or a function."""
    return f"c{module}\n{name}\n".encode()


def plain(value: Any) -> bytes:
    """A pickle's opcodes for a plain value."""
    return pickle.dumps(value, 2)[2:-1]


STORAGE = b"(" + plain("storage") + named("torch", "FloatStorage") + plain("0") + plain("cpu")


def tensor(*arguments: Any) -> Callable[[bytes, Path], bytes]:
    """The good archive with one tensor, of any offset, size and stride."""
    stored = STORAGE + plain(1568) + b"tQ"
    return pickled(named("torch._utils", "_rebuild_tensor_v2"), b"(", stored, *map(plain, arguments), b"tR")


class Payload:
    """Something whose unpickling runs a command that leaves a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.folder}/executed",)


def flipped(suffix: str, byte: int) -> Callable[[bytes, Path], bytes]:
    """The good archive with one bit flipped in a member, `byte` bytes after its start."""

    def flip(good: bytes, _: Path) -> bytes:
        with zipfile.ZipFile(io.BytesIO(good)) as archive:
            start = next(one.header_offset for one in archive.infolist() if one.filename.endswith(suffix))
        at = start + 30 + sum(struct.unpack("<HH", good[start + 26 : start + 30])) + byte
        return good[:at] + bytes([good[at] ^ 16]) + good[at + 1 :]

    return flip


def overlapping(good: bytes, _: Path) -> bytes:
    """An archive of 100 kB with 3,000 names for one member: 300 MB in all."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, 2))
        archive.writestr("archive/data/0", bytes(100_000))
        for number in range(1, 3000):
            again = copy(archive.getinfo("archive/data/0"))
            again.filename = f"archive/data/{number}"
            archive.filelist.append(again)
    return file.getvalue()


def good_with(name: str, good: bytes) -> bytes:
    """The good archive with one more member."""
    file = io.BytesIO(good)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(name, b"\x80\x02N.")
    return file.getvalue()


def bomb(good: bytes, _: Path) -> bytes:
    """A small archive, compressed, with a tensor of 32 MB in place of a small one."""
    return rezipped(good, member("/data/0", bytes(2**25)), zipfile.ZIP_DEFLATED)


# Kinds of file, and what is said of them.
FILES: dict[str, tuple[Callable[[bytes, Path], bytes], str]] = {
    "empty": (lambda good, _: b"", "no whole zip archive"),
    "text": (lambda good, _: b"hello\n" * 99, "no whole zip archive"),
    "half": (lambda good, _: good[: len(good) // 2], "no whole zip archive"),
    "a byte short": (lambda good, _: good[:-1], "broken"),
    "zeros within": (lambda good, _: good[:9000] + bytes(4096) + good[13096:], "broken"),
    "another zip": (lambda good, _: rezipped(good, member("/data.pkl", None)), "0 files data.pkl instead of one"),
    "two pickles": (lambda good, _: good_with("archive/DATA.pkl", good), "2 files data.pkl instead of one"),
    "a tensor missing": (lambda good, _: rezipped(good, member("/data/0", None)), "broken"),
    "a tensor cut": (lambda good, _: rezipped(good, member("/data/0", bytes(8))), "broken"),
    "bit in a weight": (flipped("/data/0", 2), "wrong checksum of 'archive/data/0'"),
    "bit in the pickle": (flipped("/data.pkl", 999), "wrong checksum of 'archive/data.pkl'"),
    "byte order": (lambda good, _: rezipped(good, member("/byteorder", b"mid")), "Unknown endianness"),
    "compressed": (lambda good, _: rezipped(good, lambda _, old: old, zipfile.ZIP_DEFLATED), "are compressed"),
    "bomb": (bomb, "are compressed"),
    "overlapping": (overlapping, "declared larger than the file"),
    "large pickle": (pickled(b"](", b"}" * 5_000_000, b"e"), "at most 4,000,000"),
    "code": (lambda good, folder: saved(Payload(folder)), "may only hold tensors and plain values"),
    "code in the settings": (
        lambda _, folder: saved(changed(read_good(), "hyper_parameters|x", Payload(folder))),
        "only",
    ),
    "code, unzipped": (lambda good, folder: pickle.dumps(Payload(folder)), "no whole zip archive"),
    "a class of this package": (pickled(named("autoencoder", "AutoencoderModule"), b")R"), "may only hold"),
    "10 GB of bytes": (pickled(named("builtins", "bytearray"), plain((10**10,)), b"R"), "may only hold"),
    "40 GB of floats": (pickled(named("torch", "FloatTensor"), plain((10**10,)), b"R"), "may only hold"),
    "40 GB stored": (pickled(STORAGE, plain(10**10), b"tQ"), "broken"),
    "tensor of 40 GB": (tensor(0, (10**10,), (1,), False, {}), "broken"),
    "tensor of 40 GB, repeated": (tensor(0, (10**10,), (0,), False, {}), "larger than its data"),
    "tensor elsewhere": (tensor(10**15, (2,), (1,), False, {}), "broken"),
    "tensor of nothing": (tensor(None, None, None, None, None), "broken"),
    "end of the stack": (pickled(), "broken"),
    "memo of nothing": (pickled(b"h\x05"), "broken"),
    "key that is a list": (pickled(b"}]Ns"), "broken"),
    "cut pickle": (pickled(b"X\xff\xff\xff\xffabc"), "broken"),
    "number": (pickled(b"K\x05"), "is not a checkpoint of this project"),
    "weights alone": (lambda _, __: saved(read_good()["state_dict"]), "is not a checkpoint of this project"),
    "of another project": (
        lambda _, __: saved({"state_dict": {}, "hyper_parameters": {"lr": 0.1}, "model": "resnet18", "epoch": 3}),
        "is not a checkpoint of this project",
    ),
}

"""Reads a file that torch.save wrote, and trusts nothing in it: checksums, sizes and kinds are checked."""

import pickletools
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import torch
from torch import Tensor

from autoencoder.limits import memory_in_bytes

MOST_PICKLED = 4_000_000  # bytes without the tensors: a run's are 11 kB, and 50 more per epoch
MOST_LEVELS = 100  # of dicts and lists in each other
MOST_SHARED = 10  # times as large as the file: tensors that share their data
# Other names that torch.load allows can make a tensor or a bytearray of any size from a few bytes.
NAMES = re.compile(
    r"collections (OrderedDict|Counter)|__builtin__ set|_codecs encode|torch\._utils _rebuild_(tensor_v2|parameter)"
    r"|torch ([A-Z][A-Za-z0-9]+Storage|Size|device|[a-z]+\d*)"
)


class DamagedError(Exception):
    """Says what is wrong with a file."""


def read_archive(path: Path) -> Any:
    """The content of a file that torch.save wrote: tensors on the CPU, plain values, and dicts and lists of them.

    torch.load compares no checksums, so that a flipped bit in a weight goes unnoticed; it unpacks compressed data of
    any size; and what it calls to make a tensor can be told to make one of any size.

    Raises: DamagedError if the file is damaged, or was made to use more memory than its size.
    """
    try:
        pickled = _check_members(path)
        _check_names(pickled)
        with warnings.catch_warnings(action="ignore"):  # about the pickle's protocol, in a second line
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (DamagedError, MemoryError, PermissionError):
        raise
    except BadZipFile as error:
        raise DamagedError(f"no whole zip archive, {error}") from None
    except Exception as error:  # zipfile, pickletools and torch raise all kinds of errors for broken bytes
        raise DamagedError(f"{type(error).__name__}: {error}") from None
    _check_values(content, len(pickled), path.stat().st_size)
    return content


def _check_members(path: Path) -> bytes:
    """Compares the sizes and checksums of the archive's members with the file; returns the pickle in it."""
    size, memory = path.stat().st_size, memory_in_bytes()
    if memory is not None and size > memory:
        raise DamagedError(f"its {size / 1e9:,.0f} GB are more than this machine's memory, {memory / 1e9:,.0f} GB")
    with ZipFile(path) as archive:
        members = archive.infolist()
        if any(member.compress_type != ZIP_STORED for member in members):
            raise DamagedError("its data are compressed, which torch.save never does")
        if sum(member.file_size for member in members) > size:
            raise DamagedError("its data are declared larger than the file")
        if broken := archive.testzip():
            raise DamagedError(f"wrong checksum of {broken!r}")
        pickles = [member for member in members if member.filename.lower().endswith("/data.pkl")]
        if len(pickles) != 1:  # torch.load might read another one than is checked here
            raise DamagedError(f"it has {len(pickles)} files data.pkl instead of one")
        if pickles[0].file_size > MOST_PICKLED:
            raise DamagedError(f"{pickles[0].file_size:,} bytes of values beside its tensors, at most {MOST_PICKLED:,}")
        return archive.read(pickles[0])


def _check_names(pickled: bytes) -> None:
    """Compares the classes and functions that a pickle names with those of tensors and plain values."""
    for opcode, name, _ in pickletools.genops(pickled):
        if opcode.name == "GLOBAL" and not NAMES.fullmatch(str(name)):
            raise DamagedError(f"it names {name!r}, but may only hold tensors and plain values")


def _check_values(content: Any, pickled: int, size: int) -> None:
    """Limits what is in `content`: values that contain each other could be walked without end.

    Args: pickled and size, in bytes, of the pickle and of the file; each value takes at least one byte.
    """
    tensors = 0
    for values, value in enumerate(_walk(content), start=1):
        if values > pickled:
            raise DamagedError("its values contain themselves, or each other many times")
        if isinstance(value, Tensor):
            is_plain = value.layout == torch.strided and value.device.type == "cpu" and not value.is_quantized
            if not is_plain or value.nbytes > value.untyped_storage().nbytes():
                raise DamagedError("a tensor in it is sparse, quantised, or larger than its data")
            tensors += value.nbytes
            if tensors > MOST_SHARED * size:
                raise DamagedError("its tensors share their data too often")


def _walk(content: Any) -> Iterator[Any]:
    """All values in `content`, those of dicts and lists after them."""
    waiting = [(content, 0)]
    while waiting:
        value, level = waiting.pop()
        yield value
        if isinstance(value, dict):
            inner = [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple | set):
            inner = list(value)
        else:
            continue
        if level == MOST_LEVELS:
            raise DamagedError(f"more than {MOST_LEVELS} levels of values")
        waiting += [(one, level + 1) for one in inner]

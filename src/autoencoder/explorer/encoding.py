"""Encodes tensors as text for the page."""

import base64

from torch import Tensor


def encode_bytes(values: Tensor) -> str:
    """The values in base64, little-endian, row by row."""
    array = values.detach().cpu().contiguous().numpy()
    return base64.b64encode(array.astype(array.dtype.newbyteorder("<")).tobytes()).decode("ascii")

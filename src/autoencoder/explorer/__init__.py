"""The explorer: one page to open in a browser, with the model inside."""

from typing import Literal

Precision = Literal["half", "single"]  # of the weights in the page: 16 or 32 bits

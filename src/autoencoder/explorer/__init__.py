"""The explorer: a web page that contains a trained model and runs it in the browser."""

from typing import Literal

Precision = Literal["half", "single"]  # of the weights in the page: 16 or 32 bits

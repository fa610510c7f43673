"""A callback that writes down what its process uses, for runs in processes of their own; imports no tests."""

import json
import os
from pathlib import Path

from lightning.pytorch import Callback


class Footprint(Callback):
    """Appends the resident memory in bytes and the number of open files, after each epoch, to a file of JSON lines."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def on_train_epoch_end(self, trainer, pl_module):
        pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
        row = {"bytes": pages * os.sysconf("SC_PAGE_SIZE"), "files": len(list(Path("/proc/self/fd").iterdir()))}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

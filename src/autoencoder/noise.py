"""Third-party messages that say nothing to the user: each named here with its cause, and no others."""

import logging
import os
import warnings


def silence_known_noise() -> None:
    """Hides Lightning's hints at devices and products, fontTools' diary, and a few warnings.

    To be called after lightning was imported, which sets its loggers' levels.
    """
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # a line for each step of putting a font into a PDF
    # logger=mlflow: its new database and experiment
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    logging.getLogger("lightning.pytorch.loggers.mlflow").setLevel(logging.ERROR)
    # data.val_size=0 says so already
    for message in (
        "You defined a `validation_step` but have no `val_dataloader`",
        "Total length of `list` across ranks",
    ):
        warnings.filterwarnings("ignore", message)
    # a run that goes on in its own folder; any other is stopped before it gets here
    warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
    # lightning 2.6.6 with torch 2.14 and later: its copy of torch.utils._pytree.tree_flatten
    warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)

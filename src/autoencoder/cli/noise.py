"""Third-party messages that say nothing to the user: each named here with its cause, and no others."""

import logging
import os
import warnings

LIGHTNING_SAYS = (  # how its messages begin that repeat the config or the closing summary, or praise a product
    *("GPU available: ", "TPU available: ", "💡 Tip: ", "Using bfloat16 Automatic Mixed Precision", "LOCAL_RANK: "),
    *("Loading `train_dataloader` to estimate", "`Trainer.fit` stopped: `max_epochs=", "Restoring states from "),
    *("Initializing distributed: ", "-" * 100 + "\ndistributed_backend="),
)
LIGHTNING_REPEATS = "Time limit reached."  # in each step, where min_epochs or min_steps goes on beyond max_time
_heard: list[str] = []


def silence_known_noise() -> None:
    """Hides what Lightning says unasked, fontTools' diary, and a few warnings; everything else is heard, once.

    To be called after lightning was imported, which sets up its loggers.
    """
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.distributed"):
        logging.getLogger(name).addFilter(_is_news)
    _heard.clear()
    if logging.root.handlers:  # Hydra's, which write what Lightning's own handler would write once more
        logging.getLogger("lightning").handlers.clear()
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
    # small data: nothing here is logged by that interval, errors once an epoch, signals by their own every_n_steps
    warnings.filterwarnings("ignore", r"The number of training batches \(\d+\) is smaller than the logging interval")
    # a run that goes on in its own folder; any other is stopped before it gets here
    warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
    # of what is logged in steps; here that is done by callbacks, which have an interval of their own
    warnings.filterwarnings("ignore", "The number of training batches .* is smaller than the logging interval")
    # a callback that a run was gone on with without; the start has said which settings have changed
    warnings.filterwarnings("ignore", "Be aware that when using `ckpt_path`, callbacks used to create the checkpoint")
    # `srun` is on the PATH of every login node of a cluster; a run alone does not need it
    warnings.filterwarnings("ignore", "The `srun` command is available on your system but is not used")
    # lightning 2.6.6 with torch 2.14 and later: its copy of torch.utils._pytree.tree_flatten
    warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)


def _is_news(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    if message.startswith(LIGHTNING_REPEATS):
        if _heard:
            return False
        _heard.append(message)
    return not message.startswith(LIGHTNING_SAYS)

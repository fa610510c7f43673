"""Hides messages of libraries that are useless to the user: only those listed here, each with its cause."""

import logging
import os
import warnings

LIGHTNING_SAYS = (  # first words of messages that repeat the config or the closing summary, or advertise a product
    *("GPU available: ", "TPU available: ", "💡 Tip: ", "Using bfloat16 Automatic Mixed Precision", "LOCAL_RANK: "),
    *("Loading `train_dataloader` to estimate", "`Trainer.fit` stopped: `max_epochs=", "Restoring states from "),
    *("Initializing distributed: ", "-" * 100 + "\ndistributed_backend="),
)
LIGHTNING_REPEATS = "Time limit reached."  # in each step, if min_epochs or min_steps lasts longer than max_time
_heard: list[str] = []


def silence_known_noise() -> None:
    """Hides Lightning's routine messages, fontTools' progress and a few warnings; everything else is shown once.

    Call it after importing lightning, which sets up its loggers.
    """
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.distributed"):
        logging.getLogger(name).addFilter(_is_news)
    _heard.clear()
    if logging.root.handlers:  # Hydra's handlers; Lightning's would repeat their lines
        logging.getLogger("lightning").handlers.clear()
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # logs each step of embedding a font into a PDF
    # logger=mlflow: announces a new database and experiment
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    logging.getLogger("lightning.pytorch.loggers.mlflow").setLevel(logging.ERROR)
    # data.val_size=0: the user has asked for no validation
    for message in (
        "You defined a `validation_step` but have no `val_dataloader`",
        "Total length of `list` across ranks",
    ):
        warnings.filterwarnings("ignore", message)
    # small data: nothing here uses that interval; errors are logged once per epoch, other curves by every_n_steps
    warnings.filterwarnings("ignore", r"The number of training batches \(\d+\) is smaller than the logging interval")
    # a run that resumes in its own folder; any other has been refused before
    warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
    # a run resumed without one of its callbacks; the changed settings have been logged at the start
    warnings.filterwarnings("ignore", "Be aware that when using `ckpt_path`, callbacks used to create the checkpoint")
    # `srun` is on the PATH of every login node of a cluster; a single process does not need it
    warnings.filterwarnings("ignore", "The `srun` command is available on your system but is not used")
    # model.compile=true: torch.compile looks at the gradient of the decoder's input, which has none
    warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf Tensor")
    # lightning 2.6.6 with torch 2.14 and later: its copy of torch.utils._pytree.tree_flatten
    warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)


def _is_news(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    if message.startswith(LIGHTNING_REPEATS):
        if _heard:
            return False
        _heard.append(message)
    return not message.startswith(LIGHTNING_SAYS)

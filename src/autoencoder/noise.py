"""Third-party messages that say nothing to the user: each named here with its cause, and no others."""

import logging
import warnings


def silence_known_noise() -> None:
    """Hides Lightning's hints at devices and products, and one deprecation that only Lightning can mend.

    To be called after lightning was imported, which sets its loggers' levels.
    """
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # lightning 2.6.6 with torch 2.14 and later: its copy of torch.utils._pytree.tree_flatten
    warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)

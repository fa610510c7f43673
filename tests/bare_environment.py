"""Takes away what a shell, a cluster or a service sets, by which commands would do otherwise; to be imported first.

Lightning, for one, reads its rank once and for all when it is imported.
"""

import os

FOREIGN = (
    *("DATA_DIR", "PYTHONWARNINGS", "HYDRA_FULL_ERROR", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"),
    *("CLICOLOR_FORCE", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "PY_COLORS"),
    *("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"),
)
for name in [*os.environ]:
    if name in FOREIGN or name.startswith(("SLURM_", "WANDB_", "MLFLOW_", "PL_", "TORCHELASTIC_")):
        del os.environ[name]
os.environ["TERM"] = "xterm"

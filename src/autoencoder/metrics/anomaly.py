"""Metrics of the error as an anomaly detector: how well it tells the classes trained on from all others."""

import numpy as np
import torch
from torch import Tensor

LARGEST = torch.finfo(torch.float64).max  # stands for an error that is infinite or no number


def auroc(errors: Tensor, is_normal: Tensor) -> float:
    """The area under the ROC curve (Fawcett, 2006), from 0 to 1; 0.5 is chance.

    It is the probability that an anomaly has a larger error than a normal image; equal errors count half.

    Args: errors, of each image, [N]; is_normal, [N] bool, with both kinds: whether its class was trained on.
    """
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(*_arrays(errors, is_normal)))


def roc_curve(errors: Tensor, is_normal: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The share of normal images, and that of anomalies, whose error is above a threshold, as this falls: two [P].

    Args: as for `auroc`.
    """
    from sklearn.metrics import roc_curve

    normal, anomalies, _ = roc_curve(*_arrays(errors, is_normal))
    return normal, anomalies


def _arrays(errors: Tensor, is_normal: Tensor) -> tuple[np.ndarray, np.ndarray]:
    return (~is_normal).cpu().numpy(), errors.cpu().double().nan_to_num(nan=LARGEST).numpy()

"""``about``: what a notebook runs on."""

from __future__ import annotations

import platform
from importlib.util import find_spec

import numpy as np

VERSION = "0.1.0"


def about() -> str:
    """Print the versions that a notebook runs on, and where PyTorch computes.

    Returns that device: "cuda" where there is a GPU for PyTorch, else "cpu".
    """
    said = [f"course {VERSION}", f"Python {platform.python_version()}", f"NumPy {np.__version__}"]
    device = "cpu"
    if find_spec("torch") is None:
        said.append("no PyTorch: the exercises with tensors need it (pip install torch)")
    else:
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
        name = f" ({torch.cuda.get_device_name()})" if device == "cuda" else ""
        said += [f"PyTorch {torch.__version__}", f'device "{device}"{name}']
    print(", ".join(said))
    return device

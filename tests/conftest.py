"""Shared by all tests: what runs a notebook, and the threads that NumPy may use."""

from __future__ import annotations

import os

# Before NumPy is imported: with several test processes on few cores, more threads only wait.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

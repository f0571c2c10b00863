"""What this class does otherwise.  Yours to change: the book's syllabus says how.

After a change: ``autograder build``, in the folder of the class.
"""

from __future__ import annotations

from collections.abc import Mapping

POINTS: dict[str, float | Mapping[str, float]] = {}
"""Other points: ``{"bptt.clip": 5}``; of parts: ``{"taxonomy.readout": {"last": 2, "mean": 2}}``"""

LEFT_OUT: set[str] = set()
"""Exercises and written questions that are in no notebook: ``{"bptt.rtrl"}``."""

REPOSITORY = ""
"""Where students find notebooks/ and course/: ``"https://github.com/OWNER/NAME"``, or
``".../tree/BRANCH"`` if the branch is not main.  The book then has links to Colab and Binder, and
in Colab the notebooks fetch the toolkit from there."""

JUPYTERHUB = ""
"""A hub whose servers have nbgitpuller: ``"https://hub.example.org"``.
Chapters link to it, too."""

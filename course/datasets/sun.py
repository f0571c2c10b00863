"""The yearly sunspot numbers."""

from __future__ import annotations

import numpy as np

from course.datasets.parts import DATA


def sunspots() -> tuple[np.ndarray, np.ndarray]:
    """Yearly mean sunspot numbers, 1700 to 2008.

    Returns years : (309,), int64, and numbers : (309,), float64.

    Source: the file that statsmodels carries, from NOAA's National Geophysical Data Center; public
    domain, says statsmodels.  It is the older of two scales, in use until 2015: do not append
    newer numbers.  The chapter on dynamical systems uses 1700-1920 to fit and 1921-2008 to test.
    Bad at: 28 cycles are few, the years before 1749 are pieced together from scattered reports,
    and the test years are known to every textbook.
    """
    table = np.loadtxt(DATA / "sunspots.csv", delimiter=",", skiprows=1)
    return table[:, 0].astype(np.int64), table[:, 1]

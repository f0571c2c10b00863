"""Known misconceptions as code, one module a chapter; see :mod:`autograder.slip`."""

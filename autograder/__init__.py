"""The trusted side: builds the notebooks, grades a class, and proves the checks."""

import sys

# jsonschema, which checks that a notebook is one, would load a grammar of web addresses that takes
# a second to build, in every process that looks at a notebook.  It does without where that fails.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]

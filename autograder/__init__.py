"""The trusted side: builds the notebooks, grades a class, and proves the checks."""

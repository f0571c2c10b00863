"""nbgrader's configuration of a class.  ``autograder build`` copies it into a new class folder.

nbgrader's own commands, formgrader and ``autograder`` all read it from there; change it there.
"""

from pathlib import Path

c = get_config()  # noqa: F821  (nbgrader defines it)

# The folder of this file is the class: source, release, submitted, autograded, feedback, and
# gradebook.db.  A path, not ".", so that formgrader finds it from wherever JupyterLab started.
c.CourseDirectory.root = str(Path(__file__).resolve().parent)
c.CourseDirectory.course_id = "rnn"

# The stub says nothing but that there is nothing yet; checks take it for "not attempted".
c.ClearSolutions.code_stub = {"python": "# YOUR CODE HERE\nraise NotImplementedError"}
c.ClearSolutions.text_stub = "YOUR ANSWER HERE"

# A check stops a function after 10 s by itself.  This is for loops outside any function: the
# cells of the longest notebook take 4 s.
c.Execute.timeout = 30
c.Execute.interrupt_on_timeout = True

# A deleted check comes back and is scored; a deleted answer counts as not attempted.
c.OverwriteCells.add_missing_cells = True

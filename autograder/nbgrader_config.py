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
c.Execute.extra_arguments = ["--IPKernelApp.log_level=40"]  # its warnings are not a grader's

# Whatever was handed in is read, and its graded cells are put right: deleted, renamed, doubled or
# changed ones too.  This does what DeduplicateIds and OverwriteCells did, and what they left.
c.Autograde.exporter_class = "autograder.repair.SubmissionExporter"
c.Autograde.sanitize_preprocessors = [
    "autograder.repair.Repair",
    "nbgrader.preprocessors.ClearOutput",
    "nbgrader.preprocessors.OverwriteKernelspec",
    "nbgrader.preprocessors.CheckCellMetadata",
]

"""nbgrader's configuration of a class.  ``autograder new-course`` copies it into a new folder.

nbgrader's own commands, formgrader and ``autograder`` all read it from there; change it there.
"""

from pathlib import Path

from autograder.mathematics import TEMPLATES

c = get_config()  # noqa: F821  (nbgrader defines it)

# The folder of this file is the class: source, release, submitted, autograded, feedback, and
# gradebook.db.  A path, not ".", so that formgrader finds it from wherever JupyterLab started.
c.CourseDirectory.root = str(Path(__file__).resolve().parent)
c.CourseDirectory.course_id = "rnn"

# The stub says nothing but that there is nothing yet; checks take it for "not attempted".
c.ClearSolutions.code_stub = {"python": "# YOUR CODE HERE\nraise NotImplementedError"}
c.ClearSolutions.text_stub = "YOUR ANSWER HERE"

# How archives from a learning management system name files: STUDENT_..._bptt.ipynb.
c.FileNameCollectorPlugin.named_regexp = (
    r".*[/\\](?P<student_id>[^/\\_]+)_(?:[^/\\]*_)?(?P<file_id>\w+)[^/\\]*$"
)
# Archives are taken apart with mistrust: nothing is written outside, or in another's name.
c.ZipCollectApp.extractor_plugin = "autograder.collect.Extractor"

# Whatever was handed in is read, and its graded cells are put right: deleted, renamed, doubled or
# changed ones too.  This does what DeduplicateIds and OverwriteCells did, and what they left; and
# since it writes every mark anew, there is nothing for CheckCellMetadata to find.
c.Autograde.exporter_class = "autograder.repair.SubmissionExporter"
c.Autograde.sanitize_preprocessors = [
    "autograder.repair.Repair",
    "nbgrader.preprocessors.ClearOutput",
    "nbgrader.preprocessors.OverwriteKernelspec",
]

# Students' code runs in a jail, and the scores are made outside it.  Budgets are traits of
# TrustedExecute, for example c.TrustedExecute.cell_seconds = 20; autograder/sandbox/jail.py says
# what each is for.
c.Autograde.autograde_preprocessors = [
    "autograder.execute.TrustedExecute",
    "nbgrader.preprocessors.IgnorePattern",
    "nbgrader.preprocessors.LimitOutput",
    "nbgrader.preprocessors.SaveAutoGrades",
    "nbgrader.preprocessors.AssignLatePenalties",
]

# What students write in Markdown is shown without scripts, links that run, and remote pictures.
# Mathematics is typeset by a MathJax that each page carries in itself: no network is needed.
c.HTMLExporter.filters = {
    "markdown2html": "autograder.harmless.markdown",
    "mathjax_script": "autograder.mathematics.script",
}
c.HTMLExporter.extra_template_basedirs = TEMPLATES

# Where the class reads the book, for links from the class report: "https://example.org/rnn".
c.ClassReport.book = ""

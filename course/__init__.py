"""The student's toolkit: ``from course import check, hint, progress``."""

from course.checks import CheckFailed, check
from course.earlier import earlier
from course.exercise import CourseError
from course.hints import hint
from course.machine import about
from course.standing import progress, ready

__all__ = ["CheckFailed", "CourseError", "about", "check", "earlier", "hint", "progress", "ready"]

"""The student's toolkit: ``from course import check, hint, progress``."""

from course.checks import CheckFailed, check
from course.exercise import CourseError
from course.hints import hint
from course.standing import progress, ready

__all__ = ["CheckFailed", "CourseError", "check", "hint", "progress", "ready"]

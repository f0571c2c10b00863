"""``check``: what a student calls after each exercise."""

from __future__ import annotations

import dataclasses
import difflib
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from course import fixtures, report, standing
from course.calls import Call, Caller, Finding
from course.exercise import PUBLIC_SEED, Arrays, Case, Exercise, chapter, find
from course.ladder import NOT_ATTEMPTED, RIGHT, WRONG, Ladder, Report
from course.show import show

_LOOK_IT_UP = object()


class CheckFailed(Exception):
    """An answer is wrong or missing.  nbgrader, too, sees by this that a test cell failed."""

    def _render_traceback_(self) -> list[str]:
        """Show one line in a notebook: the report above it has said the rest."""
        return [f"CheckFailed: {self}"]


def check(name: str, answer: Any = _LOOK_IT_UP, *, plot: bool = False) -> None:
    """Check an answer, show what was found, and raise CheckFailed unless all of it is right.

    name: "chapter.exercise", or "chapter.exercise.part" for one part of it;
    answer: the function or class; left out, it is looked up in the notebook by its name;
    plot: where numbers differ by place, also draw yours, the expected, and the difference.

    Raises CourseError on an unknown name, CheckFailed on an answer that is not right.
    """
    exercise, part = find(name)
    unfit = None
    if answer is _LOOK_IT_UP:
        notebook = sys._getframe(1).f_globals
        answer = notebook.get(exercise.symbol)
        if exercise.symbol not in notebook:
            unfit = _missing(exercise, notebook)
        elif not _fits(exercise, answer):
            unfit = _overwritten(exercise, answer)
    ladder = ladder_for(exercise, answer, unfit)
    found = [ladder.climb(each) for each in ([part] if part else exercise.parts or [None])]
    for each in found:
        if each.outcome == WRONG:
            each.lines += _wrong_below(exercise, answer)
        standing.record(each)
    shown = found if part or not exercise.parts else _joined(found)
    for each in shown:
        show(text=report.as_text(each), html=report.as_html(each), data=report.as_data(each))
        if plot and each.difference is not None and each.difference.truth.ndim:
            from course.pictures import comparison

            comparison(each.difference, each.name)
    bad = [each for each in found if each.outcome != RIGHT]
    if bad:
        outcome = WRONG if any(each.outcome == WRONG for each in bad) else NOT_ATTEMPTED
        raise CheckFailed(f"{name}: {outcome}")


def _wrong_below(exercise: Exercise, answer: Any) -> tuple[str, ...]:
    """Name the functions of other exercises that an answer calls and that were last found wrong."""
    held = vars(answer).values() if isinstance(answer, type) else [answer]
    codes = [getattr(getattr(each, "__func__", each), "__code__", None) for each in held]
    named = {name for code in codes if code for name in code.co_names}
    found = [
        each
        for each in chapter(exercise.chapter).exercises
        if each.symbol in named and each is not exercise and standing.state(each).outcome == WRONG
    ]
    return tuple(
        f"it calls {each.symbol} (exercise {each.number}), which was wrong at its own last check:"
        " mend that first"
        for each in found
    )


def ladder_for(exercise: Exercise, answer: Any, unfit: Finding | None = None) -> Ladder:
    """The student's own ladder: calls in this process, truth from fixtures and oracle.

    unfit: what is to be said of the answer if it can't even be called.
    """
    on_file = fixtures.of_chapter(exercise.chapter)[exercise.name]
    public = exercise.cases(np.random.default_rng(PUBLIC_SEED))
    drawn = exercise.cases(np.random.default_rng())
    if unfit is None and not _fits(exercise, answer):
        unfit = _misfit(exercise, answer)

    ask = Caller(exercise.run, answer)

    def run(case: Case) -> Call:
        return Call(finding=unfit) if unfit else ask(case.args)

    return Ladder(
        exercise,
        call=run,
        truth=remembered(exercise, public, on_file.truth),
        public=public,
        fresh=[case for case in drawn if case.rung != "probes"],
        slips=on_file.slips,
    )


def remembered(
    exercise: Exercise, public: list[Case], on_file: Mapping[str, Arrays]
) -> Callable[[Case], Arrays]:
    """Truth from the file for the public cases, from the oracle (once each) for all others."""
    known = {id(case): on_file[case.name] for case in public}

    def truth(case: Case) -> Arrays:
        if id(case) not in known:
            known[id(case)] = exercise.oracle(**case.args)
        return known[id(case)]

    return truth


def _fits(exercise: Exercise, answer: Any) -> bool:
    """Whether an answer is what can be called: a function, or a class where one is wanted."""
    if isinstance(answer, type) or exercise.kind == "class":
        return isinstance(answer, type) and exercise.kind == "class"
    torch = sys.modules.get("torch")  # a layer can be called, too, and is no function
    return callable(answer) and not (torch and isinstance(answer, torch.nn.Module))


def _missing(exercise: Exercise, notebook: Mapping[str, Any]) -> Finding:
    """There is no answer of that name in the notebook; perhaps one of nearly that name."""
    advice = f"run the cell of exercise {exercise.number} first; its name must stay"
    defined = [name for name, value in notebook.items() if _fits(exercise, value)]
    taken = {each.symbol for each in chapter(exercise.chapter).exercises}
    near = difflib.get_close_matches(exercise.symbol, [n for n in defined if n not in taken], n=1)
    if near:
        advice = f"there is one named {near[0]}: is that it? The name must be {exercise.symbol}"
    return Finding("runs", f"there is no {exercise.kind} named {exercise.symbol}", (advice,))


def _overwritten(exercise: Exercise, answer: Any) -> Finding:
    """The name now stands for something else: a number, an array, ..."""
    return Finding(
        "runs",
        f"{exercise.symbol} is now {_what(answer)}, want a {exercise.kind}",
        (f"a cell has used the name again: run the cell of exercise {exercise.number} once more",),
    )


def _misfit(exercise: Exercise, answer: Any) -> Finding:
    """What was handed to ``check`` is no function, or no class."""
    if not callable(answer):
        advice = f'give it without calling it: check("{exercise.name}", {exercise.symbol})'
    elif exercise.kind == "class":
        advice = f"keep the line that begins with: class {exercise.symbol}"
    else:
        advice = f"keep the line that begins with: def {exercise.symbol}"
    return Finding("runs", f"the answer is {_what(answer)}, want a {exercise.kind}", (advice,))


def _what(answer: Any) -> str:
    if isinstance(answer, type):
        return f"the class {answer.__name__}"
    return f"of type {type(answer).__name__}"


def _joined(found: list[Report]) -> list[Report]:
    """One report instead of many where all parts fared alike: all right, or none begun."""
    outcomes = {each.outcome for each in found}
    alike = len({(each.rung, each.headline) for each in found}) == 1
    if len(outcomes) == 1 and (outcomes == {RIGHT} or alike):
        return [dataclasses.replace(found[0], part=None)]  # each part's own report is on record
    return found

"""solutions/ → notebooks/: deterministic, in step, without answers, and strict about its input."""

from __future__ import annotations

import ast
import importlib
import json
import re
import subprocess
import sys

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from autograder import build
from course.exercise import CHAPTERS, chapter


@pytest.mark.parametrize("name", CHAPTERS)
def test_building_twice_gives_the_same_bytes(name, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "build_fixtures", lambda name: False)  # test_exercises.py has them
    assert build.as_json(build.student_notebook(name)) == build.as_json(
        build.student_notebook(name)
    )
    assert build.build(name, tmp_path / "class")
    assert build.build(name, tmp_path / "class") == []


def test_fixtures_are_computed_where_something_has_changed(tmp_path, monkeypatch):
    """Sources, hints, data, or the file itself; and not once more where nothing has."""
    file, computed = tmp_path / "course" / "fixtures" / "bptt.npz", []

    def compute(chapter):
        computed.append(chapter.name)
        return {}

    monkeypatch.setattr(build, "HOUSE", tmp_path)
    monkeypatch.setattr(build.fixtures, "FOLDER", file.parent)
    monkeypatch.setattr(build.verify, "fixtures", compute)
    file.parent.mkdir(parents=True)
    assert build.build_fixtures("bptt")
    assert not build.build_fixtures("bptt")
    assert computed == ["bptt"]
    for source in (
        "course/a.py", "course/hints/bptt.md", "course/datasets/data/a.csv", "solutions/a.py",
        "autograder/slips/a.py",
    ):  # fmt: skip
        for text in ("1", "2"):
            (tmp_path / source).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / source).write_text(text)
            before = len(computed)
            assert not build.build_fixtures("bptt")
            assert not build.build_fixtures("bptt")
            assert len(computed) == before + 1, source
    before = len(computed)
    file.write_bytes(b"by hand")
    assert build.build_fixtures("bptt")
    file.unlink()
    assert build.build_fixtures("bptt")
    assert not build.build_fixtures("bptt")
    assert len(computed) == before + 2


@pytest.mark.parametrize("name", CHAPTERS)
def test_notebooks_are_in_step_with_solutions(name):
    committed = (build.NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8")
    assert committed == build.as_json(build.student_notebook(name)), "run: autograder build"


def answer_lines(name: str) -> set[str]:
    """Every line of an answer that says something: none of them may reach a student."""
    text = (build.SOLUTIONS / f"{name}.py").read_text(encoding="utf-8")
    blocks = re.findall(rf"{build.BEGIN}\n(.*?){build.END}", text, flags=re.S)
    lines = {line.strip().removeprefix("# ") for block in blocks for line in block.splitlines()}
    return {line for line in lines if len(line) > 12}


@pytest.mark.parametrize("name", CHAPTERS)
def test_no_line_of_an_answer_reaches_a_student(name):
    lines = answer_lines(name)
    assert len(lines) > 20
    text = (build.NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8")
    source = "\n".join(cell.source for cell in nbformat.reads(text, as_version=4).cells)
    assert "SOLUTION" not in text
    assert [line for line in lines if line in source] == []


def test_the_answers_would_be_found_if_they_were_there():
    """The test above can fail: the source notebook holds every one of those lines."""
    source = "\n".join(cell.source for cell in build.source_notebook("bptt").cells)
    assert all(line in source for line in answer_lines("bptt"))


@pytest.mark.parametrize("name", CHAPTERS)
def test_every_exercise_is_followed_by_its_locked_checks(name):
    cells = build.student_notebook(name).cells
    ids = [cell.metadata.get("nbgrader", {}).get("grade_id") for cell in cells]
    assert len({cell["id"] for cell in cells}) == len(cells)
    for exercise in chapter(name).exercises:
        at = ids.index(exercise.name.replace(".", "-"))
        tests = cells[at + 1 : at + 1 + len(exercise.parts or (None,))]
        assert cells[at].metadata["nbgrader"]["solution"]
        assert "raise NotImplementedError" in cells[at].source
        points = 0
        for cell, part in zip(tests, exercise.parts or (None,), strict=True):
            full = f"{exercise.name}.{part}" if part else exercise.name
            assert cell.source == f'check("{full}")'
            assert cell.metadata["nbgrader"]["locked"]
            assert cell.metadata["editable"] is False
            points += cell.metadata["nbgrader"]["points"]
        assert points == exercise.total
    for question in chapter(name).questions:
        cell = cells[ids.index(question.name.replace(".", "-"))]
        assert cell.cell_type == "markdown"
        assert cell.source == build.TEXT_STUB
        assert cell.metadata["nbgrader"]["points"] == question.points


def run(notebook):
    client = NotebookClient(notebook, timeout=120, allow_errors=True, kernel_name="python3")
    client.execute()
    return [
        (cell.source, output)
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "error" or output.get("name") == "stderr"
    ]


def test_the_ledger_row_of_the_picture_has_four_equal_copies(monkeypatch):
    """What the question under the picture asks for must be in it: t = 13 ... 16, and no other."""
    from course import figures
    from solutions import bptt

    monkeypatch.setattr(figures, "show", lambda figure: None)
    monkeypatch.setattr(figures, "style", lambda: None)
    cells = build.source_notebook("bptt").cells
    source = next(cell.source for cell in cells if "ledger_row" in cell.source)
    space = {**vars(bptt), "ready": lambda *names, quiet=False: True}
    exec(compile(source.replace("range(400)", "range(2)"), "picture", "exec"), space)
    space["plt"].close("all")
    shares = np.array(space["shares"]) / max(space["shares"])
    assert shares[12:].min() > 0.9
    assert shares[:12].max() < 0.3


SHORTER = {
    "dynamics": {"2.5, 40)": "2.5, 4)", "0.8, 41)": "0.8, 5)", "10_000": "100"},
    "bptt": {
        "range(400)": "range(2)",
        "range(300)": "range(2)",
        "turn in range(20)": "turn in (0, 1)",
    },
    "gates": {"range(1, 401)": "range(1, 26)"},
}


def in_lists(value):
    """The same arrays as lists: a check takes them, too."""
    if isinstance(value, tuple | list):
        return type(value)(map(in_lists, value))
    return value.tolist() if isinstance(value, np.ndarray) else value


@pytest.mark.parametrize("name", SHORTER)
def test_locked_cells_bear_answers_that_return_lists(name, monkeypatch):
    from course import figures

    monkeypatch.setattr(figures, "show", lambda figure: None)
    monkeypatch.setattr(figures, "style", lambda: None)
    solved = vars(importlib.import_module(f"solutions.{name}"))
    space = {**solved, "ready": lambda *names, quiet=False: True, "__name__": "__main__"}
    for exercise in chapter(name).exercises:
        if exercise.kind == "function" and exercise.symbol != "orbits":  # that one gives a tensor
            answer = solved[exercise.symbol]
            space[exercise.symbol] = lambda *a, answer=answer, **k: in_lists(answer(*a, **k))
    cells = [c.source for c in build.source_notebook(name).cells if "if ready(" in c.source]
    assert len(cells) >= 2
    changed = set()
    for source in cells:
        for long, short in SHORTER[name].items():
            changed |= {long} if long in source else set()
            source = source.replace(long, short)
        exec(compile(source, "locked cell", "exec"), space)
        space["plt"].close("all")
    assert changed == set(SHORTER[name])


def test_no_fixed_point_is_counted_twice_in_the_picture_of_the_cusp(monkeypatch):
    """At w = 1 and b = 0 three of them are one, which rounding makes many."""
    from course import figures

    monkeypatch.setattr(figures, "show", lambda figure: None)
    monkeypatch.setattr(figures, "style", lambda: None)
    solved = vars(importlib.import_module("solutions.dynamics"))
    space = {**solved, "ready": lambda *names: True, "__name__": "__main__"}
    cells = build.source_notebook("dynamics").cells
    source = next(cell.source for cell in cells if "pcolormesh" in cell.source)
    exec(compile(source, "the cusp", "exec"), space)
    space["plt"].close("all")
    assert set(np.unique(space["count"])) <= {1, 2, 3}
    assert np.isin(space["count"], (1, 3)).mean() > 0.95


def assigned(source: str) -> set[str]:
    """What a cell gives a value at top level: inside of `if` and `for`, too, not in functions."""
    names, nodes = set(), [ast.parse(source)]
    while nodes:
        for node in ast.iter_child_nodes(nodes.pop()):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                names.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
            elif isinstance(node, ast.alias):
                names.add(node.asname or node.name)
            elif not isinstance(node, ast.Lambda | ast.ListComp | ast.GeneratorExp | ast.DictComp):
                nodes.append(node)
    return names


def test_what_a_cell_assigns_is_found():
    source = """
import a.b as c
if ready("x"):
    for d, (e, *f) in g:
        with h as i:
            j = [k for k in l]

    def m(n):
        o = n
"""
    assert assigned(source) == {"c", "d", "e", "f", "i", "j", "m"}


@pytest.mark.parametrize("name", CHAPTERS)
def test_no_given_cell_takes_the_name_of_an_answer(name):
    """Else a check that is run again would judge what the course has put there."""
    symbols = {exercise.symbol for exercise in chapter(name).exercises}
    for cell in build.student_notebook(name).cells:
        given = not cell.metadata.get("nbgrader", {}).get("solution", False)
        if cell.cell_type == "code" and given:
            taken = assigned(cell.source) & symbols
            assert not taken, cell.source


@pytest.mark.parametrize("name", CHAPTERS)
def test_with_stubs_it_fails_in_the_checks_alone(name):
    notebook = build.student_notebook(name)
    failures = run(notebook)
    checks = [cell.source for cell in notebook.cells if cell.source.startswith("check(")]
    assert [source for source, _ in failures] == checks
    for _, output in failures:
        assert output.ename == "CheckFailed"
        assert output.evalue.endswith("not attempted")


def test_a_file_stands_there_whole_or_not_at_all(tmp_path):
    path = tmp_path / "below" / "grades[1].json"
    assert build.put(path, "old")
    assert not build.put(path, "old")

    def half() -> None:
        with build.beside(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half()
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert path.read_text() == "old"


def test_what_a_killed_writer_left_is_taken_away_by_the_next(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    path = tmp_path / "grades[1].json"
    left = tmp_path / f".{path.name}.{ended.pid}"
    others = [
        tmp_path / f".{path.name}.1",  # that process runs
        tmp_path / f".{path.name}.mine",
        tmp_path / f".other.json.{ended.pid}",
    ]
    for each in (left, *others):
        each.write_text("half")
    assert build.put(path, "new")
    assert set(tmp_path.iterdir()) == {path, *others}


GOOD = (build.SOLUTIONS / "bptt.py").read_text(encoding="utf-8")


def without_docstring(text: str) -> str:
    return re.sub(r'(def clip\(grads, max_norm\):\n)    """.*?"""\n', r"\1", text, flags=re.S)


@pytest.mark.parametrize(
    ("spoil", "words", "cell"),
    [
        (lambda s: s.replace('="bptt.clip"', '="bptt.clpi"'), 'unknown exercise "bptt.clpi"', None),
        (lambda s: s.replace('="bptt.clip"', '="bptt.loss"'), "stands twice", "bptt.loss"),
        (lambda s: s.replace('exercise="bptt.clip"', 'excercise="bptt.clip"'), "unknown key", None),
        (without_docstring, "clip has no docstring", "bptt.clip"),
        (lambda s: s.replace("def clip(", "def clop("), "does not define clip", "bptt.clip"),
        (lambda s: s.replace("def clip(", "def clip(("), "in its line 1", "bptt.clip"),
        (
            lambda s: s.replace("    norm = np.sqrt", "    ### END SOLUTION\n    norm = np.sqrt"),
            "around the answer",
            "bptt.clip",
        ),
        (
            lambda s: s.replace("# # 3. Back", "# ### BEGIN SOLUTION\n# # 3. Back"),
            "SOLUTION markers in a cell without",
            None,
        ),
        (
            lambda s: s.replace("# ---\n\n# %%", "# ---\n\nx = 1\n\n# %%"),
            "starts with a line",
            None,
        ),
        (
            lambda s: s.replace('# %% exercise="bptt.clip"', "# %%").replace("###", "##"),
            "wants '### BEGIN",
            None,
        ),
    ],
)
def test_a_cell_that_breaks_the_rules_is_refused(spoil, words, cell, tmp_path, monkeypatch):
    text = spoil(GOOD)
    assert text != GOOD
    (tmp_path / "bptt.py").write_text(text, encoding="utf-8")
    monkeypatch.setattr(build, "SOLUTIONS", tmp_path)
    with pytest.raises(build.BuildError) as caught:
        build.source_notebook("bptt")
    message = str(caught.value)
    assert words in message
    assert str(tmp_path / "bptt.py") in message
    if cell:
        line = int(re.search(r"bptt\.py:(\d+):", message).group(1))
        marker = [
            n
            for n, said in enumerate(text.splitlines(), 1)
            if said.startswith("# %%") and cell in said
        ]
        assert line in marker


def test_an_undeclared_or_missing_exercise_is_refused(tmp_path, monkeypatch):
    start = GOOD.index('# %% exercise="bptt.clip"')
    end = GOOD.index("# %% [markdown]", start)
    (tmp_path / "bptt.py").write_text(GOOD[:start] + GOOD[end:], encoding="utf-8")
    monkeypatch.setattr(build, "SOLUTIONS", tmp_path)
    with pytest.raises(build.BuildError, match=r"no cell for bptt\.clip"):
        build.source_notebook("bptt")


def test_a_missing_hint_is_refused(monkeypatch):
    from course import hints

    lacking = {name: dict(levels) for name, levels in hints.of_chapter("bptt").items()}
    del lacking["bptt.loss"][3]
    monkeypatch.setattr(build.hints, "of_chapter", lambda name: lacking)
    with pytest.raises(build.BuildError, match=r"bptt\.loss.* has no hint 3"):
        build.source_notebook("bptt")


def test_a_refused_chapter_leaves_everything_as_it_was(tmp_path, monkeypatch):
    (tmp_path / "bptt.py").write_text(without_docstring(GOOD), encoding="utf-8")
    monkeypatch.setattr(build, "SOLUTIONS", tmp_path)
    monkeypatch.setattr(build, "NOTEBOOKS", tmp_path / "notebooks")
    with pytest.raises(build.BuildError):
        build.build("bptt", tmp_path / "class")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bptt.py"]


def test_ids_survive_a_new_cell(tmp_path, monkeypatch):
    before = {cell["id"] for cell in build.source_notebook("bptt").cells}
    more = GOOD.replace(
        "# %% [markdown]\n# ## Exercise 3.6", "# %%\n1 + 1\n\n# %% [markdown]\n# ## Exercise 3.6"
    )
    (tmp_path / "bptt.py").write_text(more, encoding="utf-8")
    monkeypatch.setattr(build, "SOLUTIONS", tmp_path)
    after = {cell["id"] for cell in build.source_notebook("bptt").cells}
    assert before < after
    assert len(after - before) == 1


def test_the_notebook_opens_with_any_reader():
    for path in build.NOTEBOOKS.glob("*.ipynb"):
        nbformat.validate(json.loads(path.read_text(encoding="utf-8")))

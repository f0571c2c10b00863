"""What `make spell` takes for prose, and what it leaves out."""

from __future__ import annotations

import textwrap

import pytest
import spelling

PAGE = """\
    ---
    title: frontmatter
    ---
    # A heading

    Prose with `inline` names, $x_{formula}$ and a [link](https://example.org/address).

    $$
    display
    $$

    ```{code-cell}
    cell = 1
    ```

    :::{note} Its title
    :class: option
    A *nested* word.
    :::

    | a table |
    |---|
    | with cells |

    {cite:t}`key` and book/path.md, pkg.module, some_name and camelCase.
"""


def test_prose_is_found_and_nothing_else(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(textwrap.dedent(PAGE))
    found = {word: line for line, word in spelling.words_of(page)}
    want = "heading Prose names and link Its title nested word table with cells"
    assert set(found) == set(want.split())
    assert (found["heading"], found["names"]) == (4, 6)
    assert (found["title"], found["nested"]) == (16, 18)


def test_docstrings_and_comments_are_prose_and_names_are_not(tmp_path):
    module = tmp_path / "module.py"
    module.write_text(
        '"""First of all."""\n\n'
        "# A comment over\n# two lines.\nvalue = 'string'  # and behind\n\n\n"
        'def f():\n    """A docstring on value\'s use."""\n'
    )
    found = {word: line for line, word in spelling.words_of(module)}
    assert found == {
        "First": 1, "all": 1, "comment": 3, "over": 3, "two": 4, "lines": 4,
        "and": 5, "behind": 5, "docstring": 9, "use": 9,
    }  # fmt: skip


@pytest.mark.parametrize("line", spelling.WORDS.read_text(encoding="utf-8").splitlines())
def test_the_list_holds_words_one_a_line(line):
    assert not line or line.startswith("# ") or line.isalpha()

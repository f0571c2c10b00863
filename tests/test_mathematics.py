"""MathJax goes into a page by the class's configuration alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from nbconvert.exporters import HTMLExporter
from nbformat.v4 import new_markdown_cell, new_notebook
from traitlets.config import PyFileConfigLoader

from autograder import mathematics
from autograder.build import CONFIG


@pytest.fixture
def house(tmp_path, monkeypatch):
    monkeypatch.setattr(mathematics, "HOUSE", tmp_path)
    mathematics.script.cache_clear()
    yield tmp_path
    mathematics.script.cache_clear()


@pytest.mark.parametrize("template", ["feedback", "formgrade"])
def test_both_templates_carry_it_and_name_no_other_place(house, template):
    folder = house / "build" / "mathjax" / "fetched-1"
    folder.mkdir(parents=True)
    (folder / "inline.js").write_text("window.FOUND = '{{ no template }}';")
    config = PyFileConfigLoader(CONFIG.name, path=str(CONFIG.parent)).load_config()
    config.HTMLExporter.template_name = template
    static = Path(mathematics.TEMPLATES[1]).parent / "static/node_modules"  # as nbgrader sets it
    config.HTMLExporter.extra_template_paths = [str(static / "bootstrap/dist/css")]
    notebook = new_notebook(cells=[new_markdown_cell("$a^2$")])
    given = {"score": 1, "max_score": 2, "late_penalty": 0}
    names = {"nbgrader": given, "index": 0, "total": 1}
    html, _ = HTMLExporter(config=config).from_notebook_node(notebook, resources=names)
    assert "window.FOUND = '{{ no template }}';" in html
    assert "$a^2$" in html
    for other in ("cdnjs", "unpkg", "jsdelivr", "<script src='http", '<script src="http'):
        assert other not in html


def test_without_it_a_page_says_how_to_get_it(house):
    said = mathematics.script()
    assert said.startswith("<!--")
    assert "make book" in said

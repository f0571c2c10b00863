"""The unit with gates on the page of chapter 5: its numbers are Python's, and keys move it."""

from __future__ import annotations

import itertools

import pytest
from figures import gates as lab

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page(open_widget):
    """The element and its script alone, on a phone's width."""
    opened = open_widget("gates", lab.unit_html())
    yield opened
    opened.close()


def move(page, name: str, value: float) -> None:
    page.eval_on_selector(
        f"#rnn-gates-0-{name}",
        "(input, value) => { input.value = value;"
        " input.dispatchEvent(new Event('input', { bubbles: true })); }",
        value,
    )


def numbers(page) -> dict[str, float]:
    said = page.inner_text(".rnn-gates-said").replace("−", "-")
    return {name: float(value) for name, value in (part.split(" = ") for part in said.split(", "))}


def shown(found: dict[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.3f}") for name, value in found.items()}


@pytest.mark.parametrize("kind", ["lstm", "take", "keep"])
def test_numbers_are_pythons_to_the_printed_digits(page, kind):
    page.select_option("#rnn-gates-0-kind", kind)
    for x, h, c, bias in itertools.product((-1.5, 0.0, 1.25), (-0.6, 0.9), (-2.0, 0.35), (-5, 1)):
        for name, value in (("x", x), ("h", h), ("c", c), ("bias", bias)):
            move(page, name, value)
        want = shown(lab.unit(kind, x, h, c, bias))
        found = numbers(page)
        assert found.keys() == want.keys()
        for name in want:  # half of the last digit may be rounded either way
            assert found[name] == pytest.approx(want[name], abs=1.01e-3 * (want[name] != 0))


def test_a_step_takes_the_new_states_along(page):
    page.select_option("#rnn-gates-0-kind", "lstm")
    for name, value in (("x", 1.0), ("h", 0.0), ("c", 1.0), ("bias", 5.0)):
        move(page, name, value)
    h, c = 0.0, 1.0
    for _ in range(4):
        page.click(".rnn-gates button")
        made = lab.unit("lstm", 1.0, h, c, 5.0)
        h, c = made["h"], made["c"]
    want, found = shown(lab.unit("lstm", 1.0, h, c, 5.0)), numbers(page)
    assert found == pytest.approx(want, abs=1.01e-3)
    assert found["c"] > 3


def test_it_can_be_used_with_keys_and_is_named(page):
    page.select_option("#rnn-gates-0-kind", "lstm")
    move(page, "x", 0.0)
    page.focus("#rnn-gates-0-x")
    before = numbers(page)
    page.keyboard.press("ArrowRight")
    assert page.get_attribute("#rnn-gates-0-x", "aria-valuetext") == "0.050"
    assert numbers(page) != before
    for name in ("kind", "x", "h", "c", "bias"):
        assert page.locator(f"label[for=rnn-gates-0-{name}]").count() == 1
    page.select_option("#rnn-gates-0-kind", "take")
    assert page.is_disabled("#rnn-gates-0-c")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390

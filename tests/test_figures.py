"""The figure style, and the extension that puts figures into the book's pages."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ElementTree

import front
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from _ext.inline_svg import inline

from course import figures

WHITE, NEAR_BLACK = "#ffffff", "#121212"  # the theme's two backgrounds

# Machado, Oliveira and Fernandes (2009), severity 1: linear RGB as the colour-blind see it.
COLOUR_BLIND = {
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}


def linear(colour: str) -> np.ndarray:
    srgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    low, high = sorted(linear(c) @ [0.2126, 0.7152, 0.0722] for c in (one, other))
    return (high + 0.05) / (low + 0.05)


def lab(rgb: np.ndarray) -> np.ndarray:
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    x, y, z = np.cbrt(np.clip(to_xyz @ rgb, 1e-4, None) / [0.9505, 1.0, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.fixture
def fig():
    with figures.style():
        fig, ax = plt.subplots()
        ax.plot([0, 1, 2], [1, 0, 1], label="$h^{(1)}$")
        ax.fill_between([0, 1, 2], 0, 1, hatch="/", alpha=0.2)
        ax.set_title("a < b & c")
        ax.legend()
    yield fig
    plt.close(fig)


@pytest.mark.parametrize("background", [WHITE, NEAR_BLACK])
@pytest.mark.parametrize("colour", [*figures.PALETTE.values(), figures.FOREGROUND])
def test_colours_stand_out_on_both_backgrounds(colour, background):
    assert contrast(colour, background) >= 3  # WCAG 2.2, 1.4.11: graphics


@pytest.mark.parametrize("background", [WHITE, "#111111"])
def test_letters_stand_out_in_a_notebook(background):
    assert contrast(figures.FOREGROUND, background) >= 4


@pytest.mark.parametrize("eyes", [None, *COLOUR_BLIND])
def test_palette_is_told_apart_by_colour_blind_eyes(eyes):
    seen = np.eye(3) if eyes is None else np.array(COLOUR_BLIND[eyes])
    for (one, a), (other, b) in itertools.combinations(figures.PALETTE.items(), 2):
        difference = np.linalg.norm(lab(seen @ linear(a)) - lab(seen @ linear(b)))
        assert difference > 15, f"{one} and {other}: {difference:.1f}"


def test_style_ends_with_its_block():
    before = mpl.rcParams["text.color"], mpl.rcParams["svg.fonttype"]
    with figures.style():
        assert mpl.rcParams["text.color"] == figures.FOREGROUND
    assert (mpl.rcParams["text.color"], mpl.rcParams["svg.fonttype"]) == before


def test_every_style_name_is_known_to_matplotlib():
    assert set(figures.STYLE) <= set(mpl.rcParams)


def test_the_same_figure_gives_the_same_text(fig):
    one = figures.as_svg(fig)
    assert one == figures.as_svg(fig)
    assert "dc:date" not in one
    assert "<text" in one  # letters, not outlines
    assert all("sans-serif" in fonts for fonts in re.findall(r"font-family:([^;\"]*)", one))
    assert figures.FOREGROUND in one


def test_show_gives_svg_alone_and_closes_the_figure(fig, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    assert figures.show(fig) is None
    (picture,) = shown
    assert picture._repr_svg_().startswith("<svg")
    assert not plt.fignum_exists(fig.number)


def test_inline_makes_a_picture_of_the_page(fig):
    page = inline(figures.as_svg(fig), 'He said "a < b"', "svg-1")
    root = ElementTree.fromstring(page)
    assert root.get("role") == "img"
    assert root.get("aria-label") == 'He said "a < b"'
    assert root.get("viewBox")
    assert root.get("width") is root.get("height") is None
    assert "currentColor" in page
    assert figures.FOREGROUND not in page
    assert "\n\n" not in page
    assert "<?xml" not in page
    assert "<!DOCTYPE" not in page


def test_inline_keeps_ids_and_their_uses_together_and_apart_from_others(fig):
    svg = figures.as_svg(fig)
    ids = []
    for prefix in ("svg-1", "svg-2"):
        page = inline(svg, "a curve", prefix)
        own = re.findall(r'\bid="([^"]+)"', page)
        uses = re.findall(r'(?:href="#|url\(#)([^")]+)', page)
        assert uses
        assert set(uses) <= set(own)
        ids += own
    assert len(ids) == len(set(ids))


def test_inline_confines_a_pictures_own_style():
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="72pt" height="36pt">'
        "<style>* {stroke: red} .a, #b { fill: COLOUR }</style><g id='b' class='a'/></svg>"
    ).replace("COLOUR", figures.FOREGROUND.upper())
    page = inline(svg, "x", "p")
    assert "#p * {stroke: red}" in page
    assert "#p .a, #p #p-b {" in page
    assert "currentColor" in page
    root = ElementTree.fromstring(page)
    assert root.get("viewBox") == "0 0 96 48"
    assert root.get("style") == "width: 96px; min-width: 58px"


def test_inline_rounds_lengths_and_nothing_else():
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10.125 10">'
        '<path d="M 1.23456 -0.001 L 7 8.999z" transform="scale(0.015625)"/>'
        '<text x="3.14159">3.14159</text></svg>'
    )
    page = inline(svg, "x", "p")
    assert 'd="M 1.23 -0 L 7 9z"' in page
    assert 'transform="scale(0.015625)"' in page
    assert 'viewBox="0 0 10.125 10"' in page
    assert '<text x="3.14">3.14159</text>' in page


def test_inline_leaves_links_and_foreign_ids_alone():
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
        '<a xlink:href="other.html#b"><rect fill="url(#elsewhere)"/></a></svg>'
    )
    page = inline(svg, "x", "p")
    assert "other.html#b" in page
    assert "url(#elsewhere)" in page


def test_front_gradient_fades_and_grows():
    flow = front.data()
    assert flow.norms[:, -1] == pytest.approx(1.0)
    fades, grows = flow.norms
    assert (np.diff(fades) > 0).all()
    assert (np.diff(grows) < 0).all()
    # tanh' <= 1 and W is gain times orthogonal, so one step back multiplies by the gain at most
    assert (flow.norms[:, :-1] <= flow.gains[:, None] * flow.norms[:, 1:] * (1 + 1e-12)).all()


def test_front_gradient_is_the_derivative_of_the_loss():
    """Against a complex step through the same network, at the first state."""
    flow = front.data(T=4, H=5, gains=(1.3,))
    rng = np.random.default_rng(3)
    Q = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    x, last = 0.02 * rng.normal(size=(4, 5)), rng.normal(size=5)

    def loss_from(h):  # h is the first state
        for t in range(1, 4):
            h = np.tanh(1.3 * Q @ h + x[t])
        return h @ last / np.linalg.norm(last)

    first = np.tanh(x[0])
    steps = 1e-30j * np.eye(5)
    gradient = [loss_from(first + step).imag / 1e-30 for step in steps]
    # exact to rounding: a complex step has no difference to cancel
    assert np.linalg.norm(gradient) == pytest.approx(flow.norms[0, 0], rel=1e-12)


def test_front_is_drawn():
    one, other = front.draw(front.data()), front.draw(front.data())
    assert figures.as_svg(one) == figures.as_svg(other)
    plt.close("all")

"""What tests of plots look for: every text of a figure, and that a picture file shows something."""

from __future__ import annotations

from pathlib import Path

from matplotlib import image
from matplotlib.figure import Figure


def texts(figure: Figure) -> set[str]:
    """Every text in a figure, its axes and its legends."""
    figure.draw_without_rendering()
    found = {text.get_text() for axes in figure.axes for text in axes.findobj() if hasattr(text, "get_text")}
    return found | {text.get_text() for legend in figure.legends for text in legend.get_texts()}


def assert_shows_something(path: Path) -> None:
    """The picture is large enough to read and has several colours."""
    pixels = image.imread(path)
    assert min(pixels.shape[:2]) > 400
    colours = {tuple(colour) for colour in pixels[::7, ::7].reshape(-1, pixels.shape[2]).round(1)}
    assert len(colours) >= 4, path.name

"""Two models' analyses, and a way to look at a figure before it becomes a file."""

import importlib
from collections.abc import Callable

import pytest
from entropy_tables import Tables
from matplotlib.figure import Figure

from bupo.figures.study import Study


@pytest.fixture(scope="session")
def small() -> Study:
    return Tables("tiny", 6, 3, anchors=(2, 5)).study


@pytest.fixture(scope="session")
def deep() -> Study:
    return Tables("deep", 36, 6, anchors=(6,)).study


@pytest.fixture
def drawn(monkeypatch) -> Callable[..., Figure]:
    """Call a drawing function and get its figure instead of its panel; None where it draws nothing."""

    def draw(function, *arguments) -> Figure:
        module = importlib.import_module(function.__module__)
        monkeypatch.setattr(module, "finish", lambda figure, *_: figure)
        return function(*arguments)

    return draw


@pytest.fixture
def line() -> Callable[..., list[tuple[float, float]]]:
    """The points of the line with a label."""

    def points(axes, label: str) -> list[tuple[float, float]]:
        found = next(each for each in axes.get_lines() if each.get_label() == label)
        return list(zip(map(float, found.get_xdata()), map(float, found.get_ydata()), strict=True))

    return points

"""A results tree and its report, made once."""

from pathlib import Path

import pytest
from results_tree import FLOOR, Scenario, make_tree

from bupo.report.page import write_report


def _report(folder: Path, scenario: Scenario) -> Path:
    experiment = make_tree(folder, scenario)
    root = experiment.parent
    write_report(experiment, root / "report", root / "summary.json")
    return root


@pytest.fixture(scope="session")
def demo(tmp_path_factory) -> Path:
    """``results/demo`` with one bottom-up cell above GRPO and one that does not differ from it."""
    return _report(tmp_path_factory.mktemp("demo"), Scenario())


@pytest.fixture(scope="session")
def floor(tmp_path_factory) -> Path:
    """A smoke run: nothing is solved, the boundary is unclear."""
    return _report(tmp_path_factory.mktemp("floor"), FLOOR)

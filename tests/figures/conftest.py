"""Two models' analyses."""

import pytest
from entropy_tables import Tables

from bupo.figures.study import Study


@pytest.fixture(scope="session")
def small() -> Study:
    return Tables("tiny", 6, 3, anchors=(2, 5)).study


@pytest.fixture(scope="session")
def deep() -> Study:
    return Tables("deep", 36, 6, anchors=(6,)).study

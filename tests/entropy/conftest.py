"""A tiny random model on disk and problems in verl's schema."""

from pathlib import Path

import pytest
from tiny_checkpoint import make_checkpoint, make_problems


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="session")
def problems_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_problems(tmp_path_factory.mktemp("problems") / "sums.parquet")

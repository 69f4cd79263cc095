"""Fixtures of whole runs of the workflow."""

from pathlib import Path

import pytest
from checkout import Checkout, copy_of


@pytest.fixture
def checkout(root: Path, tmp_path: Path) -> Checkout:
    return copy_of(root, tmp_path)


@pytest.fixture(scope="module")
def shared_checkout(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    return copy_of(root, tmp_path_factory.mktemp("checkout"))

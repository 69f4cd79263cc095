from pathlib import Path

import pytest
from grid_files import cell, write_experiment

from bupo.tracking.grid import init
from bupo.tracking.store import open_store


@pytest.fixture(scope="module")
def fresh_database(tmp_path_factory) -> Path:
    """A migrated database to copy: migrating takes seconds."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    with open_store(f"sqlite:///{path}"):
        pass
    return path


@pytest.fixture
def uri(fresh_database, tmp_path) -> str:
    target = tmp_path / "results" / "mlflow" / "mlflow.db"
    target.parent.mkdir(parents=True)
    target.write_bytes(fresh_database.read_bytes())
    return f"sqlite:///{target}"


@pytest.fixture
def grid(uri, tmp_path):
    folder = tmp_path / "results" / "demo"
    experiment = write_experiment(folder, [cell("grpo"), cell("bupo-kauto-s4", "auto")])
    return uri, experiment, init(experiment, uri, folder / "tracking.json")

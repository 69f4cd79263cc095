"""Fixtures that all tests share."""

import importlib
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# A property is true or not, however long a busy machine takes to look.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

ROOT = Path(__file__).resolve().parents[1]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Let one process have all tests on Slurm: a second one would have to wait for the machine's only cluster."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "slurm" if Path(file).parent.name == "slurm" else file

    return Scheduling(config, log)


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data sets in their upstream form, where they are at hand."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no folder with real data sets beside the checkout (../shared/data)")
    return folder


@pytest.fixture
def vllm_python(monkeypatch: pytest.MonkeyPatch) -> str:
    """An interpreter whose environment has vLLM."""
    python = os.environ.get("BUPO_VLLM_PYTHON", "")
    if not python and (ROOT / ".venv-vllm" / ".complete").is_file():
        python = str(ROOT / ".venv-vllm" / "bin" / "python")
    if not python:
        pytest.skip("no environment with vLLM (make env-vllm, or its interpreter in BUPO_VLLM_PYTHON)")
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB; by default a share of the whole memory
    return python


@pytest.fixture
def drawn(monkeypatch) -> Callable[..., Any]:
    """Call a drawing function and get its figure instead of its panel; None where it draws nothing."""

    def draw(function, *arguments) -> Any:
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


@pytest.fixture
def project(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project's configs, in an empty folder that is the current one."""
    shutil.copytree(root / "configs", tmp_path / "configs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def interruptible() -> Iterator[None]:
    """What a shell started in the background ignores Ctrl-C, and so does all that it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)

"""The environment that jobs run in: which, whether it is here, and that it is made once."""

import ast
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bupo import environments
from bupo.environments import COMPLETE, Environment, is_complete, lock_sha256, make, place
from bupo.errors import UserError
from bupo.experiment.resolve import plan_of


@pytest.fixture
def lock(tmp_path):
    (tmp_path / "some.lock").write_text("# a comment\nabsent-package==1.0\npip==1.0\n")
    return tmp_path / "some.lock"


def test_a_lock_is_what_it_pins(lock, tmp_path):
    other = tmp_path / "other.lock"
    other.write_text("pip==1.0\n\nabsent-package==1.0\n# another comment\n")
    assert lock_sha256(lock) == lock_sha256(other)
    other.write_text("pip==1.1\nabsent-package==1.0\n")
    assert lock_sha256(lock) != lock_sha256(other)


@pytest.mark.parametrize(("experiment", "name"), [("demo", "cpu.lock"), ("paper_qwen3_4b", "gpu.lock")])
def test_the_engine_says_which(root, experiment, name):
    assert plan_of(experiment, [], root / "configs").environment.lock.name == name


def test_where_python_has_the_packages_nothing_is_made(root, tmp_path):
    has = tmp_path / "has.lock"
    has.write_text(f"pytest=={pytest.__version__}\n")
    environment = Environment(has)
    assert not environment.to_be_made and environment.programs == Path(sys.executable).parent


def test_elsewhere_it_is_that_of_the_lock(lock):
    environment = Environment(lock)
    assert environment.to_be_made
    assert environment.programs == place(lock).absolute() / "bin"
    assert Environment(lock, "here").programs == Path(sys.executable).parent


def test_a_folder_without_python_is_told(lock, tmp_path):
    with pytest.raises(UserError, match=r"environment = .* has no bin/python"):
        _ = Environment(lock, str(tmp_path)).programs


def test_it_is_made_once_however_many_ask(lock, tmp_path, monkeypatch):
    made = []

    def install(environment, *_):
        assert not environment.exists()  # what a killed call left is gone
        made.append(environment)
        environment.mkdir(parents=True)

    monkeypatch.setattr(environments, "_install", install)
    left = place(lock, tmp_path)
    left.mkdir()
    (left / "half").touch()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: make(lock, tmp_path), range(4)))
    assert made == [left] and set(found) == {left}
    assert is_complete(left, lock) and (left / COMPLETE).is_file()


def test_an_empty_one_is_made_for_real(tmp_path):
    (tmp_path / "empty.lock").write_text("# nothing\n")
    environment = make(tmp_path / "empty.lock", tmp_path)
    told = subprocess.run(
        [environment / "bin" / "python", "-c", "import sys; print(sys.prefix)"],
        capture_output=True,
        text=True,
    )
    assert told.stdout.strip() == str(environment)


def test_one_that_cannot_be_made_is_told_and_not_taken_for_whole(tmp_path):
    (tmp_path / "bad.lock").write_text("--no-index\nabsent-package==1.0\n")
    with pytest.raises(UserError, match=r"bad\.lock: the environment .* could not be made"):
        make(tmp_path / "bad.lock", tmp_path)
    assert not is_complete(place(tmp_path / "bad.lock", tmp_path), tmp_path / "bad.lock")


BLOCKED = """
import importlib.abc, importlib.metadata, re, sys
allowed = {re.sub(r"[-_.]+", "-", name).lower() for name in sys.argv[2].split(",")} | {"bupo"}
owners = importlib.metadata.packages_distributions()
class Submit(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        of = {re.sub(r"[-_.]+", "-", each).lower() for each in owners.get(top, [])}
        if of and not of & allowed:
            raise ModuleNotFoundError(f"No module named {name!r}: not in envs/submit.lock", name=top)
sys.meta_path.insert(0, Submit())
for module in sys.argv[1].split(","):
    __import__(module)
"""

SUBMITS = (
    "bupo.experiment.partial",
    "bupo.experiment.resolve",
    "bupo.experiment.start",
    "bupo.experiment.watch",
    "bupo.environments",
    "bupo.tracking.grid",
    "bupo.console.plan",
    "bupo.console.status",
    "bupo.console.why",
    "bupo.console.doctor",
    "mlflow",
)


def test_what_runs_where_jobs_are_submitted_is_in_its_lock(root):
    pinned = environments.pins(root / "envs/submit.lock")
    assert "torch" not in pinned and "verl" not in pinned and "snakemake-executor-plugin-slurm" in pinned
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, ",".join(SUBMITS), ",".join(pinned)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_snakefile_imports_no_more_than_that(root):
    files = [root / "Snakefile", *sorted((root / "rules").glob("*.smk"))]
    lines = [line for file in files for line in file.read_text().splitlines()]
    imported = {
        node.module
        for line in lines
        if line.startswith("from bupo")
        for node in ast.walk(ast.parse(line))
        if isinstance(node, ast.ImportFrom)
    }
    assert imported and imported <= set(SUBMITS)


def test_the_locks_pin_what_the_ins_ask_for(root):
    for name in ("cpu", "gpu", "submit"):
        asked, locked = (environments.pins(root / f"envs/{name}.{end}") for end in ("in", "lock"))
        normal = {key.lower().replace("_", "-"): value for key, value in locked.items()}
        for package, version in asked.items():
            assert normal[package.lower().replace("_", "-")] == version, (name, package)


def test_both_environments_train_with_the_same_verl_and_transformers(root):
    cpu, gpu = (environments.pins(root / f"envs/{name}.lock") for name in ("cpu", "gpu"))
    for package in ("verl", "transformers", "lm_eval", "math-verify", "mlflow", "hydra-core"):
        names = {package, package.replace("_", "-")}
        versions = [next(value for key, value in pins.items() if key in names) for pins in (cpu, gpu)]
        assert versions[0] == versions[1], package

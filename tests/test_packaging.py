"""An installation that is not editable has every file of the package, not only its modules."""

import shutil
import subprocess
import sys
from zipfile import ZipFile

import pytest

PACKAGES = ("bupo", "snakemake_executor_plugin_slurm_resume")
BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"


def test_the_wheel_has_every_file_of_the_packages(root, tmp_path):
    pytest.importorskip("setuptools", minversion="77", reason="builds the wheel; no lock of ours asks for it")
    source, out = tmp_path / "source", tmp_path / "out"
    skipped = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.pyc")
    for package in PACKAGES:
        shutil.copytree(root / "workflow" / package, source / "workflow" / package, ignore=skipped)
    shutil.copy(root / "pyproject.toml", source)
    command = [sys.executable, "-c", BUILD, str(out)]
    built = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (wheel,) = out.glob("*.whl")
    with ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    workflow = source / "workflow"
    files = {
        path.relative_to(workflow).as_posix()
        for package in PACKAGES
        for path in (workflow / package).rglob("*")
        if path.is_file()
    }
    assert any(not name.endswith(".py") for name in files)
    assert sorted(files - packed) == [], "pyproject.toml: package-data names the endings"

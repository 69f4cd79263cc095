import shutil
import subprocess
from pathlib import Path

import pytest

import bupo.commit
from bupo.commit import commit


def git(folder, *arguments):
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    command = ["git", "-C", folder, *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with one commit, in which the package seems to lie."""
    if shutil.which("git") is None:
        pytest.skip("no git")
    git(tmp_path, "init")
    (tmp_path / "code.py").write_text("one")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--message", "x")
    monkeypatch.setattr(bupo.commit, "__file__", str(tmp_path / "code.py"))
    return tmp_path


def test_the_commit_and_whether_files_differ_from_it(checkout: Path):
    head = git(checkout, "rev-parse", "HEAD")
    assert commit() == head
    (checkout / "results.txt").write_text("not of the code")
    assert commit() == head
    (checkout / "code.py").write_text("two")
    assert commit() == f"{head} with uncommitted changes"


def test_outside_of_a_checkout_there_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(bupo.commit, "__file__", str(tmp_path / "code.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit() is None
    monkeypatch.setenv("PATH", str(tmp_path))  # no git
    assert commit() is None

"""The commands in this process, in a copy of the project's configurations, and small trees of results."""

import shutil
import stat
import sys

import pytest
from small_tree import Tree

from bupo.__main__ import main


@pytest.fixture
def bupo(monkeypatch, capsys):
    """Run one command; its exit status and what it printed."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["bupo", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code, capsys.readouterr().out

    return run


@pytest.fixture
def tree(project):
    """Results of the experiment `demo` of two cells, of which nothing is made."""
    return Tree(project)


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Put shell scripts on an otherwise empty PATH: names and what they do."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in ("sh", "sleep", "cat", "git"):
        (folder / name).symlink_to(shutil.which(name))
    monkeypatch.setenv("PATH", str(folder))

    def put(**scripts):
        for name, body in scripts.items():
            path = folder / name.replace("_", "-")
            path.write_text(f"#!{folder}/sh\n{body}\n")
            path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return folder

    return put

import os
import tempfile
from pathlib import Path

import pytest

from bupo.errors import UserError
from bupo.training.launch import SOCKET_LIMIT, SOCKET_TAIL, output_to, scratch_folder


def test_scratch_lies_in_the_run_and_goes_with_it(tmp_path):
    with scratch_folder(tmp_path, sockets=False) as scratch:
        assert scratch.parent == tmp_path
        (scratch / "left").write_text("by a killed run")
    assert not scratch.exists()


def test_what_a_killed_run_left_is_removed(tmp_path):
    (tmp_path / ".scratch").mkdir()
    (tmp_path / ".scratch" / "left").write_text("x")
    with scratch_folder(tmp_path, sockets=False) as scratch:
        assert list(scratch.iterdir()) == []


def test_sockets_get_a_short_path_of_their_own(tmp_path, monkeypatch):
    deep = tmp_path / ("a" * 60)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with scratch_folder(deep / "one", sockets=True) as one, scratch_folder(deep / "two", sockets=True) as two:
        assert one != two
        assert one.parent == two.parent == Path("/tmp")
        assert len(os.fsencode(one)) + SOCKET_TAIL <= SOCKET_LIMIT
    assert not one.exists()


def test_no_short_path_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("bupo.training.launch.SOCKET_LIMIT", 20)
    with pytest.raises(UserError, match=r"TMPDIR = .* is too long"), scratch_folder(tmp_path, sockets=True):
        pass


def test_output_goes_to_the_log_and_the_console_stays(tmp_path, capfd):
    with output_to(tmp_path / "log.txt") as console:
        os.write(1, b"verl says\n")
        os.system("echo a child says >&2")
        print("progress", file=console)
    assert (tmp_path / "log.txt").read_text().splitlines() == ["verl says", "a child says"]
    out, err = capfd.readouterr()
    assert (out, err) == ("", "progress\n")


def test_a_failure_names_the_log(tmp_path, capfd):
    with pytest.raises(RuntimeError), output_to(tmp_path / "log.txt"):
        raise RuntimeError("of verl")
    assert f"what verl said before is in {tmp_path / 'log.txt'}" in capfd.readouterr().err

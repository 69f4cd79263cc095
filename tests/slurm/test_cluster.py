"""The Slurm of the tests keeps away from one that is there, and leaves nothing behind."""

import subprocess
import sys
from pathlib import Path

import configuration
import pytest
from configuration import configured, foreign
from daemons import Daemon, wait_for


@pytest.fixture
def etc(tmp_path, monkeypatch):
    monkeypatch.setattr(configuration, "CONFIGURATION", tmp_path / "etc")
    return tmp_path / "etc"


def test_a_cluster_of_somebody_else_is_seen_by_any_of_its_files(etc):
    etc.mkdir()
    assert foreign() is None
    (etc / "gres.conf").write_text("NodeName=n1 Name=gpu\n")
    assert foreign() == etc / "gres.conf"


def test_what_a_killed_test_left_is_ours(etc, tmp_path):
    with configured(tmp_path):
        assert foreign() is None and (etc / "slurm.conf").exists()


def test_the_configuration_is_gone_after_an_error_and_other_files_stay(etc, tmp_path):
    etc.mkdir()
    (etc / "plugstack.conf").write_text("")
    with pytest.raises(RuntimeError), configured(tmp_path):
        raise RuntimeError
    assert [file.name for file in etc.iterdir()] == ["plugstack.conf"]


def test_a_folder_that_was_made_for_it_goes_too(etc, tmp_path):
    with configured(tmp_path):
        pass
    assert not etc.exists()


def test_a_daemon_goes_with_its_holder(tmp_path):
    program = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
from daemons import Path, daemon
with daemon(Path({str(tmp_path)!r}), "sh", "-c", "echo $$; exec sleep 600"):
    print("ready", flush=True)
    time.sleep(600)
"""
    holder = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "ready\n"
    log = tmp_path / "sh.log"
    wait_for(lambda: log.read_text().endswith("\n"), "the daemon")
    status = Path("/proc") / log.read_text().strip()
    holder.kill()
    holder.wait()
    wait_for(lambda: not status.exists() or "(sleep) Z" in (status / "stat").read_text(), "its end")


def test_a_daemon_is_stopped_and_started_again(tmp_path):
    daemon = Daemon(tmp_path, ["sh", "-c", "echo started; exec sleep 600"])
    log = tmp_path / "sh.log"
    daemon.stop()
    for number in (1, 2):
        daemon.start()
        daemon.start()
        wait_for(lambda number=number: log.read_text() == "started\n" * number, "the daemon")
        daemon.stop()
        assert daemon.process.poll() is not None

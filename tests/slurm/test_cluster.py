"""The Slurm of the tests keeps away from one that is there, and leaves nothing behind."""

import subprocess
import sys
from pathlib import Path

import cluster
import pytest


@pytest.fixture
def configuration(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "CONFIGURATION", tmp_path / "etc")
    return tmp_path / "etc"


def test_a_cluster_of_somebody_else_is_seen_by_any_of_its_files(configuration):
    configuration.mkdir()
    assert cluster.foreign() is None
    (configuration / "gres.conf").write_text("NodeName=n1 Name=gpu\n")
    assert cluster.foreign() == configuration / "gres.conf"


def test_what_a_killed_test_left_is_ours(configuration, tmp_path):
    with cluster.configured(tmp_path):
        assert cluster.foreign() is None and (configuration / "slurm.conf").exists()


def test_the_configuration_is_gone_after_an_error_and_other_files_stay(configuration, tmp_path):
    configuration.mkdir()
    (configuration / "plugstack.conf").write_text("")
    with pytest.raises(RuntimeError), cluster.configured(tmp_path):
        raise RuntimeError
    assert [file.name for file in configuration.iterdir()] == ["plugstack.conf"]


def test_a_folder_that_was_made_for_it_goes_too(configuration, tmp_path):
    with cluster.configured(tmp_path):
        pass
    assert not configuration.exists()


def test_a_daemon_goes_with_its_holder(tmp_path):
    program = f"""
import sys, time
sys.path.insert(0, {str(Path(cluster.__file__).parent)!r})
from cluster import Path, daemon
with daemon(Path({str(tmp_path)!r}), "sh", "-c", "echo $$; exec sleep 600"):
    print("ready", flush=True)
    time.sleep(600)
"""
    holder = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "ready\n"
    log = tmp_path / "sh.log"
    cluster.wait_for(lambda: log.read_text().endswith("\n"), "the daemon")
    status = Path("/proc") / log.read_text().strip()
    holder.kill()
    holder.wait()
    cluster.wait_for(lambda: not status.exists() or "(sleep) Z" in (status / "stat").read_text(), "its end")

"""Processes that are killed in the middle of a write: the next one goes on from what they leave."""

import os
import signal
import subprocess
import sys

from bupo.entropy.results import merge
from bupo.entropy.settings import read_settings
from bupo.entropy.shard import Shard, run_shard
from bupo.entropy.source import ModelSource

RESULTS = ("responses.parquet", "statistics.parquet", "boundary.json")

# Killed when the n-th file is written and not yet renamed: its bytes are on the disk, the file is not there.
KILLED = """
import os, signal
from bupo import files
from bupo.entropy.__main__ import main
left, sync = int(os.environ["FILES_LEFT"]), files.sync
def sync_or_die(path):
    global left
    sync(path)
    left -= path.suffix == ".tmp"
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
files.sync = sync_or_die
main()
"""


def test_killed_twice_the_results_are_the_same(checkpoint, problems_file, tmp_path):
    """Once while responses are drawn (3 parts), once while they are measured (after 2 + 1 + 1 files)."""
    (tmp_path / "spec.yaml").write_text("problems: 6\nsamples: 2\nbatch_size: 4\nmax_new_tokens: 8\n")
    settings, source = read_settings(tmp_path / "spec.yaml"), ModelSource("tiny", str(checkpoint))
    run_shard(source, [problems_file], settings, tmp_path / "whole", Shard())
    merge(tmp_path / "whole", 1)
    call = [sys.executable, "-c", KILLED, str(checkpoint), "--problems", str(problems_file)]
    call += ["--spec", str(tmp_path / "spec.yaml"), "--out", str(tmp_path / "killed")]
    folder = Shard().folder(tmp_path / "killed")
    for files_left, kind, kept in ((2, "responses", 1), (2 + 1 + 1 + 4, "sums", 3)):
        environment = {**os.environ, "FILES_LEFT": str(files_left), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(call, env=environment, capture_output=True, text=True)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert not (folder / "sums.parquet").exists()
        (work,) = folder.glob(f"{kind}-*")
        assert len(list(work.glob("*.parquet"))) == kept
        assert list(folder.rglob(".*.tmp"))
    run_shard(source, [problems_file], settings, tmp_path / "killed", Shard())
    merge(tmp_path / "killed", 1)
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "responses.parquet", "sums.parquet"]
    for name in RESULTS:
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()

import os
import subprocess
import sys

import pytest

from bupo.spent import Spent, read_spent

BUSY = (
    "import time; from bupo.errors import run_command\n"
    "def main():\n"
    "    end = time.process_time() + 0.4\n"
    "    while time.process_time() < end: pass\n"
    "run_command(main)"
)


def log_of(tmp_path, code, **variables):
    hidden = ("SLURM", "CUDA_VISIBLE_DEVICES")
    clean = {key: value for key, value in os.environ.items() if not key.startswith(hidden)}
    log = tmp_path / "stage.log"
    with log.open("w") as file:
        subprocess.run([sys.executable, "-c", code], stderr=file, env={**clean, **variables}, check=False)
    return log


@pytest.mark.parametrize(
    ("variables", "gpus"),
    [
        ({"CUDA_VISIBLE_DEVICES": "0,3"}, 2),
        ({"CUDA_VISIBLE_DEVICES": ""}, 0),
        ({"SLURM_JOB_ID": "7", "SLURM_GPUS_ON_NODE": "8", "SLURM_JOB_NUM_NODES": "2"}, 16),
        # a task of an array, and one without a GPU
        ({"SLURM_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "2", "CUDA_VISIBLE_DEVICES": "0"}, 1),
        ({"SLURM_JOB_ID": "7", "CUDA_VISIBLE_DEVICES": "GPU-8932f937,MIG-c6d4f1ef"}, 2),
        ({"SLURM_JOB_ID": "7", "CUDA_VISIBLE_DEVICES": "NoDevFiles"}, 0),
        ({"SLURM_JOB_ID": "7"}, 0),
    ],
)
def test_a_stage_ends_its_log_with_what_it_cost(tmp_path, variables, gpus):
    spent = read_spent(log_of(tmp_path, BUSY, **variables))
    assert spent.gpus == gpus
    assert spent.wall_s > 0 and spent.core_s >= 0.4


def test_a_stage_that_failed_tells_nothing(tmp_path):
    code = "from bupo.errors import *\ndef main(): raise UserError('no')\nrun_command(main)"
    log = log_of(tmp_path, code)
    assert log.read_text() == "error: no\n" and read_spent(log) is None
    assert read_spent(tmp_path / "nowhere.log") is None


def test_the_last_line_counts(tmp_path):
    log = tmp_path / "x.log"
    lines = (
        "[spent] 1.0 s, 2.0 s of processors, 1 GPUs",
        "more",
        "[spent] 5.5 s, 4.0 s of processors, 2 GPUs",
    )
    log.write_text("\n".join(lines) + "\n")
    assert read_spent(log) == Spent(5.5, 4.0, 2)


@pytest.mark.parametrize(("command", "tells"), [("make", True), ("look", False), ("", False)])
def test_of_several_commands_only_stages_tell(tmp_path, command, tells):
    code = f"import sys; from bupo.errors import *; sys.argv[1:] = {command.split()}\n"
    log = log_of(tmp_path, code + "run_command(lambda: None, stages=('make',))", SLURM_JOB_ID="7")
    assert log.read_text().count("[slurm] job 7 on ") == log.read_text().count("[spent] ") == tells


@pytest.mark.parametrize("command", ["experiment check demo", "evaluation tasks"])
def test_a_persons_command_tells_no_cost(root, command):
    program, *words = command.split()
    done = subprocess.run(
        [sys.executable, "-m", f"bupo.{program}", *words],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout and done.stderr == ""

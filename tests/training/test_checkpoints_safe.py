"""A checkpoint that would run something when it is loaded is refused, and nothing of it runs."""

import os
import subprocess
import sys

import pytest
import torch
from saved_checkpoint import contents, stage

from bupo.errors import UserError
from bupo.training import safe_loading
from bupo.training.checkpoints import Checkpoints
from bupo.training.launch import environment


class Hostile:
    """Makes a folder when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def hostile(tmp_path):
    """A whole checkpoint, its manifest fitting, whose optimiser would leave a mark."""
    checkpoints = Checkpoints(tmp_path / "checkpoints", "identity")
    stage(checkpoints, 1)
    file = "actor/optim_world_size_1_rank_0.pt"
    torch.save({"state": Hostile(tmp_path / "mark")}, checkpoints.staging / "global_step_1" / file)
    checkpoints.commit(1)
    assert checkpoints.prepare() == 1
    return checkpoints.folder(1) / file


def test_it_would_run(hostile, tmp_path):
    torch.load(hostile, weights_only=False)
    assert (tmp_path / "mark").is_dir()


def test_it_is_refused_by_name_and_does_not_run(hostile, tmp_path):
    with pytest.raises(
        UserError, match=r"optim_world_size_1_rank_0\.pt: it holds .*\.mkdir, which could run"
    ):
        safe_loading.refuse_code(hostile.parents[1])
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("content", [b"", b"cos\nsystem\n(S'true'\ntR.", b"PK\x03\x04" + bytes(100)])
def test_what_torch_does_not_write_is_refused(hostile, content):
    hostile.write_bytes(content)
    with pytest.raises(UserError, match=r"what torch\.save does not write"):
        safe_loading.refuse_code(hostile.parents[1])


def test_no_process_of_a_run_can_be_made_to_run_it(hostile, tmp_path):
    """Without the look at it before, with verl's own way of loading, and what verl saves is allowed there."""
    program = (
        "import sys, verl, torch, numpy; assert numpy.ndarray in torch.serialization.get_safe_globals(); "
        "torch.load(sys.argv[1], weights_only=False)"
    )
    command = [sys.executable, "-c", program, str(hostile)]
    variables = {**os.environ, "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1", **environment("cpu", tmp_path)}
    result = subprocess.run(command, env=variables, capture_output=True, text=True)
    assert result.returncode == 1
    assert "UnpicklingError: Weights only load failed" in result.stderr
    assert not (tmp_path / "mark").exists()


def test_what_is_saved_can_be_loaded_under_these_rules(tmp_path, monkeypatch):
    for name, value in safe_loading.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    safe_loading.allow()
    for name, content in contents(3).items():
        if name.endswith(".pt"):
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
            loaded = torch.load(path, weights_only=False)
            assert loaded
    assert safe_loading.code_in(tmp_path) == {}
    rng = torch.load(tmp_path / "actor/extra_state_world_size_1_rank_0.pt", weights_only=False)["rng"]
    assert rng["numpy"][1].dtype == "uint32"


def test_verls_batches_pass_between_its_processes(monkeypatch):
    import pickle

    from verl import DataProto

    for name, value in safe_loading.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    values = {"ids": torch.arange(6).view(2, 3), "half": torch.ones(2, 2, dtype=torch.bfloat16)}
    batch = pickle.loads(pickle.dumps(DataProto.from_dict(values))).batch
    assert all(torch.equal(batch[name], value) for name, value in values.items())

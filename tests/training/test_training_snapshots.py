"""Which snapshots a run has, and what becomes of a finished run when others are wanted."""

import json
import shutil

import pytest

from bupo.errors import UserError
from bupo.files import publish_folder, sha256_file
from bupo.training.checkpoints import Checkpoints
from bupo.training.manifest import is_done, not_kept, remove_manifest, write_manifest
from bupo.training.run import _start
from bupo.training.snapshots import Snapshots

IDENTITY = "identity"


def asked(out, every, last=12):
    return Snapshots(out, every, last)


def make(out, *steps):
    for step in steps:
        folder = out / f"snapshots/step-{step:06d}"
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_text(f"weights of {step}")


def kept(out):
    return sorted(int(path.name.removeprefix("step-")) for path in (out / "snapshots").iterdir())


@pytest.fixture
def finished(tmp_path):
    """A run of 12 steps with a snapshot after every second one."""
    (tmp_path / "metrics.jsonl").write_text("{}\n")
    make(tmp_path, 2, 4, 6, 8, 10)
    (tmp_path / "model").mkdir()
    (tmp_path / "model/model.safetensors").write_text("weights of 12")
    write_manifest(tmp_path, IDENTITY, asked(tmp_path, 2), {"steps": 12})
    return tmp_path


def done(out):
    return json.loads((out / "done.json").read_text())


@pytest.mark.parametrize(
    ("every", "steps"), [(4, [4, 8]), (5, [5, 10]), (11, [11]), (12, []), (99, []), (None, [])]
)
def test_the_last_step_is_the_model_itself(tmp_path, every, steps):
    snapshots = asked(tmp_path, every)
    assert list(snapshots.steps) == steps
    assert snapshots.folders == {step: f"snapshots/step-{step:06d}" for step in steps} | {12: "model"}


@pytest.mark.parametrize("value", [0, -1, 2.0, "4", True])
def test_a_wrong_number_of_steps_is_told(tmp_path, value):
    config = {"bupo": {"snapshot_every": value}, "trainer": {"total_training_steps": 12}}
    with pytest.raises(UserError, match=r"cell.yaml: bupo\.snapshot_every = .* should be a whole number"):
        Snapshots.of(config, tmp_path, "cell.yaml")


def test_a_configuration_from_before_asks_for_none(tmp_path):
    config = {"bupo": {}, "trainer": {"total_training_steps": 12}}
    assert Snapshots.of(config, tmp_path, "cell.yaml") == asked(tmp_path, None)


def test_later_ones_and_parts_are_removed_and_a_missing_one_is_noticed(tmp_path):
    make(tmp_path, 4, 6, 8)
    (tmp_path / "snapshots/.model.partial").mkdir()
    assert asked(tmp_path, 4).keep_until(5)
    assert kept(tmp_path) == [4]
    assert not asked(tmp_path, 4).keep_until(9)
    assert not asked(tmp_path, 2).keep_until(4)
    assert asked(tmp_path, 4).keep_until(0)
    assert kept(tmp_path) == []


def test_a_folder_is_published_whole_and_never_over_another(tmp_path):
    make(tmp_path, 4)
    folder = tmp_path / "snapshots/step-000004"
    publish_folder(folder, tmp_path / "published")
    assert (tmp_path / "published/model.safetensors").read_text() == "weights of 4"
    assert not folder.exists()
    make(tmp_path, 4)
    with pytest.raises(OSError, match="not empty"):
        publish_folder(folder, tmp_path / "published")


def stopped(out, checkpoint, lines):
    """A run that was killed after ``lines`` steps, with a whole checkpoint of an earlier one."""
    checkpoints = Checkpoints(out / "checkpoints", IDENTITY)
    checkpoints.prepare()
    (checkpoints.staging / f"global_step_{checkpoint}").mkdir(parents=True)
    checkpoints.commit(checkpoint)
    text = "".join(json.dumps({"step": step}) + "\n" for step in range(1, lines + 1))
    (out / "metrics.jsonl").write_text(text)
    return checkpoints


def test_a_run_goes_on_with_the_snapshots_up_to_its_checkpoint(tmp_path):
    checkpoints = stopped(tmp_path, checkpoint=5, lines=9)
    make(tmp_path, 4, 8)
    assert _start(checkpoints, tmp_path / "metrics.jsonl", asked(tmp_path, 4)) == 5
    assert kept(tmp_path) == [4]


@pytest.mark.parametrize("every", [2, 5])
def test_a_run_without_a_snapshot_that_is_asked_for_starts_anew(tmp_path, every):
    checkpoints = stopped(tmp_path, checkpoint=5, lines=9)
    make(tmp_path, 4, 8)
    assert _start(checkpoints, tmp_path / "metrics.jsonl", asked(tmp_path, every)) == 0
    assert kept(tmp_path) == []
    assert (tmp_path / "metrics.jsonl").read_text() == ""


def test_a_finished_run_names_its_snapshots_and_every_file(finished):
    assert done(finished)["snapshots"]["10"] == "snapshots/step-000010"
    assert done(finished)["snapshots"]["12"] == "model"
    assert len(done(finished)["files"]) == 1 + 6
    assert is_done(finished, IDENTITY, asked(finished, 2))
    assert not is_done(finished, "other", asked(finished, 2))
    assert not_kept(finished, "other", asked(finished, 5)) == []


def test_fewer_snapshots_train_nothing_and_can_be_taken_back(finished):
    assert is_done(finished, IDENTITY, asked(finished, 4))
    assert list(done(finished)["snapshots"]) == ["4", "8", "12"]
    assert "snapshots/step-000002/model.safetensors" not in done(finished)["files"]
    assert is_done(finished, IDENTITY, asked(finished, None))
    assert done(finished)["snapshots"] == {"12": "model"}
    assert is_done(finished, IDENTITY, asked(finished, 2))
    assert len(done(finished)["files"]) == 1 + 6


def test_done_is_written_only_where_it_changes(finished):
    before = (finished / "done.json").stat().st_mtime_ns
    assert is_done(finished, IDENTITY, asked(finished, 2))
    assert (finished / "done.json").stat().st_mtime_ns == before


def test_a_snapshot_that_was_not_kept_needs_a_new_training(finished):
    assert not is_done(finished, IDENTITY, asked(finished, 3))
    assert not_kept(finished, IDENTITY, asked(finished, 3)) == [3, 9]


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_a_damaged_snapshot_needs_a_new_training_where_it_is_asked_for(finished, damage):
    folder = finished / "snapshots/step-000006"
    shutil.rmtree(folder) if damage == "missing" else (folder / "model.safetensors").write_text("other")
    assert not is_done(finished, IDENTITY, asked(finished, 2))
    assert is_done(finished, IDENTITY, asked(finished, 4))


def test_done_comes_back_from_the_copy(finished):
    before = done(finished)
    (finished / "done.json").unlink()
    assert is_done(finished, IDENTITY, asked(finished, 2))
    assert done(finished) == before
    remove_manifest(finished)
    assert not is_done(finished, IDENTITY, asked(finished, 2))


def test_a_run_is_done_no_more_when_its_problems_have_changed(finished):
    problems = finished / "problems.parquet"
    problems.write_text("two and two")
    account = {"steps": 12, "jobs": [{"train_files": {str(problems): sha256_file(problems)}}]}
    write_manifest(finished, IDENTITY, asked(finished, 2), account)
    assert is_done(finished, IDENTITY, asked(finished, 2))
    problems.write_text("two and three")
    assert not is_done(finished, IDENTITY, asked(finished, 2))
    problems.unlink()
    assert is_done(finished, IDENTITY, asked(finished, 2))

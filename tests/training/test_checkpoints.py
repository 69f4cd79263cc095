"""Checkpoints are whole or absent, what is damaged is found and named, and the right ones are kept."""

import json
import shutil

import pytest
from saved_checkpoint import contents, stage

from bupo.errors import UserError
from bupo.identity import config_sha256
from bupo.training.checkpoints import Checkpoints, CheckpointSettings
from bupo.training.integrity import MANIFEST, Damaged, Score, read_manifest, seal, verify
from bupo.training.retention import score
from bupo.training.run import _start, run
from bupo.training.snapshots import Snapshots

FILES = [*contents(1), MANIFEST]


def committed(root, *steps, settings=None, scores=None):
    checkpoints = Checkpoints(root, "identity", settings)
    checkpoints.prepare()
    for step in steps:
        stage(checkpoints, step)
        checkpoints.commit(step, scores and Score(metric="reward", value=scores[step]))
    return checkpoints


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Two checkpoints."""
    root = tmp_path_factory.mktemp("saved") / "checkpoints"
    committed(root, 1, 2)
    return root


@pytest.fixture
def checkpoints(saved, tmp_path):
    return Checkpoints(shutil.copytree(saved, tmp_path / "checkpoints"), "identity")


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path):
    path.write_bytes(b"")


def zero(path):
    path.write_bytes(bytes(path.stat().st_size))


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def remove(path):
    path.unlink()


@pytest.mark.parametrize("damage", [truncate, empty, zero, flip, remove])
@pytest.mark.parametrize("name", FILES)
def test_every_damage_is_found_and_named(checkpoints, capsys, damage, name):
    damage(checkpoints.folder(2) / name)
    assert checkpoints.prepare() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{checkpoints.folder(2)}: {name} ")
    assert line.endswith("the checkpoint is moved to set_aside/ and the checkpoint of step 1 is looked at")
    assert (checkpoints.root / "latest_checkpointed_iteration.txt").read_text() == "1"
    assert checkpoints.steps() == [1]
    assert (checkpoints.root / "set_aside").is_dir()


def test_every_bit_of_the_manifest_counts(checkpoints):
    path = checkpoints.folder(2) / MANIFEST
    whole = path.read_bytes()
    for position in range(len(whole)):
        changed = bytearray(whole)
        changed[position] ^= 1 << position % 8
        path.write_bytes(changed)
        with pytest.raises(Damaged, match=MANIFEST):
            verify(path.parent)
    path.write_bytes(whole)
    assert verify(path.parent).step == 2


@pytest.mark.parametrize("what", ["a file", "a link", "a folder instead"])
def test_what_does_not_belong_to_it_is_found(checkpoints, capsys, what):
    folder = checkpoints.folder(2)
    match what:
        case "a file":
            (folder / "actor/more.pt").write_bytes(b"x")
            said = "actor/more.pt does not belong to it"
        case "a link":
            (folder / "actor/more.pt").symlink_to(folder / "actor")
            said = "actor/more.pt does not belong to it"
        case "a folder instead":
            (folder / "data.pt").unlink()
            (folder / "data.pt").mkdir()
            said = "data.pt is missing"
    assert checkpoints.prepare() == 1
    assert said in capsys.readouterr().err


def test_many_damaged_files_are_one_line(checkpoints, capsys):
    for name in contents(1):
        zero(checkpoints.folder(2) / name)
    checkpoints.prepare()
    (line,) = capsys.readouterr().err.splitlines()
    assert f"and {len(contents(1)) - 3} more; the checkpoint is moved" in line


def test_where_none_is_whole_the_run_starts_anew(checkpoints, capsys):
    for step in (1, 2):
        flip(checkpoints.folder(step) / "data.pt")
    assert checkpoints.prepare() == 0
    assert "the run starts anew" in capsys.readouterr().err.splitlines()[1]
    assert checkpoints.steps() == []
    assert not (checkpoints.root / "latest_checkpointed_iteration.txt").exists()


def test_a_manifest_says_what_the_checkpoint_is(checkpoints):
    manifest = read_manifest(checkpoints.folder(2))
    assert (manifest.step, manifest.identity) == (2, "identity")
    assert {"python", "torch", "verl"} <= set(manifest.versions)
    assert manifest.files["data.pt"].size == len(contents(2)["data.pt"])


def test_another_version_is_told(checkpoints, capsys, monkeypatch):
    monkeypatch.setattr("bupo.training.checkpoints.versions", lambda: {"torch": "99"})
    assert checkpoints.prepare() == 2
    assert "(now 99)" in capsys.readouterr().err


def test_a_checkpoint_under_the_name_of_another_is_not_gone_on_from(checkpoints):
    checkpoints.folder(2).rename(checkpoints.folder(9))
    assert checkpoints.prepare() == 1
    assert checkpoints.steps() == [1]


def test_only_committed_checkpoints_count(tmp_path):
    checkpoints = committed(tmp_path / "checkpoints", 1)
    stage(checkpoints, 2)  # killed before its metrics were written
    assert checkpoints.staged(2)
    assert checkpoints.prepare() == checkpoints.last == 1
    assert not checkpoints.staged(2)


@pytest.mark.parametrize("pointer", [None, "", "7", "x"])
def test_the_pointer_is_made_up_for(checkpoints, pointer):
    path = checkpoints.root / "latest_checkpointed_iteration.txt"
    path.unlink() if pointer is None else path.write_text(pointer)
    assert checkpoints.prepare() == 2
    assert path.read_text() == "2"


def test_a_step_without_checkpoint_changes_nothing(checkpoints):
    checkpoints.commit(3)
    assert checkpoints.steps() == [1, 2]


def test_checkpoints_of_another_configuration_are_removed(checkpoints, capsys):
    other = Checkpoints(checkpoints.root, "other")
    assert other.prepare() == 0
    assert other.steps() == []
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("keep", "kept"), [(1, [5]), (2, [4, 5]), (9, [1, 2, 3, 4, 5])])
def test_the_last_ones_are_kept(tmp_path, keep, kept):
    checkpoints = committed(tmp_path / "c", *range(1, 6), settings=CheckpointSettings(keep_last=keep))
    assert checkpoints.steps() == kept
    checkpoints.finish()
    assert not checkpoints.root.exists()


def test_the_best_one_is_kept_also_after_the_run(tmp_path):
    scores = {1: 0.1, 2: 0.7, 3: 0.2, 4: 0.7, 5: 0.3, 6: 0.4}
    settings = CheckpointSettings(keep_last=1, keep_best=1)
    for last, kept in ((3, [2, 3]), (6, [4, 6])):
        checkpoints = committed(tmp_path / str(last), *range(1, last + 1), settings=settings, scores=scores)
        assert checkpoints.steps() == kept
    assert checkpoints.account() == {
        "best": {"step": 4, "reward": 0.7, "checkpoint": "6/global_step_4"},
    }
    checkpoints.finish()
    assert [path.name for path in checkpoints.root.iterdir()] == ["global_step_4"]
    checkpoints.finish()
    assert verify(checkpoints.folder(4)).score == Score(metric="reward", value=0.7)


def test_the_score_is_the_mean_reward_of_the_last_steps():
    lines = [{"step": step, "critic/score/mean": step / 10} for step in range(1, 8)]
    assert score(lines, validated=False).value == pytest.approx(0.5)
    assert score(lines[:1], validated=False) == Score(metric="reward", value=0.1)
    assert score([{"step": 1}], validated=False) is None


def test_where_verl_validates_the_score_is_its_mean():
    validation = {
        "val-core/a/reward/mean@2": 0.5,
        "val-core/b/acc/mean@2": 1.0,
        "val-core/b/acc/best@2/mean": 9,
    }
    line = {"step": 4, "critic/score/mean": 0.1, "val-aux/a/reward/mean@1": 9}
    assert score([line | validation], validated=True) == Score(metric="validation", value=0.75)
    assert score([line], validated=True) is None


def lines(path, *steps):
    path.write_text("".join(json.dumps({"step": step}) + "\n" for step in steps))


def test_metrics_and_snapshots_are_cut_back_to_the_checkpoint(checkpoints, tmp_path):
    metrics, snapshots = tmp_path / "metrics.jsonl", Snapshots(tmp_path, 1, 9)
    lines(metrics, 1, 2, 3)
    for step in (1, 2, 3):
        (tmp_path / snapshots.folders[step]).mkdir(parents=True)
    flip(checkpoints.folder(2) / "data.pt")
    assert _start(checkpoints, metrics, snapshots) == 1
    assert metrics.read_text() == '{"step": 1}\n'
    assert [path.name for path in (tmp_path / "snapshots").iterdir()] == ["step-000001"]


@pytest.mark.parametrize(("left", "first"), [([1, 3], 1), ([2, 3], 0), ([], 0)])
def test_a_run_goes_back_to_where_its_metrics_are_whole(checkpoints, tmp_path, capsys, left, first):
    metrics = tmp_path / "metrics.jsonl"
    lines(metrics, *left)
    assert _start(checkpoints, metrics, Snapshots(tmp_path, None, 9)) == first
    assert "metrics.jsonl lacks some of the lines up to it" in capsys.readouterr().err
    assert checkpoints.steps() == [1][:first]


@pytest.mark.parametrize("damage", [zero, lambda path: path.write_bytes(path.read_bytes()[:13] + b"\xff\n")])
def test_a_run_goes_back_to_where_its_metrics_can_be_read(checkpoints, tmp_path, damage):
    metrics = tmp_path / "metrics.jsonl"
    lines(metrics, 1, 2)
    damage(metrics)
    whole = metrics.read_bytes().startswith(b"{")
    assert _start(checkpoints, metrics, Snapshots(tmp_path, None, 9)) == int(whole)
    assert metrics.read_text() == '{"step": 1}\n' * whole


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"checkpoints": {"keep_last": 0}}, r"bupo\.checkpoints\.keep_last = 0: input should be greater"),
        ({"checkpoints": {"keep": 1}}, r"keep is not a known key; known here are: keep_last, keep_best"),
        ({"time_limit_s": -5}, r"bupo\.time_limit_s = -5: input should be greater than 0"),
    ],
)
def test_wrong_settings_are_told(tmp_path, values, said):
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"bupo": values, "trainer": {}}))
    with pytest.raises(UserError, match=said):
        run(config, tmp_path / "run")


def test_what_is_kept_and_for_how_long_is_no_part_of_a_runs_identity():
    one, other = ({"bupo": {"seed": 1, "time_limit_s": limit}} for limit in (None, 60))
    assert config_sha256(one) == config_sha256(other)
    assert config_sha256(one) == config_sha256({"bupo": {"seed": 1, "checkpoints": {"keep_last": 9}}})
    assert config_sha256(one) != config_sha256({"bupo": {"seed": 2}})


def test_a_folder_that_holds_nothing_is_whole_too(tmp_path):
    seal(tmp_path, 1, "identity")
    assert verify(tmp_path).files == {}

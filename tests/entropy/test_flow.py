import json
import shutil

import pandas as pd
import pytest
from tiny_checkpoint import make_checkpoint

from bupo.entropy import drawing, flow, sums
from bupo.entropy.flow import analyse_flow, snapshots_of
from bupo.entropy.settings import Analysis
from bupo.entropy.shard import Shard, run_shard
from bupo.entropy.source import ModelSource
from bupo.errors import UserError

SETTINGS = Analysis(problems=4, batch_size=2, max_new_tokens=6, anchor_layers=[2])
BUPO = "bupo:\n  model: tiny\n  cell: bupo-k2-s1\n  seed: 3\n  layers: 4\n  layer: 2\n"


@pytest.fixture(scope="module")
def trained(checkpoint, tmp_path_factory):
    """A run with two snapshots, of other weights each."""
    run = tmp_path_factory.mktemp("run")
    make_checkpoint(run / "snapshots" / "step-000004", seed=1)
    shutil.copytree(checkpoint, run / "model")
    (run / "config.yaml").write_text(BUPO)
    (run / "done.json").write_text(
        json.dumps({"steps": 12, "snapshots": {"12": "model", "4": "snapshots/step-000004"}})
    )
    return run


def test_the_steps_of_a_run_and_of_a_base_model(trained, checkpoint, tmp_path):
    name, steps = snapshots_of(str(trained))
    assert name == "tiny/bupo-k2-s1/seed3" and list(steps) == [4, 12]
    assert steps[12] == ModelSource(f"{name} step 12", str(trained / "model"), layers=4)
    (tmp_path / "model.json").write_text(json.dumps({"name": "tiny", "path": str(checkpoint), "layers": 4}))
    for argument in (str(tmp_path), str(tmp_path / "model.json")):
        base = {0: ModelSource("tiny", str(checkpoint), layers=4)}
        assert snapshots_of(argument) == ("tiny/base/seed0", base)


def test_flow_of_a_run(trained, problems_file, tmp_path, monkeypatch, capsys):
    spec = tmp_path / "spec.yaml"
    spec.write_text("problems: 4\nbatch_size: 2\nmax_new_tokens: 6\n")
    arguments = ["--run", trained, "--problems", problems_file, "--spec", spec, "--out", tmp_path / "out"]
    cells = ["--cells", trained / "config.yaml"]
    monkeypatch.setattr("sys.argv", ["flow", *map(str, arguments), *map(str, cells)])
    flow.main()
    assert "tiny/bupo-k2-s1/seed3, 2 steps" in capsys.readouterr().out
    table = pd.read_parquet(tmp_path / "out" / "flow.parquet")
    assert list(table)[:4] == ["step", "run", "quantity", "policy"]
    assert set(table.run) == {"tiny/bupo-k2-s1/seed3"} and set(table.anchor.dropna()) == {2}
    for step in (4, 12):
        folder = tmp_path / "out" / f"step-{step:06d}"
        own = pd.read_parquet(folder / "statistics.parquet")
        mine = table[table.step == step].drop(columns=["step", "run"]).reset_index(drop=True)
        pd.testing.assert_frame_equal(mine, own)
        assert (folder / "responses.parquet").exists()
        assert not (Shard().folder(folder) / "sums.parquet").exists()
    changed = table[table.quantity == "nll"].groupby("step")["mean"].mean()
    assert changed[4] != changed[12]


def test_it_goes_on_after_the_last_whole_step(trained, problems_file, tmp_path, monkeypatch):
    name, steps = snapshots_of(str(trained))
    whole = analyse_flow(name, steps, [problems_file], SETTINGS, tmp_path / "whole")

    class Stopped(BaseException):
        pass

    calls = []

    def stopping(source, *arguments):
        calls.append(source.name)
        if len(calls) == 2:
            raise Stopped
        run_shard(source, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr("bupo.entropy.shard.run_shard", stopping)
        with pytest.raises(Stopped):
            analyse_flow(name, steps, [problems_file], SETTINGS, tmp_path / "out")
    assert not (tmp_path / "out" / "flow.parquet").exists()
    drawn = []
    with monkeypatch.context() as patched:
        decode = drawing.decode
        patched.setattr(drawing, "decode", lambda *a: drawn.append(1) or decode(*a))
        again = analyse_flow(name, steps, [problems_file], SETTINGS, tmp_path / "out")
    assert len(drawn) == 2  # the batches of the second step alone
    pd.testing.assert_frame_equal(again, whole)


def test_other_anchors_are_measured_over_the_same_responses(trained, problems_file, tmp_path, monkeypatch):
    name, steps = snapshots_of(str(trained))
    analyse_flow(name, steps, [problems_file], SETTINGS, tmp_path)
    monkeypatch.setattr(drawing, "decode", lambda *_: pytest.fail("responses were drawn again"))
    measured, response_sums = [], sums._response_sums
    monkeypatch.setattr(sums, "_response_sums", lambda *a: measured.append(1) or response_sums(*a))
    more = SETTINGS.model_copy(update={"anchor_layers": [1, 2]})
    table = analyse_flow(name, steps, [problems_file], more, tmp_path)
    assert set(table.anchor.dropna()) == {1, 2} and len(measured) == 8


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda run: (run / "done.json").unlink(), "done.json is missing; a run has it when"),
        (lambda run: (run / "done.json").write_text('{"steps": 12}'), "snapshots is missing"),
        (lambda run: (run / "model" / "config.json").unlink(), "model holds no model; .*done.json says"),
        (lambda run: (run / "config.yaml").write_text("bupo: {model: tiny}"), "bupo.cell is missing"),
    ],
)
def test_runs_that_are_not_whole_are_told(trained, tmp_path, change, words):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    change(run)
    with pytest.raises(UserError, match=words) as error:
        snapshots_of(str(run))
    assert "\n" not in str(error.value)

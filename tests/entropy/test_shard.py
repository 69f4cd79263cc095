"""Shards: the same results whatever their number, and whatever has stopped them."""

import json
import shutil

import pandas as pd
import pytest
from tiny_checkpoint import make_problems

from bupo.entropy import drawing, shard, sums
from bupo.entropy.results import merge
from bupo.entropy.settings import Analysis
from bupo.entropy.shard import Shard, run_shard
from bupo.entropy.source import ModelSource
from bupo.errors import UserError
from bupo.files import exclusive

SETTINGS = Analysis(problems=4, samples=2, batch_size=4, max_new_tokens=10, anchor_layers=[2])
RESULTS = ("responses.parquet", "statistics.parquet", "boundary.json")


@pytest.fixture(scope="module")
def source(checkpoint):
    return ModelSource("tiny", str(checkpoint), layers=4)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    return [make_problems(folder / "zeta.parquet"), make_problems(folder / "alpha.parquet", 5, first=12)]


def analysed(source, files, out, settings=SETTINGS, shards=1):
    for number in range(1, shards + 1):
        run_shard(source, files, settings, out, Shard(number, shards))
    merge(out, shards)
    return {name: (out / name).read_bytes() for name in RESULTS}


@pytest.fixture(scope="module")
def whole(source, files, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    return out, analysed(source, files, out)


@pytest.mark.parametrize("shards", [2, 3, 5])
def test_any_number_of_shards_makes_bitwise_the_same_files(source, files, tmp_path, whole, shards):
    """5 are more than there are parts: one has nothing to do."""
    assert analysed(source, files, tmp_path, shards=shards) == whole[1]
    folders = [Shard(number, shards).folder(tmp_path) for number in range(1, shards + 1)]
    counts = [len(pd.read_parquet(folder / "responses.parquet")) for folder in folders]
    assert sum(counts) == 16 and max(counts) - min(counts) <= 4 and counts.count(0) == (shards == 5)
    for folder in folders:
        names = sorted(path.name for path in folder.iterdir())
        assert names == [".lock", "responses.parquet", "sums.parquet"]


def test_the_files(whole):
    out, _ = whole
    table = pd.read_parquet(out / "statistics.parquet")
    assert list(table) == [
        *("quantity", "policy", "layer", "lens", "anchor", "slice"),
        *("mean", "low", "high", "n_tokens", "n_problems"),
    ]
    assert table.anchor.dtype == "Int64"
    assert not table.duplicated(["quantity", "policy", "layer", "lens", "anchor", "slice"]).any()
    assert set(table.quantity) == {
        *("entropy", "entropy_change", "kl_to_final", "top1_agreement", "cosine", "norm"),
        *("nll", "cosine_to_later", "kl_to_later"),
    }
    assert list(dict.fromkeys(table.slice)) == [
        *("all", "wrong", "text", "special", "position 1-8", "position 9-10", "set alpha", "set zeta")
    ]
    assert (table.low <= table["mean"]).all() and (table["mean"] <= table.high).all()
    counts = table.drop_duplicates("slice").set_index("slice")
    assert counts.n_problems[["all", "set alpha", "set zeta"]].tolist() == [8, 4, 4]
    assert counts.n_tokens["all"] == counts.n_tokens[["text", "special"]].sum()
    record = json.loads((out / "boundary.json").read_text())
    assert record["layers"] == 4 and record["problem_files"] == ["alpha.parquet", "zeta.parquet"]
    responses = pd.read_parquet(out / "responses.parquet")
    assert responses.n_tokens.sum() == counts.n_tokens["all"] == record["n_tokens"]
    assert list(zip(responses.set, responses.problem_id, responses["sample"], strict=True)) == sorted(
        zip(responses.set, responses.problem_id, responses["sample"], strict=True)
    )


class Stopped(BaseException):
    """What no handler catches, as a kill is what none could."""


def spied(monkeypatch, stop_after=None):
    """Count what is drawn and measured, and stop before the write after ``stop_after`` ones."""
    counts = {"batches": 0, "responses": 0, "writes": 0}

    def counted(module, name, key):
        function = getattr(module, name)

        def wrapper(*arguments, **options):
            if key == "writes" and counts[key] == stop_after:
                raise Stopped
            counts[key] += 1
            return function(*arguments, **options)

        monkeypatch.setattr(module, name, wrapper)

    counted(drawing, "decode", "batches")
    counted(sums, "_response_sums", "responses")
    for name in ("write_responses", "write_sums", "write_json"):
        counted(shard, name, "writes")
    return counts


def test_stopped_before_a_write_it_goes_on_from_there(source, files, tmp_path, whole, monkeypatch):
    with monkeypatch.context() as patched:
        once = spied(patched)
        analysed(source, files, tmp_path / "once")
    assert once == {"batches": 4, "responses": 16, "writes": 4 + 1 + 1 + 8 + 1}
    for writes in (0, 2, 4, 5, 6, 10, 14):
        with monkeypatch.context() as patched:
            before = spied(patched, stop_after=writes)
            with pytest.raises(Stopped):
                analysed(source, files, tmp_path / str(writes))
        with monkeypatch.context() as patched:
            after = spied(patched)
            assert analysed(source, files, tmp_path / str(writes)) == whole[1]
        assert before["batches"] + after["batches"] <= once["batches"] + 1
        assert before["responses"] + after["responses"] <= once["responses"] + 2
        assert before["writes"] + after["writes"] <= once["writes"] + 1


@pytest.mark.parametrize(
    ("change", "drawn_again", "measured_again"),
    [
        ({}, False, False),
        ({"tolerance": 0.2, "level": 0.5, "boundary_lens": "final_norm"}, False, False),
        ({"anchor_layers": [1]}, False, True),
        ({"position_edges": [4]}, False, True),
        ({"temperature": 1.5}, True, True),
        ({"problems": 3}, True, True),
        ({"grader": "string"}, True, True),
    ],
)
def test_changed_settings_keep_what_does_not_hang_on_them(
    source, files, tmp_path, monkeypatch, change, drawn_again, measured_again
):
    analysed(source, files, tmp_path / "out")
    changed = SETTINGS.model_copy(update=change)
    with monkeypatch.context() as patched:
        counts = spied(patched)
        found = analysed(source, files, tmp_path / "out", changed)
    assert (counts["batches"] > 0, counts["responses"] > 0) == (drawn_again, measured_again)
    assert found == analysed(source, files, tmp_path / "fresh", changed)


def test_parts_of_other_settings_are_never_mixed_in(source, files, tmp_path, monkeypatch, whole):
    """Stopped half-way, gone on with other settings, stopped again, and gone on with the first ones."""
    for settings, writes in ((SETTINGS, 9), (SETTINGS.model_copy(update={"seed": 5}), 9), (SETTINGS, 3)):
        with monkeypatch.context() as patched:
            spied(patched, stop_after=writes)
            with pytest.raises(Stopped):
                analysed(source, files, tmp_path, settings)
    assert analysed(source, files, tmp_path) == whole[1]


def test_another_model_is_analysed_anew(source, files, tmp_path, monkeypatch, whole):
    copy = tmp_path / "model"
    shutil.copytree(source.path, copy)
    again = ModelSource("tiny", str(copy), layers=4)
    assert analysed(again, files, tmp_path / "out") == whole[1]
    (copy / "model.json").write_text("{}")  # tells where a model is, and is none of it
    with monkeypatch.context() as patched:
        counts = spied(patched)
        analysed(again, files, tmp_path / "out")
        assert counts["writes"] == 0
        (copy / "chat_template.jinja").write_text("{{ bos_token }}{{ messages[0]['content'] }}")
        assert analysed(again, files, tmp_path / "out") != whole[1]
        assert counts["batches"] == 4


def test_two_processes_on_one_shard_are_told(source, files, tmp_path):
    folder = Shard().folder(tmp_path)
    with exclusive(folder / ".lock"), pytest.raises(UserError, match="another process is analysing here"):
        run_shard(source, files, SETTINGS, tmp_path, Shard())


def test_shards_that_do_not_fit_are_told(source, files, tmp_path):
    run_shard(source, files, SETTINGS, tmp_path, Shard(1, 2))
    with pytest.raises(UserError, match=r"shard-2-of-2/sums\.parquet is missing; .* --shard 2/2 makes it"):
        merge(tmp_path, 2)
    run_shard(source, files, SETTINGS.model_copy(update={"seed": 3}), tmp_path, Shard(2, 2))
    with pytest.raises(UserError, match=r"shard-2-of-2 and .*shard-1-of-2 are of different analyses"):
        merge(tmp_path, 2)


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "1/0", "a/b", "-1/2", "1/2/3"])
def test_shards_are_named_by_number_and_count(text):
    assert Shard.parse("2/4") == Shard(2, 4) and str(Shard(2, 4)) == "2/4"
    with pytest.raises(UserError, match="I/N with I from 1 to N"):
        Shard.parse(text)


def test_anchors_above_the_model_are_told_before_anything_is_drawn(source, files, tmp_path, monkeypatch):
    counts = spied(monkeypatch)
    settings = SETTINGS.model_copy(update={"anchor_layers": [2, 5]})
    with pytest.raises(UserError, match=r"anchor_layers .* holds 5, but tiny has layers 1 to 4"):
        run_shard(source, files, settings, tmp_path, Shard())
    assert counts["batches"] == 0

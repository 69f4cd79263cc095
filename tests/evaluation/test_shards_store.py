"""Stored samples: found in whatever file they lie, of one origin only, whole or absent."""

from dataclasses import replace
from pathlib import Path

import pytest

from bupo.errors import UserError
from bupo.evaluation.origin import Origin
from bupo.evaluation.partial import Partial, remove_partial
from bupo.evaluation.sampling import Sample
from bupo.evaluation.shards import Shard
from bupo.evaluation.store import Store, blocks, first_texts, keys_of, stored_origins, write_samples

MINE = Origin("mine" * 16, "tiny", "tiny/grpo/seed1", "weights")
OTHER = replace(MINE, identity="other" * 16, run="tiny/grpo/seed2")
SHARD = Shard(1, 2, 0, 3)


def made(problem: str, number: int, text: str = "") -> Sample:
    return Sample(problem, number, text or f"{problem} {number} \\boxed{{é}}", 3, "stop", "0f")


def samples(*keys: tuple[str, int]) -> list[Sample]:
    return [made(*key) for key in keys]


def test_samples_come_back_from_several_files_in_the_order_asked_for(tmp_path: Path):
    write_samples(SHARD.file(tmp_path), [samples(("p", 0), ("p", 1)), samples(("q", 0))], MINE)
    partial = Partial(tmp_path, Shard(2, 2, 0, 3), MINE)
    with partial.drawing():
        partial.add(samples(("r", 3), ("p", 2)))
    store = Store(tmp_path, MINE.identity)
    asked = [("p", 2), ("q", 0), ("p", 0), ("r", 3), ("p", 1)]
    assert store.read(asked) == samples(*asked)
    assert ("p", 1) in store and ("p", 3) not in store and ("x", 0) not in store
    with pytest.raises(KeyError):
        store.read([("p", 3)])


def test_a_sample_that_is_there_twice_counts_once(tmp_path: Path):
    write_samples(tmp_path / "shard-1-of-1-samples-0-1.parquet", [samples(("p", 0), ("p", 1))], MINE)
    write_samples(tmp_path / "shard-1-of-1-samples-0-0.parquet", [samples(("p", 0))], MINE)
    assert Store(tmp_path, MINE.identity).read([("p", 0), ("p", 1)]) == samples(("p", 0), ("p", 1))
    texts = first_texts(tmp_path, MINE.identity)
    assert texts is not None and texts.to_dict("list") == {
        "problem_id": ["p"],
        "sample": [0],
        "text": [made("p", 0).text],
    }


def test_samples_of_another_origin_are_not_taken(tmp_path: Path):
    write_samples(SHARD.file(tmp_path), [samples(("p", 0))], OTHER)
    assert ("p", 0) not in Store(tmp_path, MINE.identity)
    assert ("p", 0) in Store(tmp_path, OTHER.identity)
    assert first_texts(tmp_path, MINE.identity) is None
    assert stored_origins(tmp_path) == [OTHER]


def test_a_shard_without_problems(tmp_path: Path):
    write_samples(SHARD.file(tmp_path), [], MINE)
    assert keys_of(SHARD.file(tmp_path)) == set()
    assert stored_origins(tmp_path) == [MINE]


def test_a_damaged_file_is_named(tmp_path: Path):
    path = SHARD.file(tmp_path)
    write_samples(path, [samples(("p", 0))], MINE)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match=r"samples-0-3\.parquet cannot be read .* drawn again"):
        Store(tmp_path, MINE.identity)


def test_an_error_while_a_shard_is_drawn_loses_nothing(tmp_path: Path):
    with pytest.raises(ZeroDivisionError), Partial(tmp_path, SHARD, MINE).drawing():
        raise ZeroDivisionError
    partial = Partial(tmp_path, SHARD, MINE)
    for keys in ([("p", 0)], [("p", 1), ("p", 2)]):
        with pytest.raises(ZeroDivisionError), partial.drawing():
            partial.add(samples(*keys))
            raise ZeroDivisionError
    assert len(list(partial.folder.glob("piece-*.parquet"))) == 2
    assert Store(tmp_path, MINE.identity).read([("p", 2), ("p", 0)]) == samples(("p", 2), ("p", 0))


def test_long_texts_are_saved_sooner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bupo.evaluation.partial.SAVE_CHARACTERS", 100)
    partial = Partial(tmp_path, SHARD, MINE)
    with partial.drawing():
        partial.add([made("p", 0, "x" * 60)])
        assert not list(partial.folder.glob("piece-*"))
        partial.add([made("p", 1, "x" * 60)])
        assert len(list(partial.folder.glob("piece-*"))) == 1


def test_two_processes_do_not_draw_the_same_shard(tmp_path: Path):
    with Partial(tmp_path, SHARD, MINE).drawing():
        with (
            pytest.raises(UserError, match="another process is working in this folder"),
            Partial(tmp_path, SHARD, MINE).drawing(),
        ):
            raise AssertionError
        with Partial(tmp_path, Shard(2, 2, 0, 3), MINE).drawing():
            remove_partial(tmp_path, lambda piece: True)
        assert len(list(tmp_path.iterdir())) == 2
    remove_partial(tmp_path, lambda piece: True)
    assert list(tmp_path.iterdir()) == []


def test_a_partial_shard_goes_with_all_of_its_pieces_or_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("bupo.evaluation.partial.SAVE_EVERY_S", 0.0)
    partial = Partial(tmp_path, SHARD, MINE)
    with partial.drawing():
        partial.add(samples(("p", 0)))
        partial.add(samples(("p", 1)))
    remove_partial(tmp_path, lambda piece: keys_of(piece) <= {("p", 0)})
    assert len(list(partial.folder.glob("piece-*"))) == 2
    remove_partial(tmp_path, lambda piece: keys_of(piece) <= {("p", 0), ("p", 1)})
    assert not partial.folder.exists()


def test_blocks_hold_whole_problems(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bupo.evaluation.store.BLOCK", 10)
    assert list(blocks("abcde", 4)) == ["ab", "cd", "e"]
    assert list(blocks("abc", 100)) == ["a", "b", "c"]
    assert list(blocks("", 3)) == []

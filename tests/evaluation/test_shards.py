"""How an evaluation is cut: every sample of every problem in one shard, whatever the numbers."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bupo.errors import UserError
from bupo.evaluation.config import EvaluationSettings, Shards, read_decoding
from bupo.evaluation.shards import Shard, cut


def settings(n: int, **shards) -> EvaluationSettings:
    return EvaluationSettings(samples=n, max_new_tokens=8, shards=Shards(**shards))


@given(
    st.integers(1, 40),
    st.integers(0, 50),
    st.integers(1, 12),
    st.none() | st.integers(1, 50),
    st.integers(1, 9),
)
def test_a_cut_has_every_sample_once_and_its_parts_in_a_row(samples, problems, parts, size, more):
    shards = cut(settings(samples, problems=parts, samples=size))
    held = Counter((p, s) for shard in shards for p in shard.problems(problems) for s in shard.numbers)
    assert held == Counter((p, s) for p in range(problems) for s in range(samples))
    assert len({shard.name for shard in shards}) == len(shards)
    for first in {shard.first for shard in shards}:
        rows = [place for s in shards if s.first == first for place in s.problems(problems)]
        assert rows == list(range(problems))
    if size is not None:  # whole ranges are the same for more samples
        longer = cut(settings(size * more + samples, problems=parts, samples=size))
        assert {shard for shard in shards if len(shard.numbers) == size} <= set(longer)


def test_names_say_what_is_inside():
    shards = cut(settings(5, problems=2, samples=4))
    assert [str(shard.file(Path("f"))) for shard in shards] == [
        "f/shard-1-of-2-samples-0-3.parquet",
        "f/shard-2-of-2-samples-0-3.parquet",
        "f/shard-1-of-2-samples-4-4.parquet",
        "f/shard-2-of-2-samples-4-4.parquet",
    ]
    assert [shard.name for shard in cut(settings(5))] == ["1-of-1-samples-0-4"]
    assert Shard.parse("2/3", "4-7") == Shard(2, 3, 4, 7)


@pytest.mark.parametrize("part", ["0/2", "3/2", "1", "1/0", "1/2/3", "-1/2", "a/b"])
def test_a_part_that_there_is_not(part: str):
    with pytest.raises(UserError, match=r"--shard .*I/N with I from 1 to N"):
        Shard.parse(part, "0-3")


@pytest.mark.parametrize("samples", ["3-2", "3", "-3", "0-", "0-1-2", "a-b"])
def test_samples_that_there_are_not(samples: str):
    with pytest.raises(UserError, match=r"--samples .*A-B would be right"):
        Shard.parse("1/1", samples)


def test_how_samples_are_drawn_is_read_from_either_spec(tmp_path: Path):
    path = tmp_path / "spec.yaml"
    path.write_text("{max_new_tokens: 8, temperature: 0.5}")
    assert read_decoding(path).temperature == 0.5
    path.write_text("{max_new_tokens: 8, temperature: 0.5, samples: 3, grader: string}")
    assert read_decoding(path).temperature == 0.5
    path.write_text("{max_new_tokens: 8, grader: string}")
    with pytest.raises(UserError, match="grader is not a known key"):
        read_decoding(path)

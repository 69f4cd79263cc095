import pytest
from tiny_checkpoint import make_checkpoint

from bupo.entropy import drawing
from bupo.entropy.drawing import draw_responses
from bupo.entropy.problems import drawn_problems
from bupo.entropy.responses import parts_of
from bupo.entropy.settings import Analysis
from bupo.entropy.source import LoadedModel, ModelSource
from bupo.errors import UserError
from bupo.sampling import Completion


@pytest.fixture(scope="module")
def loaded(checkpoint):
    return LoadedModel(ModelSource("tiny", str(checkpoint)), "float32")


@pytest.fixture
def problems(problems_file):
    return drawn_problems([problems_file], None, seed=1)


def drawn(loaded, parts, folder, **settings):
    settings = Analysis(**{"max_new_tokens": 24, "batch_size": 4, **settings})
    return dict(draw_responses(loaded, parts, settings, folder))


def test_whole_parts_are_bitwise_the_same_whoever_draws_them(loaded, problems, tmp_path):
    parts = dict(enumerate(parts_of(problems, Analysis(batch_size=4))))
    whole = drawn(loaded, parts, tmp_path)
    assert list(whole) == [0, 1, 2]
    for number, part in parts.items():
        assert drawn(loaded, {number: part}, tmp_path) == {number: whole[number]}


def test_responses_come_in_the_order_of_problems_and_samples(loaded, problems, tmp_path):
    ids = [problem.id for problem in problems]
    for batch_size in (1, 7, 99):
        found = drawn(loaded, {3: problems}, tmp_path, samples=2, batch_size=batch_size)[3]
        assert [(r.problem_id, r.sample) for r in found] == [(id, s) for id in ids for s in (0, 1)]


def test_ends_are_known_by_token_ids(loaded, problems, tmp_path):
    found = drawn(loaded, {0: problems}, tmp_path, samples=4, max_new_tokens=30)[0]
    assert {r.finished for r in found} == {True, False}
    for r in found:
        assert r.response_ids.count(2) == (1 if r.finished else 0)
        assert r.n_tokens == len(r.response_ids) <= 30
        assert r.response_ids[-1] == 2 if r.finished else r.n_tokens == 30


def test_what_the_model_ships_with_is_left_out(loaded, problems, tmp_path):
    model = loaded.model
    assert model.generation_config.repetition_penalty == 3.0
    shipped = drawn(loaded, {0: problems}, tmp_path)
    before = model.generation_config
    model.generation_config = type(before)(eos_token_id=2, pad_token_id=0)
    plain = drawn(loaded, {0: problems}, tmp_path)
    model.generation_config = before
    assert shipped == plain


def test_a_model_that_ends_at_once_says_its_end_token(tmp_path, problems):
    loaded = LoadedModel(ModelSource("ends", str(make_checkpoint(tmp_path / "ends"))), "float32")
    loaded.model.generation_config.eos_token_id = list(range(300))
    (part,) = drawn(loaded, {0: problems}, tmp_path).values()
    assert all(response.n_tokens == 1 and response.finished for response in part)


def test_too_little_room_is_told_before_anything_is_drawn(loaded, problems, tmp_path, monkeypatch):
    monkeypatch.setattr(drawing, "decode", lambda *_: pytest.fail("something was drawn"))
    with pytest.raises(UserError, match="max_new_tokens is 250, but the longest prompt has 21 tokens"):
        drawn(
            loaded, dict(enumerate(parts_of(problems, Analysis(batch_size=4)))), tmp_path, max_new_tokens=250
        )


def test_progress_goes_on_from_what_was_there(loaded, problems, tmp_path, capsys):
    settings = Analysis(max_new_tokens=4, samples=2)
    assert list(draw_responses(loaded, {1: problems[4:]}, settings, tmp_path, done=8))
    assert capsys.readouterr().err.startswith("[entropy] 24/24 responses, ")


def test_vllm_is_asked_once_and_its_responses_are_sorted(loaded, problems, tmp_path, monkeypatch):
    asked = []

    def fake(path, revision, requests, settings, engine, folder, *, on_finished):
        asked.append((path, revision, engine, folder, settings.max_new_tokens, settings.end_token_ids))
        order = sorted(range(len(requests)), key=lambda place: requests[place].key)  # any order
        for start in range(0, len(order), 5):
            places = order[start : start + 5]
            on_finished(start + len(places))
            yield [(place, Completion([6 + place, 2], "stop", [0.0, 0.0], None)) for place in places]

    monkeypatch.setattr(drawing, "sample_vllm", fake)
    parts = dict(enumerate(parts_of(problems, Analysis(batch_size=4))))
    vllm = {"max_num_seqs": 3}
    found = drawn(loaded, parts, tmp_path / "vllm", backend="vllm", vllm=vllm, samples=1, dtype="bfloat16")
    engine = {"dtype": "bfloat16", "max_num_seqs": 3}
    assert asked == [(loaded.source.path, None, engine, tmp_path / "vllm", 24, frozenset({2}))]
    assert sorted(found) == [0, 1, 2]
    in_order = [response for number in sorted(found) for response in found[number]]
    assert [response.problem_id for response in in_order] == [problem.id for problem in problems]
    assert [response.response_ids[0] for response in in_order] == [6 + place for place in range(12)]

import pytest
from tiny_checkpoint import make_tokenizer, response_of

from bupo.entropy.problems import Problem, drawn_problems, read_problems
from bupo.entropy.responses import parts_of, questions_of
from bupo.entropy.settings import Analysis
from bupo.errors import UserError
from bupo.grading import Grader
from bupo.sampling import Completion


def test_positions_start_with_the_one_that_predicts_the_first_token():
    assert list(range(6))[response_of("p", length=3, prompt=3).positions] == [2, 3, 4]


def test_a_response_of_the_end_token_alone_has_one_position():
    assert list(range(4))[response_of("p", length=1, prompt=3).positions] == [2]


def test_an_empty_response_is_refused():
    with pytest.raises(UserError, match="problem p, sample 1: the response is empty"):
        _ = response_of("p", length=0, sample=1).positions


def test_keys_hang_on_seed_problem_and_sample_alone(problems_file):
    problems, tokenizer = read_problems(problems_file), make_tokenizer()

    def keys(problems, **settings):
        asked = questions_of(tokenizer, problems, Analysis(**settings))
        return {(each.problem.id, each.sample): each.request.key for each in asked}

    whole = keys(problems, samples=3)
    assert len(set(whole.values())) == len(whole) == 36
    few = keys(problems[4:6], samples=2, batch_size=1, temperature=0.5)
    assert few == {key: whole[key] for key in few}
    assert not set(keys(problems, samples=3, seed=2).values()) & set(whole.values())


@pytest.mark.parametrize(
    ("batch_size", "samples", "sizes"),
    [(5, 1, [5, 5, 2]), (12, 1, [12]), (99, 1, [12]), (5, 2, [2] * 6), (2, 3, [1] * 12)],
)
def test_parts_are_consecutive_whole_problems(problems_file, batch_size, samples, sizes):
    problems = drawn_problems([problems_file], None, seed=1)
    parts = parts_of(problems, Analysis(batch_size=batch_size, samples=samples))
    assert [len(part) for part in parts] == sizes
    assert [problem for part in parts for problem in part] == problems


def answered(gold, text, reason="stop"):
    tokenizer = make_tokenizer()
    problem = Problem("p", [{"role": "user", "content": "1+1?"}], gold, "sums")
    ids = [*tokenizer(text, add_special_tokens=False)["input_ids"], *([2] if reason == "stop" else [])]
    (asked,) = questions_of(tokenizer, [problem], Analysis())
    with Grader("string") as grader:
        return asked.answered(Completion(ids, reason, [0.0] * len(ids), None), tokenizer, grader)


def test_answers_are_graded_and_keep_their_tokens():
    found = answered("2", r"so \boxed{2}")
    assert (found.correct, found.status, found.finished, found.response) == (
        True,
        "correct",
        True,
        r"so \boxed{2}",
    )
    assert found.response_ids[-1] == 2 and found.n_tokens == len(found.response_ids) == 13
    assert answered("3", r"so \boxed{2}").correct is False
    cut = answered("2", "so", "length")
    assert (cut.finished, cut.correct, cut.status) == (False, False, "no_box")
    unknown = answered(None, r"so \boxed{2}")
    assert unknown.correct is None and unknown.status is None

import json

import pandas as pd
import pytest
from tiny_checkpoint import make_problems, make_tokenizer

from bupo.data.prompts import PROMPTS
from bupo.entropy.problems import Problem, draw, drawn_problems, read_problems, render
from bupo.errors import UserError


def test_verl_schema(problems_file):
    problems = read_problems(problems_file)
    assert len(problems) == 12
    assert problems[3] == Problem("sums-003", [{"role": "user", "content": "assistant: 3+6?"}], "9")


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_plain_columns(tmp_path, kind):
    frame = pd.DataFrame({"problem": ["1+1?", "2+2?"], "answer": ["2", "4"]})
    path = tmp_path / f"plain.{kind}"
    if kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in frame.to_dict("records")))
    else:
        frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path)
    first, second = read_problems(path)
    assert first.messages == [{"role": "user", "content": "1+1?"}] and first.gold == "2"
    assert first.id != second.id
    frame[::-1].to_parquet(tmp_path / "turned.parquet")
    assert [p.id for p in read_problems(tmp_path / "turned.parquet")] == [second.id, first.id]


def test_no_answer_is_known_as_such(tmp_path):
    pd.DataFrame({"problem": ["1+1?", "2+2?"], "answer": [None, ""]}).to_parquet(tmp_path / "p.parquet")
    assert [p.gold for p in read_problems(tmp_path / "p.parquet")] == [None, None]


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (pd.DataFrame({"question": ["1"]}), "neither a column prompt"),
        (pd.DataFrame({"problem": []}), "holds no problem"),
        (pd.DataFrame({"problem": ["1", "1"]}), "there twice"),
        (pd.DataFrame({"problem": ["1", "2"], "id": ["a", "a"]}), "the problem a is there twice"),
    ],
)
def test_refusals(tmp_path, frame, words):
    frame.to_parquet(tmp_path / "p.parquet")
    with pytest.raises(UserError, match=words):
        read_problems(tmp_path / "p.parquet")


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_problems(tmp_path / "p.parquet")
    (tmp_path / "p.parquet").write_text("1+1?")
    with pytest.raises(UserError, match=r"p\.parquet: this cannot be read as \.parquet") as error:
        read_problems(tmp_path / "p.parquet")
    assert "\n" not in str(error.value)
    pd.DataFrame({"prompt": [["1+1?"]]}).to_parquet(tmp_path / "q.parquet")
    with pytest.raises(UserError, match="prompt should be a text, or messages with role and content"):
        read_problems(tmp_path / "q.parquet")
    (tmp_path / "p.txt").write_text("1+1?")
    with pytest.raises(UserError, match=r"not '\.txt'"):
        read_problems(tmp_path / "p.txt")


def test_the_draw_does_not_hang_on_the_order(problems_file):
    problems = read_problems(problems_file)
    kept = draw(problems, 5, seed=1)
    assert draw(problems[::-1], 5, seed=1) == kept == sorted(kept, key=lambda p: p.id)
    assert draw(problems, 5, seed=2) != kept
    assert len(draw(problems, None, seed=1)) == len(draw(problems, 99, seed=1)) == 12
    assert {p.id for p in draw(problems, 3, seed=1)} < {p.id for p in kept}


def test_several_sets_are_drawn_one_by_one_and_sorted(tmp_path):
    first = make_problems(tmp_path / "zeta.parquet", count=4)
    second = make_problems(tmp_path / "alpha.parquet", count=9, first=4)
    found = drawn_problems([first, second], 5, seed=1)
    assert [p.set for p in found] == ["alpha"] * 5 + ["zeta"] * 4
    assert found == drawn_problems([second, first], 5, seed=1)
    assert [p.id for p in found[:5]] == [p.id for p in draw(read_problems(second), 5, seed=1)]


def test_sets_that_cannot_be_told_apart_are_refused(tmp_path):
    (tmp_path / "a").mkdir()
    first = make_problems(tmp_path / "sums.parquet")
    with pytest.raises(UserError, match="another problem file is called sums too"):
        drawn_problems([first, make_problems(tmp_path / "a" / "sums.parquet", first=20)], None, seed=1)
    with pytest.raises(UserError, match=r"the problem sums-011 is in .*sums\.parquet too"):
        drawn_problems([first, make_problems(tmp_path / "more.parquet", first=11)], None, seed=1)


def test_one_bos_and_the_template_as_it_is(problems_file):
    tokenizer = make_tokenizer()
    assert tokenizer("1")["input_ids"][0] == tokenizer.bos_token_id  # this tokenizer adds one by itself
    ids = render(tokenizer, read_problems(problems_file)[0], {"enable_thinking": False})
    assert ids.count(tokenizer.bos_token_id) == 1
    assert tokenizer.decode(ids) == "<s><|user|>assistant: 0+3?\n<|assistant|>"


def test_settings_reach_the_template(problems_file):
    tokenizer = make_tokenizer("{% if enable_thinking %}T{% endif %}{{ messages[0]['content'] }}")
    problem = read_problems(problems_file)[0]
    assert tokenizer.decode(render(tokenizer, problem, {"enable_thinking": True}))[0] == "T"
    assert tokenizer.decode(render(tokenizer, problem, {"enable_thinking": False}))[0] == "a"


def test_without_a_template_the_text_goes_in_with_one_bos(problems_file):
    tokenizer = make_tokenizer(template=None)
    ids = render(tokenizer, read_problems(problems_file)[0], {})
    assert tokenizer.decode(ids) == "<s>assistant: 0+3?"


def test_the_octothinker_template_has_one_bos_and_the_word_assistant():
    """A base model has no template of its own: the prompt's is used, as in training and evaluation."""
    tokenizer, prompt = make_tokenizer(template=None), PROMPTS["octothinker"]
    problem = Problem("x", prompt.messages("Is the assistant right that 1+1=2?"), "2")
    ids = render(tokenizer, problem, prompt.template_arguments())
    assert ids == prompt.encode(tokenizer, "Is the assistant right that 1+1=2?")
    assert ids[0] == tokenizer.bos_token_id and ids.count(tokenizer.bos_token_id) == 1
    assert tokenizer.decode(ids).endswith("the assistant right that 1+1=2?\nAssistant:")


def test_a_template_that_refuses_the_messages_is_told():
    tokenizer = make_tokenizer("{{ raise_exception('no system role') }}")
    with pytest.raises(UserError, match="problem x: the chat template refuses it: no system role"):
        render(tokenizer, Problem("x", [{"role": "system", "content": "s"}], None), {})


def test_an_empty_prompt_is_refused():
    tokenizer = make_tokenizer("{{ messages[0]['content'] }}")
    with pytest.raises(UserError, match="problem x: its prompt has no token"):
        render(tokenizer, Problem("x", [{"role": "user", "content": ""}], None), {})

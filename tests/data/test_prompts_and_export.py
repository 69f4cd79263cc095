"""Prompts as the paper has them; verl's parquet without leaks; no second BOS; the length filter."""

import json

import pyarrow.parquet
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from bupo.data.export import account, leaked_ids, usable, within_length, write_verl
from bupo.data.normal import Problem, problem_id
from bupo.data.prompts import PROMPTS
from bupo.errors import UserError

PROBLEM = r"What is $\frac{4}{2}$? A user asks {problem}."
QWEN_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)


@pytest.fixture
def tokenizer():
    """A word tokenizer that, like Llama's, puts a BOS in front unless it is told not to."""
    words = ["<s>", "<unk>", "User", "Assistant", "problem", *"0123456789"]
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", unk_token="<unk>")


def make(text, answer="2", gold="integer", name="set"):
    return Problem(problem_id(name, text), text, answer, "algebra", "3", "", name, gold, "f", 0, "0" * 32)


def test_qwen_has_the_papers_system_prompt_and_no_thinking(tokenizer):
    tokenizer.chat_template = QWEN_TEMPLATE
    prompt = PROMPTS["qwen"]
    system, user = prompt.messages(PROBLEM)
    assert system == {
        "role": "system",
        "content": r"Please reason step by step, and put your final answer within \boxed{}.",
    }
    assert user == {"role": "user", "content": PROBLEM}
    assert prompt.render(tokenizer, PROBLEM).endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")


def test_octothinker_is_a_conversation_text(tokenizer):
    (message,) = PROMPTS["octothinker"].messages(PROBLEM)
    assert message["content"].startswith("A conversation between User and Assistant. The user asks")
    assert message["content"].endswith(
        r"User: You must put your answer inside \boxed{} and Your final answer will be extracted automatically by "
        f"the \\boxed{{}} tag.\n{PROBLEM}\nAssistant:"
    )
    assert PROMPTS["octothinker"].render(tokenizer, PROBLEM) == "<s>" + message["content"]


def test_plain_is_the_problem():
    assert PROMPTS["plain"].messages(PROBLEM) == [{"role": "user", "content": PROBLEM}]


def test_one_bos_and_not_two(tokenizer):
    text = PROMPTS["octothinker"].render(tokenizer, PROBLEM)
    assert tokenizer(text)["input_ids"][:2] == [0, 0]  # what would happen
    ids = PROMPTS["octothinker"].encode(tokenizer, PROBLEM)
    assert ids[0] == 0
    assert ids.count(0) == 1


def test_a_tokenizer_without_bos(tokenizer):
    tokenizer.bos_token = None
    assert PROMPTS["octothinker"].render(tokenizer, "x").startswith("A conversation")


def test_verl_schema(tmp_path):
    problems = [make("one"), make("two", r"\frac{1}{2}", "read")]
    write_verl(problems, PROMPTS["qwen"], "train", tmp_path / "set.parquet")
    rows = pyarrow.parquet.read_table(tmp_path / "set.parquet").to_pylist()
    assert rows[1] == {
        "data_source": "set",
        "prompt": PROMPTS["qwen"].messages("two"),
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": r"\frac{1}{2}"},
        "extra_info": {
            "index": 1,
            "split": "train",
            "id": problems[1].id,
            "problem": "two",
            "answer": r"\frac{1}{2}",
            "subject": "algebra",
            "level": "3",
        },
    }


def test_leaks_and_unreadable_answers_are_left_out(tmp_path):
    problems = [make("leak"), make("unreadable", "???", "unreadable"), make("fine"), make("spare leak")]
    leaks = [
        {"train_id": problems[0].id, "benchmark_id": "b-1", "removed": True},
        {"train_id": problems[3].id, "benchmark_id": "s-1", "removed": False},
    ]
    (tmp_path / "c.json").write_text(json.dumps({"leaks": leaks}))
    leaked = leaked_ids(tmp_path / "c.json")
    kept, left = usable(problems, leaked, keep_unreadable=False)
    assert [p.problem for p in kept] == ["fine", "spare leak"]
    summary = account(problems, kept, left, "plain")
    assert summary["rows"] == summary["kept"] + len(summary["left_out"])
    assert summary["reasons"] == {"leak": 1, "gold answer that the grader cannot read": 1}
    assert len(usable(problems, leaked, keep_unreadable=True)[0]) == 3


def test_length_filter_counts_the_whole_prompt(tokenizer):
    tokenizer.chat_template = "{% for m in messages %}User {{ m.content }}{% endfor %} Assistant"
    problems = [make("1 2 3"), make("1 2 3 4")]
    kept, left = within_length(problems, PROMPTS["plain"], tokenizer, max_tokens=5)
    assert [p.problem for p in kept] == ["1 2 3"]
    assert left == [{"id": problems[1].id, "reason": "prompt longer than 5 tokens"}]


def test_nothing_left_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no problem is left"):
        write_verl([], PROMPTS["plain"], "train", tmp_path / "x.parquet")
    assert not list(tmp_path.iterdir())

"""The built models' tokenizer."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from bupo.data.arithmetic import problems
from bupo.data.prompts import BOXED, PROMPTS
from bupo.files import sha256_text

HASH = (
    "from bupo.models.tokenizer import *; from bupo.files import sha256_text;"
    "print(sha256_text(build_tokenizer(TokenizerConfig(problems=500)).backend_tokenizer.to_str()))"
)


@settings(max_examples=100, deadline=None)
@given(text=st.text())
def test_any_text_comes_back(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize(
    "text", ["\\frac{1}{2} \\boxed {x}", " 12,  345 \n\n", "数学 é 🙂", "a\u0000b", "<|im_end|>"]
)
def test_awkward_text_comes_back(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_another_process_makes_the_same_tokenizer(tokenizer):
    made = subprocess.run([sys.executable, "-c", HASH], capture_output=True, text=True, check=True).stdout
    assert made.strip() == sha256_text(tokenizer.backend_tokenizer.to_str())


def test_digits_and_words_are_single_tokens(tokenizer):
    pieces = tokenizer.convert_ids_to_tokens(tokenizer.encode("12+70=82. \\boxed{82}"))
    assert [piece for piece in pieces if any(c.isdigit() for c in piece)] == list("12708282")
    assert "Ġ\\boxed{" in pieces
    for problem in problems("heldout", 50, "mixed", seed=2):
        words = sum(len(sentence.split()) for sentence in problem.problem.split("."))
        assert len(tokenizer.encode(problem.problem)) <= 2 * words
    assert len(tokenizer) <= 600


def test_chat_template_is_qwens(tokenizer):
    messages = PROMPTS["qwen"].messages("1+1?")
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == (
        f"<|im_start|>system\n{BOXED}<|im_end|>\n<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert text == PROMPTS["qwen"].render(tokenizer, "1+1?")
    plain = tokenizer.apply_chat_template(messages[1:], tokenize=True, return_dict=False)
    turn = [tokenizer.convert_tokens_to_ids(t) for t in ("<|im_start|>", "<|im_end|>")]
    assert plain[0] == turn[0], "no token stands before the first turn"
    assert plain[-2] == turn[1] == tokenizer.eos_token_id


def test_saved_tokenizer_is_the_same(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    text = PROMPTS["plain"].render(again, "Tom has 3 apples. é")
    assert text == PROMPTS["plain"].render(tokenizer, "Tom has 3 apples. é")
    assert again(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert (again.pad_token, again.eos_token, again.bos_token) == ("<|endoftext|>", "<|im_end|>", None)
    assert again.padding_side == "left"

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_checkpoint import make_tokenizer

from bupo.entropy.kinds import KINDS, TokenKinds

TOKENIZER = make_tokenizer(thinks=True)
OPEN, CLOSE = (TOKENIZER.convert_tokens_to_ids(token) for token in ("<think>", "</think>"))
A, B, TURN = (TOKENIZER.convert_tokens_to_ids(token) for token in "abz")
END, USER = 2, 4
KINDS_OF = TokenKinds(TOKENIZER, {END, TURN})  # TURN ends a response, though the tokenizer does not mark it


def spelled(prompt, response, kinds=KINDS_OF):
    """One letter a token: x text, h thinking, s special."""
    letters = {"text": "x", "thinking": "h", "special": "s"}
    found = kinds.of(prompt, response)
    assert list(found) == list(KINDS)
    return "".join(letters[kind] for i in range(len(response)) for kind in KINDS if found[kind][i])


@pytest.mark.parametrize(
    ("prompt", "response", "expected"),
    [
        ([A], [A, B, END], "xxs"),
        ([A], [OPEN, A, B, CLOSE, A, END], "shhsxs"),
        ([A, OPEN], [A, CLOSE, B], "hsx"),
        ([A, OPEN, B, CLOSE], [A, B], "xx"),
        ([A, OPEN, B], [A, B], "hh"),
        ([A], [OPEN, A, USER, B], "shsh"),
        ([A], [OPEN, A, OPEN, B, CLOSE, A], "shshsx"),
        ([A], [A, CLOSE, B], "xsx"),
        ([OPEN], [CLOSE], "s"),
        ([A], [END], "s"),
        ([A], [A, TURN], "xs"),
        ([A], [], ""),
    ],
)
def test_kinds_are_told_by_token_ids(prompt, response, expected):
    assert spelled(prompt, response) == expected


def test_a_model_without_think_tokens_has_no_thinking():
    tokenizer = make_tokenizer()
    ids = tokenizer("<think>a</think>b", add_special_tokens=False)["input_ids"]
    assert spelled([A], ids, TokenKinds(tokenizer, {END})) == "x" * len(ids)


def test_the_word_in_the_text_is_no_token():
    ids = [TOKENIZER.convert_tokens_to_ids(letter) for letter in "<think>"]
    assert spelled([A], ids) == "x" * 7


tokens = st.lists(st.sampled_from([A, B, OPEN, CLOSE, END, TURN, USER]), max_size=30)


@given(tokens, tokens)
def test_each_token_is_of_exactly_one_kind(prompt, response):
    found = KINDS_OF.of(prompt, response)
    assert (np.sum(list(found.values()), axis=0) == 1).all()
    assert len(spelled(prompt, response)) == len(response)


@given(tokens, tokens)
def test_only_the_state_of_the_block_comes_from_the_prompt(prompt, response):
    marks = [token for token in prompt if token in (OPEN, CLOSE)]
    assert spelled(prompt, response) == spelled(marks[-1:], response)

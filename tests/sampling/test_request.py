"""Keys, and requests that are refused."""

import hashlib

import pytest

from bupo.errors import UserError
from bupo.sampling import Request, SamplingSettings, key_of
from bupo.sampling.request import check_room


def test_a_key_is_128_bits_of_the_hash_of_its_parts():
    digest = hashlib.sha256(b"1/train/4/sums/sums-3/0").hexdigest()
    assert key_of(1, "train", 4, "sums/sums-3", 0) == int(digest[:32], 16)
    keys = {key_of(s, p, i) for s in range(3) for p in ("a", "b/c", "b") for i in range(100)}
    assert len(keys) == 900 and all(0 <= key < 2**128 for key in keys)


def test_a_prompt_without_tokens_is_refused():
    with pytest.raises(UserError, match="a prompt has no tokens"):
        Request((), 1)


def test_what_does_not_fit_the_model_is_refused():
    requests = [Request((1,) * 4, 0), Request((1,) * 10, 1)]
    settings = SamplingSettings(max_new_tokens=20, end_token_ids=frozenset([2]))
    check_room(requests, settings, 30)
    check_room(requests, settings, None)
    with pytest.raises(UserError, match="longest prompt has 10 tokens and the model holds 29; at most 19"):
        check_room(requests, settings, 29)

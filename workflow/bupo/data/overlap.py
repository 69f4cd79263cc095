"""Overlap of texts in word 8-grams, for tens of thousands of texts at once."""

import re
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from bupo.data.keys import letters_key, without_pictures

NGRAM = 8
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
NOISE = re.compile(r"\\(?:left|right|displaystyle|[dt](?=frac|binom)|text|mathrm|mbox|[()\[\]!,;:])")
TOKEN = re.compile(r"[a-z]+|\d+")


@dataclass(frozen=True)
class Candidate:
    """Two texts that overlap.

    Attributes:
        left, right: their positions.
        score: Jaccard index of their sets of 8-grams.
        contained: share of the smaller set that is in the larger one.
        exact: whether their letters and digits are the same (score and contained are 1 then).
    """

    left: int
    right: int
    score: float
    contained: float
    exact: bool


def tokens(text: str) -> list[str]:
    """Words and numbers of a text in lower case, without drawings and LaTeX's spacing and font commands."""
    return TOKEN.findall(NOISE.sub(" ", without_pictures(text)).lower())


@dataclass(frozen=True)
class Grams:
    """The sets of 8-grams of many texts, flat.

    Attributes:
        hashes, owners: (n_grams,): gram ``hashes[i]`` is in text ``owners[i]``.
        sizes: (n_texts,): number of grams of each text.
    """

    hashes: np.ndarray
    owners: np.ndarray
    sizes: np.ndarray


def grams_of(texts: list[str], vocabulary: dict[str, int]) -> Grams:
    """8-grams as 64-bit hashes, sorted by text and hash. A text of fewer words is one gram of all of them.

    Args:
        texts: problems.
        vocabulary: number of each word, from 1; new words are added.
    """
    ids: list[int] = []
    lengths = []
    for text in texts:
        found = [vocabulary.setdefault(token, len(vocabulary) + 1) for token in tokens(text)]
        found += [0] * (NGRAM - len(found))
        ids += found
        lengths.append(len(found))
    flat = np.array(ids, np.uint64)
    windows = np.array(lengths, np.int64) - NGRAM + 1
    owners = np.repeat(np.arange(len(texts)), windows)
    first = np.cumsum(windows) - windows
    starts = np.arange(len(owners)) - first[owners] + (np.cumsum(lengths) - lengths)[owners]
    hashes = np.zeros(len(owners), np.uint64)
    for offset in range(NGRAM):
        hashes = (hashes ^ flat[starts + offset]) * MULTIPLIER
        hashes ^= hashes >> np.uint64(29)
    order = np.lexsort((hashes, owners))
    hashes, owners = hashes[order], owners[order]
    fresh = np.ones(len(hashes), bool)
    fresh[1:] = (hashes[1:] != hashes[:-1]) | (owners[1:] != owners[:-1])
    hashes, owners = hashes[fresh], owners[fresh]
    return Grams(hashes, owners, np.bincount(owners, minlength=len(texts)))


def candidates(left: list[str], right: list[str], least: float, contained: float) -> list[Candidate]:
    """Pairs with the same letters and digits, enough Jaccard, or enough of the smaller set in the larger one.

    In the order of ``left``, then of ``right``.
    """
    if not left or not right:
        return []
    vocabulary: dict[str, int] = {}
    ours, theirs = grams_of(left, vocabulary), grams_of(right, vocabulary)
    postings: dict[int, list[int]] = defaultdict(list)
    for gram, owner in zip(theirs.hashes.tolist(), theirs.owners.tolist(), strict=True):
        postings[gram].append(owner)
    shared: dict[tuple[int, int], int] = defaultdict(int)
    hit = np.isin(ours.hashes, np.unique(theirs.hashes))
    for gram, owner in zip(ours.hashes[hit].tolist(), ours.owners[hit].tolist(), strict=True):
        for other in postings[gram]:
            shared[owner, other] += 1
    exact = _same_letters(left, right)
    found = []
    for pair in sorted(exact | shared.keys()):
        if pair in exact:
            found.append(Candidate(*pair, 1.0, 1.0, True))
            continue
        sizes = int(ours.sizes[pair[0]]), int(theirs.sizes[pair[1]])
        score, share = shared[pair] / (sum(sizes) - shared[pair]), shared[pair] / min(sizes)
        if score >= least or share >= contained:
            found.append(Candidate(*pair, score, share, False))
    return found


def _same_letters(left: list[str], right: list[str]) -> set[tuple[int, int]]:
    positions = defaultdict(list)
    for position, text in enumerate(right):
        positions[letters_key(text)].append(position)
    return {
        (position, other)
        for position, text in enumerate(left)
        for other in positions.get(letters_key(text), ())
    }

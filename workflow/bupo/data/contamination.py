"""The contamination gate: which training problems are benchmark problems, and which only look like them."""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from bupo.data.keys import exact_key, has_picture, marks, without_pictures
from bupo.data.normal import Problem
from bupo.data.overlap import Candidate, candidates

LEAK = 0.8  # 8-gram Jaccard above which a pair is a leak
REVIEW = 0.2  # and from which one with the same answer is for a person to look at;
CONTAINED = 0.6  # or this share of the shorter problem's 8-grams in the longer one
KINDS = ("exact", "overlap", "reworded", "lookalike")
Same = Callable[[str, str], bool]


@dataclass(frozen=True)
class Match:
    """A training problem and a benchmark problem that are, or may be, one.

    Attributes:
        kind: ``exact`` (same letters and digits), ``overlap`` (8-gram Jaccard above 0.8), ``reworded`` (less
            overlap and the same answer, for a person to look at) or ``lookalike`` (as much overlap as a leak,
            but other numbers or signs and another answer: another problem).
        score: 8-gram Jaccard, 1 for ``exact``.
    """

    kind: str
    score: float
    train_set: str
    train_id: str
    benchmark_set: str
    benchmark_id: str
    train_problem: str
    benchmark_problem: str
    train_answer: str
    benchmark_answer: str

    @property
    def is_leak(self) -> bool:
        """Whether the training problem must go."""
        return self.kind in ("exact", "overlap")


def matches(train: list[Problem], benchmarks: list[Problem], same: Same) -> list[Match]:
    """All pairs worth telling of, the closest first."""
    found = []
    left, right = ([p.problem for p in side] for side in (train, benchmarks))
    for candidate in candidates(left, right, REVIEW, CONTAINED):
        ours, theirs = train[candidate.left], benchmarks[candidate.right]
        if kind := _kind(candidate, ours, theirs, same):
            match = Match(
                kind=kind,
                score=round(candidate.score, 4),
                train_set=ours.source,
                train_id=ours.id,
                benchmark_set=theirs.source,
                benchmark_id=theirs.id,
                train_problem=ours.problem,
                benchmark_problem=theirs.problem,
                train_answer=ours.answer,
                benchmark_answer=theirs.answer,
            )
            found.append(match)
    return sorted(found, key=lambda m: (-m.score, m.benchmark_id, m.train_id))


def _kind(candidate: Candidate, ours: Problem, theirs: Problem, same: Same) -> str | None:
    if candidate.exact and exact_key(ours.problem) == exact_key(theirs.problem):
        return "exact"
    one_answer = same(theirs.answer, ours.answer)
    if not candidate.exact and candidate.score <= LEAK:
        return "reworded" if one_answer else None
    if not one_answer and _marks_differ(ours.problem, theirs.problem):
        return "lookalike"
    return "exact" if candidate.exact else "overlap"


def _marks_differ(ours: str, theirs: str) -> bool:
    """Whether numbers or signs differ; in drawings, too, where both problems have one."""
    if not (has_picture(ours) and has_picture(theirs)):
        ours, theirs = without_pictures(ours), without_pictures(theirs)
    return marks(ours) != marks(theirs)


def report(
    train: dict[str, list[Problem]],
    benchmarks: dict[str, list[Problem]],
    spare: dict[str, list[Problem]],
    same: Same,
) -> dict[str, Any]:
    """Every training set against every benchmark.

    Leaks of ``benchmarks`` are marked for removal from training; leaks of ``spare`` sets, on which the
    experiment does not evaluate, are only told.
    """
    pairs, leaks, review, lookalikes = [], [], [], []
    others = {**spare, **benchmarks}
    for train_name, problems in train.items():
        by_set = defaultdict(list)
        for match in matches(problems, [p for other in others.values() for p in other], same):
            by_set[match.benchmark_set].append(match)
        for name, other in others.items():
            found, removed = by_set[name], name in benchmarks
            pairs.append(_pair(train_name, name, len(other), found, removed))
            leaks += [{**_short(m), "removed": removed} for m in found if m.is_leak]
            review += [asdict(m) for m in found if m.kind == "reworded"]
            lookalikes += [asdict(m) for m in found if m.kind == "lookalike"]
    return {
        "rule": {"ngram": 8, "leak_above": LEAK, "review_from": REVIEW, "review_contained_from": CONTAINED},
        "pairs": pairs,
        "leaks": leaks,
        "review": review,
        "lookalikes": lookalikes,
    }


def _short(match: Match) -> dict[str, Any]:
    texts = {"train_problem": match.train_problem[:200], "benchmark_problem": match.benchmark_problem[:200]}
    return {**asdict(match), **texts}


def _pair(train: str, benchmark: str, n: int, found: list[Match], removed: bool) -> dict[str, Any]:
    kinds = Counter(m.kind for m in found)
    inside = len({m.benchmark_id for m in found if m.is_leak})
    told = f"{inside} of the {n} problems of {benchmark} are in {train}"
    if inside:
        told += (
            "; they are left out of training"
            if removed
            else "; it is no fair test of what trains on that set"
        )
    return {
        "train": train,
        "benchmark": benchmark,
        "problems": n,
        "inside": inside,
        **{kind: kinds[kind] for kind in KINDS},
        "removed": len({m.train_id for m in found if m.is_leak}) if removed else 0,
        "told": told + ".",
    }

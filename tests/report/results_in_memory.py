"""Results without files: cells of known chances of success, every problem equally hard."""

import numpy as np
import pandas as pd

from bupo.report.records import Estimate, Evaluated, Results, Run

SAMPLES = 4


def evaluated(benchmark: str, correct: np.ndarray) -> Evaluated:
    rows = [
        {"problem_id": f"{benchmark}-{p:03d}", "sample": s, "correct": bool(value), "gold": "1"}
        for p, line in enumerate(correct)
        for s, value in enumerate(line)
    ]
    value = float(correct.mean())
    return Evaluated(
        benchmark=benchmark,
        n_problems=len(correct),
        n_samples=correct.shape[1],
        avg=Estimate(value, value, value),
        pass_at_k={1: Estimate(value, value, value)},
        truncated=0.0,
        no_box=0.0,
        mean_tokens=10.0,
        grader="math_verify",
        disagreements=0,
        scores=pd.DataFrame(rows),
        responses=None,
    )


def results(rates: dict[str, dict[str, float]], problems: dict[str, int], seeds=(1,)) -> Results:
    """Cells with a chance of success by benchmark; every problem is equally hard."""
    runs = []
    for cell, by_benchmark in rates.items():
        for seed in (0,) if cell == "base" else seeds:
            rng = np.random.default_rng([seed, *cell.encode()])
            method = cell.split("-")[0]
            layer = 3 if method == "bupo" else None
            runs.append(
                Run(
                    model="m",
                    cell=cell,
                    seed=seed,
                    method=method,
                    train_set=None if cell == "base" else "t",
                    steps=0 if cell == "base" else 10,
                    layer_requested=layer,
                    layer=layer,
                    evaluated={
                        name: evaluated(name, rng.random((problems[name], SAMPLES)) < rate)
                        for name, rate in by_benchmark.items()
                    },
                )
            )
    experiment = {
        "name": "x",
        "models": {"train": ["m"], "analyse": []},
        "data": {"benchmarks": list(problems)},
        "evaluation": {"bootstrap": {"resamples": 1000, "level": 0.95}},
    }
    return Results(experiment, "", runs, [], [], [], [], [], {}, [])


def both(rate: float) -> dict[str, float]:
    return {"a": rate, "b": rate}


SIZES = {"a": 150, "b": 50}

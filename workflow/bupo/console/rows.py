"""Every job of an experiment, by rule, as rules/*.smk has them, and how many have their result already."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from bupo.console.estimate import Estimator
from bupo.console.work import Row, Work
from bupo.evaluation.shards import cut


def rows_of(estimator: Estimator) -> list[Row]:
    """The jobs of a whole experiment, in the order of its stages."""
    return [row for row in _rows(estimator) if row.jobs]


def critical_path(rows: Iterable[Row], waits_for_layer: bool) -> float:
    """Seconds until all is done where every job starts as soon as it can, as far as they are known.

    Args:
        rows: of an experiment.
        waits_for_layer: whether a training waits for the entropy analysis, which ``layer: auto`` does.
    """
    longest: dict[str, float] = {}
    for row in rows:
        longest[row.rule] = max(longest.get(row.rule, 0.0), row.longest)

    def after(*rules: str) -> float:
        return sum(longest.get(rule, 0.0) for rule in rules)

    data = max(after("normalise", "contamination"), after("model"), after("named_model")) + max(
        after("export_training"), after("export_benchmark")
    )
    analysis = after("entropy_shard", "entropy")
    train = (analysis if waits_for_layer else 0.0) + after("configure", "train")
    trained = train + max(after("evaluate", "sample", "grade"), after("flow"))
    return data + max(trained, analysis) + after("report", "tracked")


def _rows(estimator: Estimator) -> Iterator[Row]:
    plan = estimator.plan
    folder, experiment = Path(plan.folder), plan.experiment

    def small(rule: str, outputs: Iterable[str]) -> Row:
        paths = list(outputs)
        return Row(rule, "", ((estimator.small(rule), len(paths)),), _made(folder, paths))

    yield small("normalise", (f"data/{name}.json" for name in plan.sets))
    yield small("contamination", ["data/contamination.json"] if plan.train_sets else [])
    tables = _exported(estimator)
    for rule, trained_on in (("export_training", True), ("export_benchmark", False)):
        kind = [f"data/verl/{m}/{s}.parquet" for m, s in tables if plan.is_trained_on(s) == trained_on]
        yield small(rule, kind)
    for rule, built in (("model", True), ("named_model", False)):
        kind = [name for name, model in plan.models.items() if bool(model.built) == built]
        each = Counter(estimator.small(rule, name) for name in kind)
        files = [f"models/{name}/model.json" for name in kind]
        yield Row(rule, "", tuple(each.items()), _made(folder, files))
    yield from _analysed(estimator, folder)
    yield small("configure", (f"runs/{cell.run}/config.yaml" for cell in plan.cells))
    yield from _trained(estimator, folder)
    for model in experiment.models.train:
        runs = [run for run in plan.evaluations if run.split("/")[0] == model]
        if experiment.analysis.snapshots:
            every, steps = experiment.analysis.snapshots, experiment.training.steps
            base, trained = (estimator.analyse(model, n, "flow") for n in (1, -(-steps // every)))
            works = ((base, 1), (trained, len(runs) - 1))
            yield Row("flow", model, works, _made(folder, (f"entropy/{run}/flow.parquet" for run in runs)))
        yield from _evaluated(estimator, folder, model, runs)
    yield small("report", ["report/index.html"])
    yield small("tracked", ["tracked"])


def _analysed(estimator: Estimator, folder: Path) -> Iterator[Row]:
    shards = estimator.plan.shards
    for model in estimator.plan.experiment.models.analyse:
        boundary = _made(folder, [f"entropy/{model}/boundary.json"])
        if shards == 1:
            yield Row("entropy", model, ((estimator.analyse(model), 1),), boundary)
            continue
        parts = [f"entropy/{model}/shard-{i}-of-{shards}/sums.parquet" for i in range(1, shards + 1)]
        work = estimator.analyse(model, rule="entropy_shard", parts=shards)
        yield Row("entropy_shard", model, ((work, shards),), _made(folder, parts))
        yield Row("entropy", model, ((estimator.small("entropy", model, "entropy_merge"), 1),), boundary)


def _evaluated(estimator: Estimator, folder: Path, model: str, runs: list[str]) -> Iterator[Row]:
    plan = estimator.plan
    pairs = [(run, name) for run in runs for name in plan.benchmarks]
    summaries = _made(folder, (f"evaluation/{run}/{name}/summary.json" for run, name in pairs))
    if not plan.sampled_in_parts:
        works = ((estimator.evaluate(model, name), len(runs)) for name in plan.benchmarks)
        yield Row("evaluate", model, tuple(works), summaries)
        return
    assert plan.evaluation is not None
    shards = [(len(shard.numbers) / shard.parts, shard) for shard in cut(plan.evaluation)]
    works = (
        (estimator.evaluate(model, name, "sample", each), len(runs))
        for name in plan.benchmarks
        for each, _ in shards
    )
    drawn = (str(shard.file(Path(f"evaluation/{run}/{name}"))) for run, name in pairs for _, shard in shards)
    yield Row("sample", model, tuple(works), _made(folder, drawn))
    yield Row("grade", model, ((estimator.small("grade", model), len(pairs)),), summaries)


def _trained(estimator: Estimator, folder: Path) -> Iterator[Row]:
    kinds: dict[tuple[str, str], Counter[Work]] = {}
    made: Counter[tuple[str, str]] = Counter()
    has_runs = (folder / "runs").is_dir()
    for cell in estimator.plan.cells:
        kind = (cell.model, cell.method)
        kinds.setdefault(kind, Counter())[estimator.train(cell)] += 1
        made[kind] += has_runs and (folder / "runs" / cell.run / "done.json").exists()
    for (model, method), works in kinds.items():
        yield Row("train", f"{model} {method}", tuple(works.items()), made[model, method])


def _exported(estimator: Estimator) -> list[tuple[str, str]]:
    """The (model, set) pairs in verl's schema that something reads."""
    plan, experiment = estimator.plan, estimator.plan.experiment
    pairs = [(cell.model, cell.train_set) for cell in plan.cells]
    pairs += [(model, name) for model in experiment.models.train for name in plan.benchmarks]
    pairs += [(model, name) for model in plan.analysed for name in experiment.analysis.problems]
    return list(dict.fromkeys(pairs))


def _made(folder: Path, outputs: Iterable[str]) -> int:
    return sum((folder / output).exists() for output in outputs) if folder.is_dir() else 0

"""What the jobs of an experiment cost: for each rule how many, how long, on how many GPUs, and why so."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from bupo.console.costs import Costs, nearest
from bupo.console.measured import Measured, mean_tokens, measured
from bupo.console.sizes import parameters_of, problems_in
from bupo.entropy.settings import Analysis
from bupo.evaluation.config import EvaluationSettings
from bupo.experiment.cells import Cell
from bupo.experiment.groups import load_entry
from bupo.experiment.lengths import longest_response
from bupo.experiment.methods import load_methods
from bupo.experiment.plan import Plan
from bupo.experiment.workload import Workload, Workloads
from bupo.validation import validated

UNKNOWN = "not known"


@dataclass(frozen=True)
class Work:
    """Seconds of one job; None where nothing tells them.

    Attributes:
        gpus: that it holds; 0 for a job of one processor.
        measured: whether it rests on earlier runs, or else on assumptions.
        basis: which ones.
    """

    seconds: float | None
    gpus: int
    measured: bool
    basis: str


@dataclass(frozen=True)
class Row:
    """Jobs of one rule.

    Attributes:
        of: the model, the model and the method, or nothing.
        works: of each kind of job how it is and how many there are.
        made: how many have their result.
        longest: seconds of the longest of them, 0 where none is known.
    """

    rule: str
    of: str
    works: tuple[tuple[Work, int], ...]
    made: int

    @property
    def jobs(self) -> int:
        """How many there are."""
        return sum(count for _, count in self.works)

    @property
    def gpus(self) -> int:
        """That one job holds."""
        return max(work.gpus for work, _ in self.works)

    @property
    def seconds(self) -> float | None:
        """Of all jobs, one after the other; None where the time of one is not known."""
        known = [work.seconds * count for work, count in self.works if work.seconds is not None]
        return sum(known) if len(known) == len(self.works) else None

    @property
    def longest(self) -> float:
        """Seconds of the longest job whose time is known."""
        return max((work.seconds or 0.0 for work, _ in self.works), default=0.0)

    @property
    def left(self) -> float | None:
        """Seconds of the jobs without a result, each as long as the mean."""
        return None if self.seconds is None else self.seconds * (self.jobs - self.made) / self.jobs


class Estimator:
    """Estimates an experiment's jobs.

    Args:
        plan: the experiment.
        costs: what is assumed.
        configs: the project's ``configs/`` folder.
        results: where earlier runs lie.
    """

    def __init__(self, plan: Plan, costs: Costs, configs: Path, results: Path) -> None:
        self.plan, self.costs, self.configs, self.results = plan, costs, configs, results
        experiment, self.where = plan.experiment, f"experiment {plan.name}"
        training = experiment.training
        self.workloads = Workloads(
            configs, training.engine or "", training.settings, training.overrides, f"{self.where}: training"
        )
        self.methods = load_methods(configs)
        self.parameters = parameters_of(plan, costs)
        self._measured: dict[tuple[str, str], Measured | None] = {}
        self._trained: dict[tuple[object, ...], Work] = {}
        self._lengths: dict[tuple[str, str], float | None] = {}

    @cached_property
    def evaluation(self) -> EvaluationSettings:
        """The settings of the evaluation."""
        name = self.plan.experiment.evaluation.settings
        entry = load_entry(self.configs, "evaluation", name, f"{self.where}: evaluation.settings")
        return validated(EvaluationSettings, entry, f"{name}.yaml")

    @cached_property
    def analysis(self) -> Analysis:
        """The settings of the entropy analysis."""
        name = self.plan.experiment.analysis.settings
        entry = load_entry(self.configs, "analysis", name, f"{self.where}: analysis.settings")
        return validated(Analysis, entry, f"{name}.yaml")

    def workload(self, cell: Cell) -> Workload:
        """What a cell does in a step."""
        job = self.plan.resources.sizes[cell.model].train
        workload = self.workloads.of(cell.method, cell.model)
        return replace(workload, nodes=job.nodes, gpus_per_node=job.gpus or workload.gpus_per_node)

    # ------------------------------------------------------------------ one job of each rule

    def small(self, rule: str) -> Work:
        """A job on one processor that no model hangs on."""
        expected = self.plan.experiment.expected_seconds
        if rule in expected:
            return Work(expected[rule], 0, False, "expected_seconds of the experiment")
        seconds = self.costs.jobs.get(rule)
        return Work(
            seconds, 0, False, f"jobs in costs.yaml ({self.costs.jobs_source})" if seconds else UNKNOWN
        )

    def train(self, cell: Cell) -> Work:
        """The training of a cell."""
        key = (cell.model, cell.method, cell.layer, cell.iterative_steps)
        if key not in self._trained:
            self._trained[key] = self._train(cell)
        return self._trained[key]

    def _train(self, cell: Cell) -> Work:
        workload, steps = self.workload(cell), self.plan.experiment.training.steps
        key = (cell.model, cell.method)
        if key not in self._measured:
            self._measured[key] = measured(self.results, *key, workload)
        if known := self._measured[key]:
            automatic = self.plan.experiment.auto_layer
            layer = automatic.fallback if cell.layer == "auto" and automatic else cell.layer
            assert layer != "auto"
            phases = self.methods[cell.method].schedule(
                layer, cell.iterative_steps, self.plan.models[cell.model].layers
            )
            seconds = known.seconds(phases, steps)
            if seconds is not None:
                return Work(seconds, workload.gpus, True, f"steps of {_named(known.runs)}")
        if workload.gpus == 0 or "train" in self.plan.experiment.expected_seconds:
            return self._on_cpu("train", cell.model, workload.gpus)
        if cell.model not in self.parameters:
            return self._unknown(cell.model, workload.gpus)
        size = self.parameters[cell.model]
        known_step = nearest(self.costs.step, cell.model, size)
        each = known_step.seconds * (size / known_step.parameters) * (known_step.gpus / workload.gpus)
        each *= workload.responses / known_step.responses
        each *= workload.response_tokens / known_step.response_tokens
        machine = f"{known_step.model} on {known_step.gpus} {known_step.gpu}"
        text = f"step in costs.yaml, {machine} ({known_step.source})"
        if factor := self.costs.methods.get(cell.method):
            each *= factor.factor
            text += f"; {cell.method} x {factor.factor:g} ({factor.source})"
        return Work(each * steps, workload.gpus, False, text)

    def evaluate(
        self, model: str, benchmark: str, rule: str = "evaluate", samples: float | None = None
    ) -> Work:
        """The evaluation of one trained model, or of the base, on a benchmark, or a part of its samples.

        Args:
            model: which is evaluated.
            benchmark: on what.
            rule: of the job.
            samples: how many of a problem the job draws, on average over all problems; None for all.
        """
        settings = self.evaluation
        gpus = self._gpus(settings.backend, settings.vllm)
        if gpus == 0 or rule in self.plan.experiment.expected_seconds:
            return self._on_cpu(rule, model, gpus)
        problems = problems_in(self.plan, benchmark)
        if model not in self.parameters or problems is None or settings.backend != "vllm":
            return self._unknown(model, gpus)
        length, of = self.length(model, benchmark)
        drawn = problems * (settings.samples if samples is None else samples)
        return self._sampled(model, drawn * length, gpus, of)

    def analyse(self, model: str, snapshots: int = 1, rule: str = "entropy", parts: int = 1) -> Work:
        """The entropy analysis of so many models of one kind, cut into so many jobs; one of these."""
        settings = self.analysis
        gpus = self._gpus(settings.backend, settings.vllm)
        if gpus == 0 or rule in self.plan.experiment.expected_seconds:
            return self._on_cpu(rule, model, gpus)
        counts = [problems_in(self.plan, name) for name in self.plan.experiment.analysis.problems]
        known = [min(count, settings.problems or count) for count in counts if count is not None]
        if model not in self.parameters or len(known) < len(counts) or settings.backend != "vllm":
            return self._unknown(model, gpus)
        responses = sum(known) * settings.samples * snapshots / parts
        wanted, prompt = settings.max_new_tokens, self.plan.experiment.data.max_prompt_tokens
        length, of = longest_response(self.plan.models[model], wanted, prompt), "as long as they may be"
        if length < wanted:
            of = f"of {length:,} tokens, the most that its context leaves of {wanted:,}"
        work = self._sampled(model, responses * length, gpus, of)
        reference = self.costs.analysis
        scale = self.parameters[model] / reference.parameters
        assert work.seconds is not None
        seconds = work.seconds + responses * reference.seconds_per_response * scale
        return Work(seconds, gpus, False, f"{work.basis}; analysis ({reference.source})")

    def length(self, model: str, benchmark: str) -> tuple[float, str]:
        """Tokens of a response to a benchmark, and what they rest on."""
        if (model, benchmark) not in self._lengths:
            self._lengths[model, benchmark] = mean_tokens(self.results, model, benchmark)
        known = self._lengths[model, benchmark]
        if known is not None:
            return known, "as long as in earlier evaluations"
        return float(self.evaluation.max_new_tokens), "as long as they may be"

    def _sampled(self, model: str, tokens: float, gpus: int, of: str) -> Work:
        size = self.parameters[model]
        known = nearest(self.costs.sampling, model, size)
        rate = known.tokens_per_second * (known.parameters / size) * gpus
        text = f"sampling in costs.yaml, {known.model} on {known.gpu} ({known.source}); responses {of}"
        return Work(tokens / rate, gpus, False, text)

    def _gpus(self, backend: str, vllm: dict[str, object]) -> int:
        if backend == "vllm":
            return int(str(vllm.get("tensor_parallel_size", 1)))
        return min(1, max((self.workload(cell).gpus for cell in self._one_of_each), default=0))

    @cached_property
    def _one_of_each(self) -> list[Cell]:
        return list({cell.method: cell for cell in self.plan.cells}.values())

    def _on_cpu(self, rule: str, model: str, gpus: int) -> Work:
        work = self.small(rule)
        stated = rule in self.plan.experiment.expected_seconds
        if not stated and not self.plan.models[model].built:
            return self._unknown(model, gpus)
        return Work(work.seconds, gpus, work.measured, work.basis)

    def _unknown(self, model: str, gpus: int) -> Work:
        return Work(
            None, gpus, False, f"{UNKNOWN}: neither earlier runs nor configs/costs.yaml tell of {model}"
        )


def _named(runs: Sequence[Path]) -> str:
    more = f" and {len(runs) - 1} more" if len(runs) > 1 else ""
    return f"{runs[0]}{more}"


def total(rows: Iterable[Row], gpu: bool, left: bool = False) -> float:
    """GPU-seconds of all rows, or processor-seconds of those without a GPU, as far as they are known."""
    amounts = ((row.left if left else row.seconds, row.gpus) for row in rows if bool(row.gpus) == gpu)
    return sum(seconds * max(gpus, 1) for seconds, gpus in amounts if seconds is not None)

"""What the jobs of an experiment cost: for each rule how many, how long, on how many GPUs, and why so."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from bupo.console.costs import Costs, nearest
from bupo.console.measured import Measured, mean_tokens, measured
from bupo.console.sizes import parameters_of, problems_in
from bupo.console.work import Work
from bupo.entropy.settings import Analysis
from bupo.evaluation.config import EvaluationSettings
from bupo.experiment.cells import Cell
from bupo.experiment.groups import load_entry
from bupo.experiment.lengths import longest_response
from bupo.experiment.methods import load_methods
from bupo.experiment.plan import Plan
from bupo.experiment.resources import KINDS
from bupo.experiment.workload import Workload, Workloads
from bupo.validation import validated

UNKNOWN = "not known"


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

    def small(self, rule: str, model: str | None = None, asks: str | None = None) -> Work:
        """A job whose time no model tells.

        Args:
            rule: of the job.
            model: that it is about, if any.
            asks: the rule by whose name it asks for its resources, where that is another.
        """
        gpus, cores = self._asked(asks or rule, model)
        expected = self.plan.experiment.expected_seconds
        if rule in expected:
            return Work(expected[rule], gpus, cores, False, "expected_seconds of the experiment")
        seconds = self.costs.jobs.get(rule)
        text = f"jobs in costs.yaml ({self.costs.jobs_source})" if seconds else UNKNOWN
        return Work(seconds, gpus, cores, False, text)

    def _asked(self, rule: str, model: str | None) -> tuple[int, int]:
        """GPUs and processors of a job, on all its nodes; those that Snakemake runs by itself take one."""
        if rule not in KINDS:
            return 0, 1
        job = self.plan.resources.job(rule, model)
        return job.nodes * job.gpus, job.nodes * job.cpus

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
                return Work(
                    seconds, *self._asked("train", cell.model), True, f"steps of {_named(known.runs)}"
                )
        if workload.gpus == 0 or "train" in self.plan.experiment.expected_seconds:
            return self._stated("train", cell.model)
        if cell.model not in self.parameters:
            return self._unknown("train", cell.model)
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
        return Work(each * steps, *self._asked("train", cell.model), False, text)

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
        if not self._asked(rule, model)[0] or rule in self.plan.experiment.expected_seconds:
            return self._stated(rule, model)
        problems = problems_in(self.plan, benchmark)
        if model not in self.parameters or problems is None or settings.backend != "vllm":
            return self._unknown(rule, model)
        length, of = self.length(model, benchmark)
        drawn = problems * (settings.samples if samples is None else samples)
        return self._sampled(rule, model, drawn * length, settings.vllm, of)

    def analyse(self, model: str, snapshots: int = 1, rule: str = "entropy", parts: int = 1) -> Work:
        """The entropy analysis of so many models of one kind, cut into so many jobs; one of these."""
        settings = self.analysis
        if not self._asked(rule, model)[0] or rule in self.plan.experiment.expected_seconds:
            return self._stated(rule, model)
        counts = [problems_in(self.plan, name) for name in self.plan.experiment.analysis.problems]
        known = [min(count, settings.problems or count) for count in counts if count is not None]
        if model not in self.parameters or len(known) < len(counts) or settings.backend != "vllm":
            return self._unknown(rule, model)
        responses = sum(known) * settings.samples * snapshots / parts
        wanted, prompt = settings.max_new_tokens, self.plan.experiment.data.max_prompt_tokens
        length, of = longest_response(self.plan.models[model], wanted, prompt), "as long as they may be"
        if length < wanted:
            of = f"of {length:,} tokens, the most that its context leaves of {wanted:,}"
        work = self._sampled(rule, model, responses * length, settings.vllm, of)
        reference = self.costs.analysis
        scale = self.parameters[model] / reference.parameters
        assert work.seconds is not None
        seconds = work.seconds + responses * reference.seconds_per_response * scale
        return replace(work, seconds=seconds, basis=f"{work.basis}; analysis ({reference.source})")

    def length(self, model: str, benchmark: str) -> tuple[float, str]:
        """Tokens of a response to a benchmark, and what they rest on."""
        if (model, benchmark) not in self._lengths:
            self._lengths[model, benchmark] = mean_tokens(self.results, model, benchmark)
        known = self._lengths[model, benchmark]
        if known is not None:
            return known, "as long as in earlier evaluations"
        return float(self.evaluation.max_new_tokens), "as long as they may be"

    def _sampled(self, rule: str, model: str, tokens: float, vllm: Mapping[str, object], of: str) -> Work:
        """A job that samples so many tokens: on the GPUs that vLLM uses, whatever it holds beside them."""
        size, ranks = self.parameters[model], int(str(vllm.get("tensor_parallel_size", 1)))
        known = nearest(self.costs.sampling, model, size)
        rate = known.tokens_per_second * (known.parameters / size) * ranks
        text = f"sampling in costs.yaml, {known.model} on {known.gpu} ({known.source}); responses {of}"
        return Work(tokens / rate, *self._asked(rule, model), False, text)

    def _stated(self, rule: str, model: str) -> Work:
        """A job whose time the experiment states, or costs.yaml for a model that is built here."""
        stated = rule in self.plan.experiment.expected_seconds
        if not stated and not self.plan.models[model].built:
            return self._unknown(rule, model)
        return self.small(rule, model)

    def _unknown(self, rule: str, model: str) -> Work:
        basis = f"{UNKNOWN}: neither earlier runs nor configs/costs.yaml tell of {model}"
        return Work(None, *self._asked(rule, model), False, basis)


def _named(runs: Sequence[Path]) -> str:
    more = f" and {len(runs) - 1} more" if len(runs) > 1 else ""
    return f"{runs[0]}{more}"

"""What the report knows of an experiment, as typed values without a file, a plot or a sentence in them."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bupo.report.costs import Cost, StageCost

if TYPE_CHECKING:
    import pandas as pd

    from bupo.figures.study import Study

BASE = "base"
ALL = "all"  # the slice of the statistics that is all responses
STATISTICS = (
    *("quantity", "policy", "layer", "lens", "anchor", "slice", "mean", "low", "high"),
    *("n_tokens", "n_problems"),
)


@dataclass(frozen=True)
class Estimate:
    """A number with its interval over problems; None where there is no interval."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Evaluated:
    """One run on one benchmark.

    Attributes:
        avg: mean share of right answers (avg@n).
        pass_at_k: by k.
        pass_at_k_decoding: bounds of pass@k over decoding, by k, where recorded.
        truncated, no_box, grader_timeout: shares of responses; the last None where not recorded.
        disagreements: samples on which the two graders differ; None where not recorded.
        scores: problem_id, sample, correct and more, one row for each sample.
        benchmark_sha256: of the file of problems; None where not recorded.
        sampling_sha256: identity of the samples: of model, problems and decoding; None where not recorded.
        review: gold, answer and what each grader made of them, where they differ; None where not recorded.
        responses: problem_id, sample, text of each problem's first sample; None where the shards are gone.
    """

    benchmark: str
    n_problems: int
    n_samples: int
    avg: Estimate
    pass_at_k: dict[int, Estimate]
    truncated: float
    no_box: float
    mean_tokens: float
    grader: str
    disagreements: int | None
    scores: "pd.DataFrame"
    responses: "pd.DataFrame | None"
    pass_at_k_decoding: dict[int, tuple[float, float]] = field(default_factory=dict)
    grader_timeout: float | None = None
    benchmark_sha256: str | None = None
    sampling_sha256: str | None = None
    review: "pd.DataFrame | None" = None


@dataclass(frozen=True)
class Run:
    """One training run, or a model before training (cell ``base``).

    Attributes:
        layer_requested: as the experiment says: a number, ``auto``, or None without an internal policy.
        layer: of the first internal policy, or the last one that a layer-aware baseline treats apart, from 1;
            None for methods without a layer, or before it is known.
        internal: whether an internal policy is trained; None before the schedule is known.
        lens: that the internal policy is read through; None without one, or before it is known.
        evidence: what ``auto`` rests on, as the run's configuration has it.
        switches: steps after which the trained policy changes.
        collapse: what the training ended by before its last step (``done.json``); None where it did not.
        metrics: for each recorded metric, (step, value) in order of steps.
        cost: of its training; None before its end, or where it was not recorded.
        config_sha256: hash of the run's configuration.
        commits: of the code that trained it, one for each call that was another's; empty where not recorded.
        versions: of the software that trained it, likewise.
        train_files: hashes of the files that it was trained on, by name; empty where not recorded.
        weights: hashes of the files with its weights and its snapshots', by path; empty where not recorded.
        evaluated: by benchmark.
    """

    model: str
    cell: str
    seed: int
    method: str
    train_set: str | None = None
    steps: int = 0
    layer_requested: int | str | None = None
    layer: int | None = None
    iterative_steps: int | None = None
    lens: str | None = None
    evidence: dict[str, Any] | None = None
    internal: bool | None = None
    switches: list[int] = field(default_factory=list)
    collapse: dict[str, Any] | None = None
    learning_rate: float | None = None
    metrics: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    cost: Cost | None = None
    config_sha256: str | None = None
    commits: list[str] = field(default_factory=list)
    versions: list[dict[str, str]] = field(default_factory=list)
    train_files: dict[str, str] = field(default_factory=dict)
    weights: dict[str, str] = field(default_factory=dict)
    evaluated: dict[str, Evaluated] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """``<model>/<cell>/seed<s>``."""
        return f"{self.model}/{self.cell}/seed{self.seed}"

    @property
    def bottom_up(self) -> bool:
        """Whether an internal policy is trained in it; whether there is a layer before more is known."""
        return self.layer_requested is not None if self.internal is None else self.internal


@dataclass(frozen=True)
class LayerEvidence:
    """The FFN entropy change of one layer (nats) and the stage it puts the layer in."""

    layer: int
    change: Estimate
    stage: str


@dataclass(frozen=True)
class Entropy:
    """The entropy analysis of one model.

    Attributes:
        study: its tables, as the figures are drawn from them.
        status: ``clear`` or ``unclear``.
        boundary_layer: the last layer whose FFN raises the entropy, counted from 1; None where unclear.
        inputs: hashes of the files that it read besides the model, as they are now, by path; None where there
            is no such file.
    """

    model: str
    layers: int
    status: str
    boundary_layer: int | None
    tolerance: float
    lens: str
    level: float
    reason: str
    evidence: list[LayerEvidence]
    n_tokens: int
    n_problems: int
    study: "Study"
    inputs: dict[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class DataSet:
    """What became of one problem set.

    Attributes:
        upstream: rows read; kept: rows in normal form; dropped: rows that could not be used.
        left_out: rows selected away on purpose: by the set's definition or by the experiment's limit.
        reasons: of the dropped rows, with their numbers.
        source: where it is from, in one line.
    """

    name: str
    role: str
    upstream: int
    kept: int
    dropped: int
    left_out: int
    reasons: dict[str, int]
    source: str


@dataclass(frozen=True)
class Export:
    """What of a training set a model was trained on.

    Attributes:
        rows: in normal form; kept: trained on; reasons: of the others, with their numbers.
    """

    model: str
    name: str
    rows: int
    kept: int
    reasons: dict[str, int]


@dataclass(frozen=True)
class Contamination:
    """How much of a benchmark is in a training set."""

    train: str
    benchmark: str
    problems: int
    inside: int
    removed: int
    review: int


@dataclass(frozen=True)
class Model:
    """A model before training."""

    name: str
    architecture: str
    layers: int
    parameters: int
    source: str
    sha256: dict[str, str]


@dataclass(frozen=True)
class Results:
    """Everything of one experiment.

    Attributes:
        experiment: the resolved experiment file.
        runs: the base models first, then the cells in the experiment's order.
        problems: text of the benchmark problems, by id.
        missing: files that the report would have read, one sentence each.
        flow: the tables of the sweeps over checkpoints together; None where there is none.
        costs: of each stage.
        made_by: by name of a result below its logs, the commits that made it; empty where not recorded.
    """

    experiment: dict[str, Any]
    experiment_sha256: str
    runs: list[Run]
    models: list[Model]
    entropy: list[Entropy]
    data: list[DataSet]
    exports: list[Export]
    contamination: list[Contamination]
    problems: dict[str, str]
    missing: list[str]
    flow: "pd.DataFrame | None" = None
    costs: list[StageCost] = field(default_factory=list)
    made_by: dict[str, list[str]] = field(default_factory=dict)

    @property
    def benchmarks(self) -> list[str]:
        """The benchmarks, in the experiment's order."""
        return list(self.experiment["data"]["benchmarks"])

    @property
    def level(self) -> float:
        """Coverage of the evaluation's intervals."""
        return float(self.experiment["evaluation"].get("bootstrap", {}).get("level", 0.95))

    @property
    def resamples(self) -> int:
        """Number of random sign flips behind a p-value."""
        return int(self.experiment["evaluation"].get("bootstrap", {}).get("resamples", 10_000))

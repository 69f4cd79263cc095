"""What an experiment makes: its files, cells and the specs that each stage reads."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bupo.data.config import DataSet
from bupo.environments import Environment
from bupo.errors import UserError
from bupo.evaluation.config import EvaluationSettings
from bupo.evaluation.shards import cut
from bupo.experiment.cells import Cell
from bupo.experiment.resources import Resources
from bupo.experiment.schema import Experiment
from bupo.files import exclusive, is_held
from bupo.models.config import ModelConfig


@dataclass(frozen=True)
class Plan:
    """One validated experiment and the paths of all that it makes, relative to the repository's root.

    Attributes:
        name: the experiment's name, which is its file's.
        folder: ``<results>/<name>``.
        mlflow_uri: the tracking address.
        data_sets: every problem set that is prepared, by name.
        models: every model that is prepared, by name.
        cells: every training run.
        evaluation: how it is evaluated, the same for every run and benchmark; None where nothing is.
        resources: what its jobs ask a cluster for.
        environment: what its jobs run in.
    """

    name: str
    folder: str
    mlflow_uri: str
    experiment: Experiment
    data_sets: Mapping[str, DataSet]
    models: Mapping[str, ModelConfig]
    cells: tuple[Cell, ...]
    evaluation: EvaluationSettings | None
    resources: Resources
    environment: Environment

    @property
    def train_sets(self) -> list[str]:
        """Names of the training sets."""
        return self.experiment.data.train

    @property
    def benchmarks(self) -> list[str]:
        """Names of the benchmarks."""
        return self.experiment.data.benchmarks

    @property
    def spare_sets(self) -> list[str]:
        """Names of the sets that are only searched for in the training sets."""
        return self.experiment.data.spare

    @property
    def sets(self) -> list[str]:
        """Names of all problem sets."""
        return list(self.data_sets)

    @property
    def evaluations(self) -> list[str]:
        """``<model>/<cell>/seed<s>`` of all that is evaluated: each base model and each cell."""
        bases = [f"{model}/base/seed0" for model in self.experiment.models.train]
        return bases + [cell.run for cell in self.cells]

    @property
    def analysed(self) -> list[str]:
        """The models whose internal policies are analysed, before or over a training."""
        models = self.experiment.models
        trained = models.train if self.experiment.analysis.snapshots else []
        return list(dict.fromkeys([*models.analyse, *trained]))

    @property
    def boundaries(self) -> list[str]:
        """The boundary files of all models that are analysed."""
        return [f"{self.folder}/entropy/{model}/boundary.json" for model in self.experiment.models.analyse]

    @property
    def shards(self) -> int:
        """Into how many jobs the entropy analysis of a model is cut."""
        return self.experiment.analysis.shards

    @property
    def flows(self) -> list[str]:
        """The entropy analysis over each training and of what it began with, if it is asked for."""
        if self.experiment.analysis.snapshots is None:
            return []
        return [f"{self.folder}/entropy/{run}/flow.parquet" for run in self.evaluations]

    @property
    def dones(self) -> list[str]:
        """The files that say that a cell is trained."""
        return [f"{self.folder}/runs/{cell.run}/done.json" for cell in self.cells]

    @property
    def summaries(self) -> list[str]:
        """The scores of everything on every benchmark."""
        return [
            f"{self.folder}/evaluation/{run}/{benchmark}/summary.json"
            for run in self.evaluations
            for benchmark in self.benchmarks
        ]

    @property
    def sampled_in_parts(self) -> bool:
        """Whether the samples of an evaluation are drawn by several jobs, and graded by one more."""
        return self.evaluation is not None and len(cut(self.evaluation)) > 1

    def samples(self, run: str, benchmark: str) -> list[str]:
        """The files with the samples of a run on a benchmark."""
        folder = Path(self.folder) / "evaluation" / run / benchmark
        return [str(shard.file(folder)) for shard in cut(self.evaluation)] if self.evaluation else []

    def table(self, model: str, problems: str) -> str:
        """A problem set in verl's schema with the prompts of a model."""
        return f"{self.folder}/data/verl/{model}/{problems}.parquet"

    def analysis_tables(self, model: str) -> list[str]:
        """The problem sets that the entropy analysis of a model answers."""
        return [self.table(model, name) for name in self.experiment.analysis.problems]

    def train_table(self, model: str, name: str) -> str:
        """The training problems of a cell."""
        return self.table(model, self._cell(model, name).train_set)

    def limit(self, problems: str) -> str:
        """The option that says how many problems of a set are used; empty for all."""
        limit = self.experiment.data.limits.get(problems)
        return f"--limit {limit}" if limit else ""

    def is_trained_on(self, problems: str) -> bool:
        """Whether a set is a training set, which is freed of leaks and of prompts that are too long."""
        return problems in self.train_sets

    @property
    def exports(self) -> list[str]:
        """What became of each training set for each model that it trains."""
        pairs = dict.fromkeys((cell.model, cell.train_set) for cell in self.cells)
        return [f"{self.folder}/data/verl/{model}/{name}.json" for model, name in pairs]

    def boundary(self, model: str, name: str) -> list[str]:
        """The boundary file that a cell's layer hangs on, if it does."""
        automatic = self._cell(model, name).layer == "auto"
        return [f"{self.folder}/entropy/{model}/boundary.json"] if automatic else []

    def configs(self, model: str) -> list[str]:
        """The configurations of a model's cells, which say the trained layer also where that is auto."""
        return [f"{self.folder}/runs/{cell.run}/config.yaml" for cell in self.cells if cell.model == model]

    def trained(self, run: str) -> str:
        """What must be there before a run can be evaluated: its training, or the base model."""
        model, name, _ = run.split("/")
        return (
            f"{self.folder}/models/{model}/model.json"
            if name == "base"
            else f"{self.folder}/runs/{run}/done.json"
        )

    def run_folder(self, run: str) -> str:
        """The folder of a run, or the file of the base model: what the analysis over a training looks at."""
        return self.trained(run).removesuffix("/done.json")

    @property
    def composed(self) -> str:
        """The folder of what the configurations of the cells are composed of."""
        return f"{self.folder}/spec/composed"

    @property
    def partial(self) -> str:
        """The folder of the report of a grid whose jobs failed, until it is finished."""
        return f"{self.folder}/report-partial"

    def settling(self) -> AbstractContextManager[None]:
        """Wait for other calls that write the experiment's specs or begin to run it, and let them wait."""
        return exclusive(f"{self.folder}/.settling")

    @property
    def is_running(self) -> bool:
        """Whether another process runs the experiment; for use while `settling`."""
        return is_held(f"{self.folder}/.lock")

    def hold(self) -> None:
        """Hold the experiment until this process ends; the kernel frees it, however the process dies.

        Raises:
            UserError: another process is running it.
        """
        lock = exclusive(f"{self.folder}/.lock", wait=False)
        try:
            lock.__enter__()
        except BlockingIOError:
            raise UserError(
                f"{self.folder}: another process is running the experiment {self.name}; wait for it."
            ) from None
        _HELD.append(lock)

    def _cell(self, model: str, name: str) -> Cell:
        return self._by_name[model, name]

    @cached_property
    def _by_name(self) -> dict[tuple[str, str], Cell]:
        return {(cell.model, cell.name): cell for cell in reversed(self.cells)}


_HELD: list[Any] = []

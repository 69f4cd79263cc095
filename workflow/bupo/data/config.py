"""What a problem set's file may say (``configs/data/<name>.yaml``), and the spec that the stage gets.

One YAML file adds a set; no code is needed when its form is one that `bupo.data.upstream` reads.
"""

from typing import Any, Literal

from pydantic import Field, PositiveInt, field_validator, model_validator

from bupo.validation import Strict

Form = Literal["auto", "json", "jsonl", "parquet", "tar", "folder"]
AnswerIn = Literal["field", "box", "hashes"]
Kind = Literal["local", "hub", "web", "generated"]


class Columns(Strict):
    """Where a row holds what; a dot goes into a nested column (``reward_model.ground_truth``).

    A column of chat messages (``prompt``) stands for the text of its last user message.

    Attributes:
        answer_in: ``field`` (the column is the answer), ``box`` (the last box of the column's text, as MATH
            has it) or ``hashes`` (what follows the last ``####``, as GSM8K has it).
    """

    problem: str = "problem"
    answer: str = "answer"
    answer_in: AnswerIn = "field"
    subject: str | None = None
    level: str | None = None
    solution: str | None = None


class Correction(Strict):
    """A known mistake in an upstream problem: the text ``find`` becomes ``replace``."""

    find: str = Field(min_length=1)
    replace: str


class Rows(Strict):
    """What is read from a source: which columns, which rows, and what is wrong in them.

    Attributes:
        where: column -> regular expression that its text must contain; ``upstream_file`` is a column too.
        corrections: known mistakes; the report says how many rows each has changed.
    """

    columns: Columns = Columns()
    where: dict[str, str] = Field(default_factory=dict)
    corrections: list[Correction] = Field(default_factory=list)

    @field_validator("where")
    @classmethod
    def _patterns(cls, where: dict[str, str]) -> dict[str, str]:
        import re

        for column, pattern in where.items():
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"the pattern for {column} is no regular expression ({error})") from None
        return where


class LocalSource(Rows):
    """Files of the experiment's data directory: one path or several, each a file, an archive or a folder."""

    path: list[str] = Field(min_length=1)
    form: Form = "auto"

    @field_validator("path", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value


class HubSource(Rows):
    """A dataset of the Hugging Face hub; a full commit hash as ``revision`` cannot change."""

    dataset: str
    revision: str
    split: str
    config: str | None = None


class WebSource(Rows):
    """One file on the web, for a set that the hub does not have; one with another hash is refused."""

    url: str = Field(pattern=r"^[a-z]+://")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    form: Form = "auto"


class GeneratedSource(Strict):
    """Problems that the project makes from a seed (default: the experiment's)."""

    generator: Literal["arithmetic"]
    split: Literal["warmup", "train", "heldout"]
    n: PositiveInt
    difficulty: Literal["easy", "hard", "mixed"]
    seed: int | None = None


class Minus(Strict):
    """Another set whose problems are taken out: MATH's 12,000 are its 12,500 minus MATH-500.

    Attributes:
        rows: how many rows must go; any other number stops the run.
    """

    rows: PositiveInt
    local: LocalSource | None = None
    hub: HubSource | None = None


class DataSet(Strict):
    """A problem set, with a section for each place it can come from.

    ``source: {kind: local, ...}`` is a short way to write a set with a single section.

    Attributes:
        rows: number of upstream rows (after ``where``) that is right; any other number stops the run.
        known_drops: number of rows that normalisation is known to drop; a benchmark with more or fewer stops
            the run, so that no score is over fewer problems than its reader thinks.
        instructions: texts glued to the problems, taken off beside those that are known anyway.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    role: Literal["train", "benchmark"]
    description: str = ""
    rows: PositiveInt | None = None
    known_drops: int = Field(default=0, ge=0)
    instructions: list[str] = Field(default_factory=list)
    local: LocalSource | None = None
    hub: HubSource | None = None
    web: WebSource | None = None
    generated: GeneratedSource | None = None
    minus: Minus | None = None

    @model_validator(mode="before")
    @classmethod
    def _sections(cls, values: Any) -> Any:
        if not isinstance(values, dict) or not isinstance(values.get("source"), dict):
            return values
        source = dict(values["source"])
        kind = source.pop("kind", None)
        if kind not in ("local", "hub", "web", "generated"):
            raise ValueError(f"source.kind is {kind!r}; local, hub, web or generated would be right")
        rest = {key: value for key, value in values.items() if key != "source"}
        if kind in rest:
            raise ValueError(f"the source is given twice, as source and as {kind}")
        return {**rest, kind: source}

    @model_validator(mode="after")
    def _sensible(self) -> "DataSet":
        if not (self.local or self.hub or self.web or self.generated):
            raise ValueError("a set needs at least one of local, hub, web, generated")
        if self.generated and (self.local or self.hub or self.web):
            raise ValueError("a generated set has no local, hub or web section")
        if self.role == "benchmark" and self.rows is None and self.generated is None:
            raise ValueError("a benchmark needs rows, the number of problems that is right")
        return self

    def kind(self, preferred: Literal["local", "hub"]) -> Kind:
        """Where this set comes from when the experiment prefers ``preferred``; the web stands in for the hub.

        Raises:
            ValueError: the file has no such section.
        """
        if self.generated:
            return "generated"
        if preferred == "hub" and self.hub is None and self.web is not None:
            return "web"
        if getattr(self, preferred) is None:
            other = "hub" if preferred == "local" else "local"
            raise ValueError(
                f"the set {self.name} has no {preferred} section; data.source: {other} would be right"
            )
        return preferred


class DataSpec(Strict):
    """What ``python -m bupo.data normalise`` gets: a set, resolved.

    Attributes:
        directory: folder that the paths of ``set.local`` are relative to.
        limit: keep only the first n problems (counted and told in the report).
    """

    set: DataSet
    source: Kind
    directory: str | None = None
    seed: int = 1
    limit: PositiveInt | None = None

    @model_validator(mode="after")
    def _section_is_there(self) -> "DataSpec":
        if getattr(self.set, self.source) is None:
            raise ValueError(f"the set {self.set.name} has no {self.source} section")
        if self.source == "local" and self.directory is None:
            raise ValueError("a local source needs directory, the folder that holds its files")
        if (
            self.set.minus
            and self.source != "generated"
            and getattr(self.set.minus, self.source, None) is None
        ):
            raise ValueError(f"minus of the set {self.set.name} has no {self.source} section")
        return self

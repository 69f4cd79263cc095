"""How far a whole run is, told after each job: Snakemake's log counts jobs but not how long still."""

import logging
import sys
import time
from collections import Counter
from collections.abc import Mapping
from typing import TextIO

from bupo.progress import duration

DEFAULT_SECONDS = 3.0


class Watch(logging.Handler):
    """Listens to Snakemake's log events and prints one line whenever a job ends.

    The estimate counts each job that is left with the seconds its rule took so far in this run, or else with
    those the experiment expects, spread over the cores; it is no shorter than the longest of them.

    Args:
        name: the experiment's name.
        expected: seconds of one job, by rule.
        cores: how many jobs run at a time.
        stream: where the lines go; stderr by default.
    """

    def __init__(
        self, name: str, expected: Mapping[str, float], cores: int, stream: TextIO | None = None
    ) -> None:
        super().__init__()
        self.name_, self.expected, self.cores, self.stream = (
            name,
            expected,
            max(cores, 1),
            stream or sys.stderr,
        )
        self.start = time.monotonic()
        self.planned: Counter[str] = Counter()
        self.rule_of: dict[int, str] = {}
        self.started: dict[int, float] = {}
        self.took: dict[str, list[float]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Take one event of Snakemake's log."""
        event, now = str(getattr(record, "event", "")), time.monotonic()
        if event == "run_info":
            self.planned = Counter(
                {rule: count for rule, count in record.stats.items() if rule not in ("total", "all")}  # type: ignore[attr-defined]
            )
        elif event == "job_info":
            self.rule_of[record.jobid] = record.rule_name  # type: ignore[attr-defined]
            self.started[record.jobid] = now  # type: ignore[attr-defined]
        elif event == "job_finished" and record.job_id in self.started:  # type: ignore[attr-defined]
            job = record.job_id  # type: ignore[attr-defined]
            self.took.setdefault(self.rule_of[job], []).append(now - self.started.pop(job))
            if self.rule_of[job] != "all":
                print(self.line(now), file=self.stream, flush=True)

    def line(self, now: float) -> str:
        """One line: jobs done, time so far, time left, what runs."""
        done = sum(len(times) for rule, times in self.took.items() if rule != "all")
        total = sum(self.planned.values())
        text = f"[{self.name_}] {done}/{total} jobs after {duration(now - self.start)}"
        if done >= total:
            return text
        running = Counter(self.rule_of[job] for job in self.started)
        names = ", ".join(f"{rule} x {count}" if count > 1 else rule for rule, count in running.items())
        return f"{text}, about {duration(self.seconds_left(now))} left" + (
            f"; running: {names}" if names else ""
        )

    def seconds_left(self, now: float) -> float:
        """Seconds until all jobs are done, by the measured or expected time of each rule."""
        work = sum(
            self.seconds_of(rule) * (count - len(self.took.get(rule, ())))
            for rule, count in self.planned.items()
        )
        running = [
            (min(now - begun, self.seconds_of(self.rule_of[job])), self.seconds_of(self.rule_of[job]))
            for job, begun in self.started.items()
        ]
        work -= sum(spent for spent, _ in running)
        under_way = Counter(self.rule_of[job] for job in self.started)
        each = [whole - spent for spent, whole in running]
        each += [
            self.seconds_of(rule)
            for rule, count in self.planned.items()
            if count > len(self.took.get(rule, ())) + under_way[rule]
        ]
        return max(work / self.cores, *each, 0.0)

    def seconds_of(self, rule: str) -> float:
        """Seconds of one job of a rule: the mean so far, or else what the experiment expects."""
        times = self.took.get(rule)
        return sum(times) / len(times) if times else self.expected.get(rule, DEFAULT_SECONDS)

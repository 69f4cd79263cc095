"""Where the numbers come from: versions, configurations, models."""

import platform
from importlib import metadata

from bupo.report.records import Results

PACKAGES = (
    "bupo",
    "torch",
    "transformers",
    "verl",
    "lm_eval",
    "math-verify",
    "vllm",
    "ray",
    "numpy",
    "mlflow",
)


def versions() -> dict[str, str]:
    """Versions in the environment that wrote the report; ``not installed`` where there is none."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def hashes(results: Results) -> list[tuple[str, str]]:
    """What to compare when a number has to be repeated: (what, SHA-256 or commit)."""
    found = [("experiment.yaml", results.experiment_sha256)]
    for run in results.runs:
        found += [(f"configuration of {run.name}", run.config_sha256)] if run.config_sha256 else []
        found += [(f"code that trained {run.name}", commit) for commit in run.commits]
    found += [
        (f"{model.name}: {file}", sha) for model in results.models for file, sha in model.sha256.items()
    ]
    return found

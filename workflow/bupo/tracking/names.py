"""Names that MLflow takes."""

import re


def metric_name(name: str) -> str:
    """``name`` with what MLflow refuses in names replaced."""
    return re.sub(r"[^/\w.\- :]", "_", name.replace("@", "_at_"))

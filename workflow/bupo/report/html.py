"""The page's templates: HTML with everything inside it."""

from jinja2 import Environment, PackageLoader, StrictUndefined

from bupo.progress import duration
from bupo.report.provenance import in_line
from bupo.report.tables import mean_label
from bupo.report.words import interval, nats, p_value, percent, points, root_points, span

NOT_RECORDED = "not recorded"


def environment() -> Environment:
    """The templates with the filters that show numbers; an unknown name in one is an error."""
    made = Environment(
        loader=PackageLoader("bupo.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "percent": percent,
        "points": points,
        "interval": interval,
        "span": span,
        "p": p_value,
        "nats": nats,
        "root_points": root_points,
        "duration": lambda seconds: NOT_RECORDED if seconds is None else duration(seconds),
        "hours": lambda seconds: NOT_RECORDED if seconds is None else f"{seconds / 3600:,.3g}",
        "heading": mean_label,
        "in_line": in_line,
    }
    return made

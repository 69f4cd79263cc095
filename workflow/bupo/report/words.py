"""Numbers as a person reads them."""

from bupo.report.compare import Comparison
from bupo.report.records import Estimate


def points(share: float | None, digits: int = 1) -> str:
    """A difference of shares in percentage points, signed, with a real minus sign."""
    return "–" if share is None else f"{100 * share:+.{digits}f}".replace("-", "−")


def span(estimate: Estimate) -> str:
    """The interval of a difference, in percentage points."""
    return f"{points(estimate.low)} to {points(estimate.high)}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share in percent; a dash where there is none."""
    return "–" if share is None else f"{100 * share:.{digits}f}"


def interval(estimate: Estimate) -> str:
    """The interval of a share, in percent."""
    return f"{percent(estimate.low)} to {percent(estimate.high)}"


def root_points(variance: float | None) -> str:
    """A part of a variance as a standard deviation in percentage points."""
    return "–" if variance is None else f"{100 * variance**0.5:.1f}"


def nats(value: float) -> str:
    """A signed entropy difference."""
    return f"{value:+.3f}".replace("-", "−")


def p_value(value: float) -> str:
    """A p-value for a table."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def in_words(comparison: Comparison) -> str:
    """A comparison in one line: difference, interval, n, corrected p-value, verdict."""
    return (
        f"{points(comparison.difference.value)} points ({span(comparison.difference)}) against "
        f"{comparison.against}, {comparison.n_problems} problems, "
        f"p {p_value(comparison.corrected)} corrected: {comparison.words}"
    )

"""What the sections of data and of examples show, as a browser has it."""

import re
from html import unescape

import pytest

from bupo.report.html import environment


@pytest.fixture(scope="module")
def section(demo):
    """The HTML of one section."""
    html = (demo / "report/index.html").read_text()

    def found(name: str) -> str:
        start = html.index(f'<section id="{name}">')
        return html[start : html.index("</section>", start)]

    return found


def rows(html: str, label: str) -> list[list[str]]:
    """The texts of a table, its heading first."""
    start = html.index(f'aria-label="{label}"')
    table = html[start : html.index("</table>", start)]
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S) for row in table.split("<tr")[1:]]
    return [[unescape(re.sub(r"<.*?>", "", cell)).strip() for cell in row] for row in cells]


def test_rows_of_every_set_are_accounted_for(section):
    head, *sets = rows(section("data"), "Problem sets")
    assert head == ["Set", "role", "upstream", "left out", "dropped", "kept", "reasons", "source"]
    assert sets == [
        ["arithmetic", "train", "515", "0", "3", "512", "duplicate: 3", "generated, seed 1"],
        ["arithmetic_easy", "benchmark", "100", "0", "0", "100", "–", "generated, seed 1"],
        ["arithmetic_hard", "benchmark", "100", "0", "0", "100", "–", "generated, seed 1"],
    ]
    reasons = "prompt longer than 64 tokens: 10; leak: 2"
    assert rows(section("data"), "Training rows")[1:] == [
        ["arithmetic", "tiny_qwen3", "2000", "1988", reasons]
    ]


def test_benchmark_problems_in_training_sets_are_told(section):
    head, *pairs = rows(section("data"), "Problems in training sets")
    assert head[3:] == ["inside", "removed from training", "to look at"]
    assert pairs == [
        ["arithmetic", "arithmetic_easy", "100", "0", "0", "4"],
        ["arithmetic", "arithmetic_hard", "100", "2", "2", "6"],
    ]


def test_of_many_runs_without_a_curve_the_first_are_named():
    section = environment().get_template("section_training.html.jinja")

    def told(runs: int) -> str:
        missing = {"Reward": [f"r{number}" for number in range(runs)], "Length": []}
        html = section.render(collapsed=[], figures={"training": []}, unrecorded=missing, most_named=3)
        return " ".join(re.findall(r'<p class="small">(.*?)</p>', html))

    assert told(3) == "Reward: not recorded for r0, r1, r2."
    assert told(5) == "Reward: not recorded for r0, r1, r2 and 2 more."


def test_the_first_word_that_differs_from_the_bases_is_marked(section):
    html = section("examples")
    examples = html.split('<article class="example">')[1:]
    assert len(examples) == 3
    marked = 0
    for example in examples:
        status = re.findall(r'<div class="small">(.*?)</div>', example)
        responses = re.findall(
            r'<pre tabindex="0"><span class="shared">(.*?)</span>(?:<mark>(.*?)</mark>)?(.*?)</pre>',
            example,
            re.S,
        )
        assert len(responses) == len(status) == 4
        base = "".join(responses[0])
        assert responses[0][:2] == ("", ""), "the base is what others are set beside"
        for (shared, first, rest), told in zip(responses[1:], status[1:], strict=True):
            assert shared and base.startswith(shared)
            assert (first == "") == told.endswith("; the same text") == (shared + rest == base)
            if first:
                marked += 1
                assert shared.endswith(" ") and not base[len(shared) :].startswith(first)
    assert marked

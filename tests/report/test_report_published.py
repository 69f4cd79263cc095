"""The paper's numbers beside ours."""

import dataclasses

import pytest
from results_tree import Scenario, make_tree

from bupo.published.tables import published_tables, reference
from bupo.report.analysis import analyse
from bupo.report.beside import footnotes, published_table
from bupo.report.cells import MEAN
from bupo.report.collect import collect
from bupo.report.page import write_report
from bupo.report.records import Estimate

FOUR = {"amc23": 0.6, "math500": 1.3, "aime24": -1.2, "aime25": -1.6}
SCENARIO = Scenario(
    skill={"base": 0.0, "grpo": 0.5, "bupo-k6-s30": 0.9, "bupo-k2-s4": 0.5},
    models=("qwen3_4b", "tiny_llama"),
    benchmarks=FOUR,
    problems=30,
    samples=4,
    snapshots=None,
)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    return make_tree(tmp_path_factory.mktemp("published"), SCENARIO)


@pytest.fixture(scope="module")
def analysis(experiment):
    return analyse(collect(experiment))


def test_ours_stand_beside_the_same_cell_of_the_paper(analysis):
    main = {(r.cell.name, r.score.benchmark): r for r in analysis.published if r.row.table == "main"}
    assert {cell for cell, _ in main} == {"base", "grpo", "bupo-k6-s30"}, (
        "the paper has no layer 2 with 4 steps"
    )
    row = main["grpo", "math500"]
    (printed,) = [
        r.scores["math500"]
        for r in published_tables()["main"].rows
        if (r.model, r.method) == ("qwen3_4b", "grpo")
    ]
    assert row.printed.share == pytest.approx(printed / 100)
    assert row.difference == pytest.approx(row.score.avg.value - printed / 100)
    assert (
        any(note.startswith("Our run: trained on arithmetic") for note in row.notes)
        and not row.row.comparable
    )


def test_inside_is_told_of_each_interval(analysis):
    row = next(r for r in analysis.published if r.score.benchmark == "amc23")
    share = row.printed.share

    def inside(low, high, decoding):
        score = dataclasses.replace(
            row.score, avg=Estimate(0.5, low, high), decoding=Estimate(0.5, *decoding), over_seeds=None
        )
        return dataclasses.replace(row, score=score).inside

    assert inside(share - 0.1, share + 0.1, (share, share)) == {"problems": True, "decoding": True}
    assert inside(share + 0.01, share + 0.1, (0.0, share - 0.01)) == {"problems": False, "decoding": False}


def test_the_papers_mean_is_set_beside_a_mean_over_its_benchmarks_only(analysis, tmp_path):
    assert set(reference().evaluation.samples) == set(FOUR)
    assert any(row.score.benchmark == MEAN for row in analysis.published)
    fewer = dataclasses.replace(SCENARIO, benchmarks={"amc23": 0.6, "math500": 1.3}, problems=10)
    other = analyse(collect(make_tree(tmp_path, fewer)))
    assert {row.score.benchmark for row in other.published} == {"amc23", "math500"}


def test_footnotes_are_told_once_and_linked(experiment, analysis, tmp_path):
    notes = footnotes(analysis.published)
    assert list(notes.values()) == list(range(1, len(notes) + 1))
    write_report(experiment, tmp_path / "report", tmp_path / "summary.json")
    html = (tmp_path / "report/index.html").read_text()
    for number in notes.values():
        assert html.count(f'id="note-{number}"') == 1 and f'href="#note-{number}"' in html
    table = published_table(analysis.published)
    assert (tmp_path / "report/tables/published.csv").read_text() == table.as_csv()
    assert {len(row) for row in table.rows} == {len(table.columns)}


def test_a_model_that_the_paper_does_not_have_has_no_such_section(demo):
    html = (demo / "report/index.html").read_text()
    assert 'id="published"' not in html and "#published" not in html

"""What an experiment plans for samples that are drawn by one job or by several."""

import pytest

from bupo.errors import UserError
from bupo.evaluation.config import read_decoding
from bupo.experiment.resolve import plan_of, resolve
from bupo.files import read_yaml

BENCHMARK = ("tiny_qwen3/base/seed0", "arithmetic_easy")
FOLDER = "results/demo/evaluation/tiny_qwen3/base/seed0/arithmetic_easy"


def change(project, old, new):
    path = project / "configs/evaluation/demo.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def plan(project):
    return plan_of("demo", [], project / "configs")


def spec_times(project):
    resolve({"experiment": "demo"}, project / "configs")
    return {
        path.parent.name: path.stat().st_mtime_ns
        for path in project.glob("results/demo/spec/*/tiny_qwen3.yaml")
    }


def test_one_job_draws_and_grades(project):
    assert not plan(project).sampled_in_parts
    assert plan(project).samples(*BENCHMARK) == [f"{FOLDER}/shard-1-of-1-samples-0-7.parquet"]


def test_parts_of_problems_times_ranges_of_samples(project):
    change(project, "{problems: 1, samples: null}", "{problems: 2, samples: 5}")
    assert plan(project).sampled_in_parts
    assert plan(project).samples(*BENCHMARK) == [
        f"{FOLDER}/shard-{part}-of-2-samples-{numbers}.parquet"
        for numbers in ("0-4", "5-7")
        for part in (1, 2)
    ]


def test_more_samples_leave_the_files_of_the_first_ones(project):
    change(project, "{problems: 1, samples: null}", "{problems: 2, samples: 4}")
    before = plan(project).samples(*BENCHMARK)
    change(project, "samples: 8 ", "samples: 12 ")
    assert set(before) < set(plan(project).samples(*BENCHMARK))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("samples: 8 ", "samples: 12 "),
        ("grader: math_verify", "grader: string"),
        ("pass_at_k: [1, 2, 4, 8]", "pass_at_k: [1]"),
        ("{problems: 1, samples: null}", "{problems: 3, samples: 2}"),
    ],
)
def test_what_no_sample_hangs_on_is_not_in_the_spec_of_the_sampling(project, old, new):
    before = spec_times(project)
    change(project, old, new)
    after = spec_times(project)
    assert {name for name in after if after[name] != before[name]} == {"evaluation"}


def test_another_temperature_is_in_both_specs(project):
    before = spec_times(project)
    change(project, "temperature: 1.0", "temperature: 0.6")
    after = spec_times(project)
    assert {name for name in after if after[name] != before[name]} == {"evaluation", "sampling"}
    spec = project / "results/demo/spec/sampling/tiny_qwen3.yaml"
    assert read_decoding(spec).temperature == 0.6 and "samples" not in read_yaml(spec)


def test_a_cut_that_there_is_not_is_refused(project):
    change(project, "{problems: 1, samples: null}", "{problems: 0}")
    with pytest.raises(UserError, match=r"configs/evaluation/demo\.yaml: shards\.problems = 0"):
        plan(project)

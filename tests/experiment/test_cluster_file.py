"""What configs/cluster.yaml may say, and that Snakemake's executor for Slurm takes what comes of it."""

import shlex
from types import SimpleNamespace

import pytest
from cluster_file import change
from snakemake.iocontainers import ResourceList
from snakemake_executor_plugin_slurm.submit_string import get_submit_command
from snakemake_executor_plugin_slurm.validation import get_forbidden_slurm_options, validate_slurm_extra

from bupo.errors import UserError
from bupo.experiment.cluster import load_cluster
from bupo.experiment.resolve import plan_of
from bupo.experiment.resources import KINDS
from bupo.files import read_yaml

ON_GPUS = ["training.engine=gpu", "models.train=[qwen3_4b]", "models.analyse=[qwen3_4b]"]
TWO_NODES = 'training.overrides=["trainer.nnodes=2"]'
OWN = {"name": "hopper", "gpu": "h100", "max_hours": 20, "qos": "long", "constraint": "nvlink&ib"}


def submission(project, rule, *overrides, model="qwen3_4b"):
    """The words of sbatch that the executor makes of a job, once it has found no fault with it."""
    asked = plan_of("demo", [*ON_GPUS, *overrides], project / "configs").resources.of(rule, model)
    job = SimpleNamespace(resources=ResourceList(fromdict=asked), threads=1)
    validate_slurm_extra(job)
    words = dict.fromkeys(("run_uuid", "slurm_logfile", "comment_str", "account", "partition", "workdir"), "")
    return shlex.split(get_submit_command(job, words))


def refusal(project):
    with pytest.raises(UserError) as error:
        load_cluster(project / "configs")
    return str(error.value).removeprefix(f"{project}/configs/cluster.yaml: ")


def test_qos_and_constraint_have_keys_of_their_own(project):
    change(project, "partitions", "gpu", to={"qos": "high", "constraint": "nvlink", "options": "--exclusive"})
    for rule in KINDS:
        words = submission(project, rule)
        if KINDS[rule] in ("entropy", "train", "sample"):
            assert "--qos=high" in words and words[words.index("-C") + 1] == "nvlink"
            assert "--exclusive" in words
        else:
            assert not {"--qos=high", "-C", "--exclusive"} & set(words)


def test_the_executor_takes_what_several_nodes_ask_for(project):
    words = submission(project, "train", TWO_NODES)
    assert {"--nodes=2", "--ntasks-per-node=1", "--open-mode=append"} <= set(words)


def samples(pattern):
    """Words that a pattern of the executor finds."""
    for part in pattern.split("|"):
        yield part.replace(r"[=\s]", "=4").replace(r"\s?", "4").replace(r"\s", " 4")


@pytest.mark.parametrize(
    "words",
    [
        *(words for pattern in get_forbidden_slurm_options() for words in samples(pattern)),
        *("-pgpu", "-A lab", "-q high", "-qhigh", "-N2", "-G 4", "--gpus-per-node=4", "-t1:00"),
    ],
)
def test_what_the_executor_refuses_is_refused_when_the_file_is_read(project, words):
    change(project, "partitions", "gpu", "options", to=f"--exclusive {words} --spread-job")
    said = refusal(project)
    assert said.startswith(f"partitions.gpu.options = '--exclusive {words} --spread-job': -")
    assert " cannot be among the options; " in said


def test_every_pattern_of_the_executor_is_known(project):
    from bupo.experiment.cluster import FORBIDDEN

    assert get_forbidden_slurm_options().keys() <= FORBIDDEN.keys()


def test_a_refused_option_has_its_key(project):
    change(project, "partitions", "gpu", "options", to="--qos=high --constraint=nvlink")
    assert refusal(project) == (
        "partitions.gpu.options = '--qos=high --constraint=nvlink': "
        "--qos cannot be among the options; qos would be right."
    )


@pytest.mark.parametrize("options", ["", "--exclusive", "--mail-type=FAIL --nodelist=n[1-4] --reservation=r"])
def test_other_options_are_sbatchs(project, options):
    change(project, "partitions", "gpu", "options", to=options)
    assert set(shlex.split(options)) <= set(submission(project, "train"))


def test_a_job_may_go_elsewhere_than_others_of_its_size(project):
    change(project, "account", to="lab")
    change(project, "partitions", "gpu", to={"name": "ampere", "gpu": "a100", "qos": "high"})
    change(project, "partitions", "h100", to=OWN)
    job = read_yaml(project / "configs/cluster.yaml")["sizes"]["4b"]["train"]
    change(project, "sizes", "4b", "train", to={**job, "partition": "h100", "account": "big"})
    resources = plan_of("demo", ON_GPUS, project / "configs").resources
    first, second = (resources.of("train", "qwen3_4b", attempt) for attempt in (1, 2))
    assert (first["slurm_partition"], first["gres"], first["slurm_account"]) == (
        "hopper",
        "gpu:h100:8",
        "big",
    )
    assert (first["qos"], first["constraint"], second["runtime"]) == ("long", "nvlink&ib", 20 * 60)
    words = submission(project, "train")
    assert words[words.index("-C") + 1] == "nvlink&ib"
    other = resources.of("sample", "qwen3_4b")
    assert (other["slurm_partition"], other["gres"], other["slurm_account"]) == (
        "ampere",
        "gpu:a100:1",
        "lab",
    )
    assert other["qos"] == "high" and "constraint" not in other
    change(project, "sizes", "4b", "train", to={**job, "partition": "h100", "qos": "short"})
    assert plan_of("demo", ON_GPUS, project / "configs").resources.of("train", "qwen3_4b")["qos"] == "short"


def test_snakemake_gets_a_function_where_models_go_to_different_places(project):
    change(project, "partitions", "h100", to=OWN)
    job = read_yaml(project / "configs/cluster.yaml")["sizes"]["8b"]["train"]
    change(project, "sizes", "8b", "train", to={**job, "partition": "h100"})
    both = ["models.train=[qwen3_4b,qwen3_8b]", "models.analyse=[]", "training.engine=gpu"]
    overrides = [*both, "grid=[{method: grpo, model: [qwen3_4b, qwen3_8b]}]"]
    found = plan_of("demo", overrides, project / "configs").resources.by_job("train")
    names = [found["slurm_partition"](SimpleNamespace(model=m), 1) for m in ("qwen3_4b", "qwen3_8b")]
    assert names == [None, "hopper"]


@pytest.mark.parametrize(
    ("keys", "value", "said"),
    [
        (("small", "mem"), 8, "small.mem is not a known key; known here are: cpus, mem_gb"),
        (
            ("partitions", "gpu", "kind"),
            8,
            "partitions.gpu.kind is not a known key; known here are: name, gpu",
        ),
        (("sizes", "4b", "trian"), {}, "sizes.4b.trian is not a known key; known here are: model, entropy"),
        (("sizes", "4b", "train", "cpus"), 0, "sizes.4b.train.cpus = 0"),
        (("partitions", "gpu", "gpu"), "a100:8", "partitions.gpu.gpu = 'a100:8'"),
        (
            ("partitions", "gpu", "options"),
            "--x='",
            'partitions.gpu.options = "--x=\'": no closing quotation.',
        ),
        (("sizes",), {}, "sizes = {}"),
        (
            ("partitions", "gpus"),
            {"name": "a100"},
            "partitions.gpus is named by no job; it should be cpu, gpu",
        ),
        (
            ("partitions", "h100"),
            {"gpu": "h100"},
            "partitions.h100.name is missing; it should be one that sinfo",
        ),
        (
            ("small", "partition"),
            "h100",
            "small.partition = 'h100' is not in partitions; it has: cpu, gpu.",
        ),
    ],
)
def test_a_mistake_in_the_file_is_one_sentence(project, keys, value, said):
    change(project, *keys, to=value)
    assert refusal(project).startswith(said)

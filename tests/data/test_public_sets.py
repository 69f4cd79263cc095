"""The real public files: every form is read, counts are right, independent copies agree."""

import json
import subprocess
import sys

import pytest
import yaml

from bupo.data.config import DataSet, DataSpec
from bupo.data.keys import exact_key, letters_key
from bupo.data.normalise import normalise
from bupo.errors import UserError

VERL = {"problem": "prompt", "answer": "reward_model.ground_truth"}

# Set -> rows upstream, rows in normal form.
COUNTS = {
    "math500": (500, 500),
    "amc23": (40, 40),
    "aime24": (30, 30),
    "aime25": (30, 30),
    "aime22": (90, 30),
    "aime23": (90, 30),
    "amc_2022_2023": (83, 83),
    "aime_1983_2023": (975, 975),
    "minerva": (272, 272),
    "olympiadbench": (675, 675),
    "gsm8k": (1319, 1319),
}
SLOW_COUNTS = {
    "math": (12500, 7491),
    "math_parquet": (7500, 7491),
    "math12k": (12500, 11985),
    "deepscaler": (40315, 38602),
    "deepmath5k": (5000, 4998),
}


def configured(root, shared_data, name):
    data = DataSet.model_validate(yaml.safe_load((root / "configs" / "data" / f"{name}.yaml").read_text()))
    return DataSpec(set=data, source="local", directory=str(shared_data))


def copy_of(shared_data, rows, path, columns=None, where=None):
    local = {"path": path, "columns": columns or {}, "where": where or {}}
    data = {"name": "copy", "role": "benchmark", "rows": rows, "local": local}
    return normalise(
        DataSpec.model_validate({"set": data, "source": "local", "directory": str(shared_data)})
    )[0]


def check_counts(root, shared_data, name, upstream, kept):
    problems, report = normalise(configured(root, shared_data, name))
    rows = report["rows"]
    assert (rows["upstream"], rows["kept"], len(problems)) == (upstream, kept, kept)
    assert rows["upstream"] == sum(
        rows[k] for k in ("not_selected", "minus", "dropped", "over_limit", "kept")
    )
    assert len(report["dropped"]) == rows["dropped"]
    assert all(entry["reason"] for entry in report["dropped"])
    assert all(p.answer and p.problem and p.gold in ("integer", "read", "unreadable") for p in problems)
    return problems, report


@pytest.mark.parametrize("name", COUNTS)
def test_counts(root, shared_data, name):
    check_counts(root, shared_data, name, *COUNTS[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW_COUNTS)
def test_counts_of_large_sets(root, shared_data, name):
    check_counts(root, shared_data, name, *SLOW_COUNTS[name])


def test_both_forms_of_math_are_one_set(root, shared_data, monkeypatch):
    monkeypatch.setattr("bupo.data.answers.Answers.status", lambda self, answer: "integer")
    ours, _ = normalise(configured(root, shared_data, "math"))
    theirs, _ = normalise(configured(root, shared_data, "math_parquet"))
    first = {exact_key(p.problem): p for p in ours}
    second = {exact_key(p.problem): p for p in theirs}
    assert first.keys() == second.keys()
    differ = [(first[k].answer, second[k].answer) for k in first if first[k].answer != second[k].answer]
    assert len(differ) <= 12  # answers in several boxes, of which the parquet form has the last only
    assert all(theirs in ours or exact_key(theirs) == exact_key(ours) for ours, theirs in differ), differ


@pytest.mark.parametrize(
    "path", ["deepscaler/dsr_sub.parquet", "deepscaler/metareason_deepscaler_803.json"], ids=["verl", "list"]
)
def test_parts_of_deepscaler(shared_data, path, monkeypatch):
    monkeypatch.setattr("bupo.data.answers.Answers.status", lambda self, answer: "read")
    local = {"path": path, "columns": VERL if path.endswith("parquet") else {}}
    data = {"name": "part", "role": "train", "local": local}
    problems, report = normalise(
        DataSpec.model_validate({"set": data, "source": "local", "directory": str(shared_data)})
    )
    assert report["rows"]["upstream"] in (1209, 803)
    assert len(problems) > 0.95 * report["rows"]["upstream"]
    assert not any("step by step and output" in p.problem for p in problems)


AIME24 = [
    ("aime24/bupo_aime_2024.parquet", VERL, None),
    ("aime24/deepscaler_test_aime.json", None, None),
    ("aime24/nemo_skills_test.txt", {"answer": "expected_answer"}, None),
    ("aime22_24/aimo-validation-aime.jsonl", {"problem": "question"}, {"url": "2024_AIME"}),
]
AIME25 = [
    ("aime25/bupo_aime_2025.parquet", VERL, None),
    ("aime25/evalchemy_aime25.json", None, None),
    ("aime25/nemo_skills_test.txt", {"answer": "expected_answer"}, None),
]
AMC23 = [("amc23/bupo_amc2023.parquet", VERL, None), ("amc23/hf_raw_test-00000-of-00001.parquet", None, None)]


@pytest.mark.parametrize(
    ("name", "copy"),
    [("aime24", c) for c in AIME24] + [("aime25", c) for c in AIME25] + [("amc23", c) for c in AMC23],
)
def test_independent_copies_have_the_same_golds(root, shared_data, name, copy):
    ours, _ = normalise(configured(root, shared_data, name))
    theirs = copy_of(shared_data, len(ours), *copy)
    assert sorted(p.answer for p in ours) == sorted(p.answer for p in theirs)
    by_key = {letters_key(p.problem): p for p in ours}
    common = [p for p in theirs if letters_key(p.problem) in by_key]
    assert len(common) >= len(ours) // 3
    assert all(by_key[letters_key(p.problem)].answer == p.answer for p in common)


@pytest.mark.parametrize(
    ("path", "columns"),
    [
        ("math500/bupo_math500.parquet", VERL),
        ("math500/bupo_math_test_cleaned.json", {"answer": "expected_answer"}),
    ],
)
def test_copies_of_math500_agree(root, shared_data, path, columns):
    from bupo.data.answers import Answers

    ours, _ = normalise(configured(root, shared_data, "math500"))
    theirs = copy_of(shared_data, 500, path, columns)
    by_key = {exact_key(p.problem): p.answer for p in ours}
    assert by_key.keys() == {exact_key(p.problem) for p in theirs}
    with Answers() as answers:
        differ = [(by_key[exact_key(p.problem)], p.answer) for p in theirs]
        differ = [pair for pair in differ if not answers.same(*pair)]
    assert differ == []


def test_the_known_wrong_wording_is_corrected(root, shared_data):
    ours, report = normalise(configured(root, shared_data, "aime24"))
    assert list(report["repairs"]["corrections"].values()) == [1]
    (torus,) = (p for p in ours if "orus" in p.problem and p.answer == "127")
    right = copy_of(shared_data, 30, "aime24/deepscaler_test_aime.json")
    (sound,) = (p for p in right if p.answer == "127")
    assert letters_key(torus.problem) == letters_key(sound.problem)


def test_the_broken_aime25_is_refused(root, shared_data, tmp_path):
    data = yaml.safe_load((root / "configs" / "data" / "aime25.yaml").read_text())
    data["local"] = {"path": "aime25/bupo_aime_2025_BROKEN_959213b.parquet", "columns": VERL}
    spec = {"set": data, "source": "local", "directory": str(shared_data)}
    with pytest.raises(UserError, match="has 1 row; rows: 30"):
        normalise(DataSpec.model_validate(spec))
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec))
    arguments = {"--spec": "spec.yaml", "--out": "o.parquet", "--report": "o.json"}
    command = [sys.executable, "-m", "bupo.data", "normalise"]
    for option, name in arguments.items():
        command += [option, str(tmp_path / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["spec.yaml"]


@pytest.mark.slow
def test_contamination_of_the_real_sets(root, shared_data, monkeypatch):
    from bupo.data.answers import Answers
    from bupo.data.contamination import report

    monkeypatch.setattr("bupo.data.answers.Answers.status", lambda self, answer: "read")

    def load(*names):
        return {name: normalise(configured(root, shared_data, name))[0] for name in names}

    with Answers() as answers:
        found = report(
            load("math", "deepscaler"),
            load("math500", "aime24", "aime25", "amc23"),
            load("aime22", "aime23"),
            answers.same,
        )
    inside = {(pair["train"], pair["benchmark"]): pair["inside"] for pair in found["pairs"]}
    assert inside["deepscaler", "aime22"] >= 29
    assert inside["deepscaler", "aime23"] == 30
    assert inside["deepscaler", "math500"] == 8
    assert inside["math", "math500"] == 0
    assert all(inside["deepscaler", name] == 0 for name in ("aime24", "aime25", "amc23"))
    assert json.dumps(found)


@pytest.mark.slow
def test_common_shapes_are_read_by_the_parser(root, shared_data):
    from bupo.data.simple import is_simple
    from bupo.grading import Grader

    answers = set()
    for name in ("math500", "olympiadbench", "minerva", "math"):
        answers |= {p.answer for p in normalise(configured(root, shared_data, name))[0] if p.gold == "read"}
    simple = [answer for answer in answers if is_simple(answer)]
    assert len(simple) > len(answers) / 2
    with Grader("math_verify") as grader:
        assert [answer for answer in simple if not grader.can_read(answer)] == []

"""From upstream rows to the normal form: nothing is lost without a reason, ids are stable, twice is once."""

import json
import random
import subprocess
import sys

import pyarrow.parquet
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bupo.data.config import DataSpec
from bupo.data.normal import read_normal, write_normal
from bupo.data.normalise import normalise
from bupo.errors import UserError

ROWS = [
    {
        "problem": "What is 1+1? Please reason step by step.",
        "answer": "02",
        "level": "Level 2",
        "kind": "easy",
    },
    {"problem": "What is 1 + 1?", "answer": "2", "level": "Level ?", "kind": "easy"},
    {"problem": "What is $2\times 3$?", "answer": "$6$.", "level": None, "kind": "easy"},
    {"problem": "What is half?", "answer": r"\frac{1}{2}", "level": 3, "kind": "hard"},
    {"problem": "Who?", "answer": "", "level": 3, "kind": "hard"},
    {"problem": " ", "answer": "4", "level": 3, "kind": "hard"},
    {"problem": "Contradiction", "answer": "4", "level": 3, "kind": "hard"},
    {"problem": "Contradiction", "answer": "5", "level": 3, "kind": "hard"},
    {"problem": "Which gibberish?", "answer": "}}{{", "level": 3, "kind": "hard"},
]


def spec(folder, rows=ROWS, limit=None, columns=None, where=None, right=None, **changes):
    (folder / "rows.json").write_text(json.dumps(rows))
    local = {"path": "rows.json", "columns": {"level": "level", **(columns or {})}, "where": where or {}}
    data = {"name": "set", "role": "train", "rows": right, "local": local, **changes}
    return DataSpec.model_validate({"set": data, "source": "local", "directory": str(folder), "limit": limit})


def accounted(report):
    rows = report["rows"]
    return rows["not_selected"] + rows["minus"] + len(report["dropped"]) + rows["over_limit"] + rows["kept"]


def test_everything_at_once(tmp_path):
    problems, report = normalise(spec(tmp_path))
    by_row = {p.upstream_row: p for p in problems}
    assert sorted(by_row) == [1, 2, 3, 8]
    assert (by_row[2].problem, by_row[2].answer, by_row[2].level) == (r"What is $2\times 3$?", "6", "")
    assert (by_row[1].gold, by_row[3].gold, by_row[8].gold) == ("integer", "read", "unreadable")
    assert by_row[3].level == "3"
    assert {d["row"]: d["reason"] for d in report["dropped"]} == {
        0: f"duplicate of {by_row[1].id}",
        4: "no answer",
        5: "no problem text",
        6: "duplicates with conflicting answers",
        7: "duplicates with conflicting answers",
    }
    assert report["rows"] == {
        "upstream": 9,
        "not_selected": 0,
        "minus": 0,
        "dropped": 5,
        "over_limit": 0,
        "kept": 4,
    }
    assert report["repairs"]["problem"] == {"eaten_backslash": 1, "instruction": 1}
    assert report["unreadable"] == [{"id": by_row[8].id, "answer": "}}{{"}]
    assert list(report["source"]["files"]) == ["rows.json"]


def test_limit_where_and_minus_are_counted(tmp_path):
    _, report = normalise(spec(tmp_path, limit=2))
    assert (report["rows"]["over_limit"], report["rows"]["kept"]) == (2, 2)
    assert accounted(report) == 9
    _, report = normalise(spec(tmp_path, where={"kind": "^easy$"}))
    assert (report["rows"]["not_selected"], report["rows"]["kept"]) == (6, 2)
    (tmp_path / "other.jsonl").write_text('{"problem": "What is half ?", "answer": "x"}')
    minus = {"rows": 1, "local": {"path": "other.jsonl"}}
    problems, report = normalise(spec(tmp_path, minus=minus))
    assert report["rows"]["minus"] == 1
    assert "What is half?" not in {p.problem for p in problems}
    with pytest.raises(UserError, match=r"minus takes 1 rows .* minus.rows: 3"):
        normalise(spec(tmp_path, minus={**minus, "rows": 3}))


def test_corrections_are_counted(tmp_path):
    wrong = {"find": "half", "replace": "a half"}
    unused = {"find": "nowhere", "replace": ""}
    path = {"path": "rows.json", "corrections": [wrong, unused]}
    problems, report = normalise(spec(tmp_path, local=path))
    assert "What is a half?" in {p.problem for p in problems}
    assert report["repairs"]["corrections"] == {"half": 1, "nowhere": 0}


def test_wrong_numbers_of_rows_stop(tmp_path):
    with pytest.raises(UserError, match=r"has 9 rows; rows: 30, as the set's file says"):
        normalise(spec(tmp_path, right=30))
    with pytest.raises(UserError, match="selects no row"):
        normalise(spec(tmp_path, where={"kind": "other"}))
    with pytest.raises(UserError, match=r"benchmark set loses 5 rows .*no answer.* known_drops: 0"):
        normalise(spec(tmp_path, right=9, role="benchmark"))
    assert len(normalise(spec(tmp_path, right=9, role="benchmark", known_drops=5))[0]) == 4


def test_columns_that_are_not_there(tmp_path):
    with pytest.raises(UserError, match=r"'solution'.*one of problem, answer, level, kind would be right"):
        normalise(spec(tmp_path, columns={"answer": "solution"}))
    with pytest.raises(UserError, match=r"'reward_model\.ground_truth'"):
        normalise(spec(tmp_path, columns={"answer": "reward_model.ground_truth"}))


def test_generated_sets_go_the_same_way():
    generated = {"generator": "arithmetic", "split": "heldout", "n": 20, "difficulty": "easy"}
    data = {"name": "sums", "role": "benchmark", "generated": generated}
    problems, report = normalise(DataSpec.model_validate({"set": data, "source": "generated", "seed": 3}))
    assert (len(problems), report["rows"]["kept"], report["source"]["seed"]) == (20, 20, 3)
    assert all(p.gold == "integer" and p.solution for p in problems)


TEXTS = st.sampled_from(["What is 1+1?", "What is 1 + 1", "What is 1-1?", "", "x\x0crac{1}{2}", " y ", "Y."])
GOLDS = st.sampled_from(["1", "01", "1.0", "$1$", "2", "", None])  # none needs the parser
TABLES = st.lists(
    st.fixed_dictionaries({"problem": TEXTS, "answer": GOLDS, "level": st.none()}), min_size=1, max_size=9
)
QUICK = settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@QUICK
@given(TABLES)
def test_no_row_is_lost_without_a_reason(tmp_path, rows):
    _, report = normalise(spec(tmp_path, rows))
    assert accounted(report) == report["rows"]["upstream"] == len(rows)
    assert all(d["reason"] for d in report["dropped"])


@QUICK
@given(TABLES, st.randoms())
def test_ids_are_stable_under_reordering(tmp_path, rows, rng: random.Random):
    first, _ = normalise(spec(tmp_path, rows))
    shuffled = rows[:]
    rng.shuffle(shuffled)
    second, _ = normalise(spec(tmp_path, shuffled))
    assert {(p.id, p.problem, p.answer) for p in first} == {(p.id, p.problem, p.answer) for p in second}


@QUICK
@given(TABLES)
def test_normalising_twice_is_normalising_once(tmp_path, rows):
    once, _ = normalise(spec(tmp_path, rows))
    if once:
        write_normal(once, tmp_path / "once.parquet")
        local = {"path": "once.parquet", "columns": {"level": "level"}}
        twice, report = normalise(spec(tmp_path, local=local))
        assert [(p.id, p.problem, p.answer, p.gold) for p in twice] == [
            (p.id, p.problem, p.answer, p.gold) for p in once
        ]
        assert report["repairs"]["problem"] == report["repairs"]["answer"] == {}


def test_the_normal_form_is_read_back(tmp_path):
    problems, _ = normalise(spec(tmp_path))
    write_normal(problems, tmp_path / "set.parquet")
    assert read_normal(tmp_path / "set.parquet") == problems
    for name, content in {"text.parquet": b"no", "gone.parquet": None}.items():
        if content:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match="normal form"):
            read_normal(tmp_path / name)


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "bupo.data", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_the_command_line_from_files_to_verl(tmp_path):
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec(tmp_path).model_dump(mode="json")))
    normal, out = tmp_path / "normal" / "set.parquet", tmp_path / "plain" / "set.parquet"
    first = run(
        "normalise", "--spec", tmp_path / "spec.yaml", "--out", normal, "--report", tmp_path / "set.json"
    )
    assert (first.returncode, first.stdout) == (0, "")
    assert "4 of 9 rows kept" in first.stderr
    gate = run("contamination", "--train", normal, "--benchmarks", normal, "--out", tmp_path / "c.json")
    assert gate.returncode == 0
    assert json.loads((tmp_path / "c.json").read_text())["pairs"][0]["inside"] == 4
    whole = run(
        "export", "--normal", normal, "--prompt", "plain", "--out", out, "--report", tmp_path / "r.json"
    )
    assert whole.returncode == 0
    assert pyarrow.parquet.read_table(out).num_rows == 4
    few = run(
        "export", "--normal", normal, "--prompt", "plain", "--limit", "3", "--out", tmp_path / "few.parquet"
    )
    assert "left out: 1 over the limit of 3" in few.stderr
    assert pyarrow.parquet.read_table(tmp_path / "few.parquet").num_rows == 3
    alone = run("export", "--normal", normal, "--prompt", "plain", "--model", "model.json", "--out", out)
    assert alone.returncode == 2
    assert alone.stderr == (
        "error: --model and --max-prompt-tokens go together; both or neither would be right.\n"
    )
    none = run(
        *("export", "--normal", normal, "--prompt", "plain", "--contamination", tmp_path / "c.json"),
        *("--out", tmp_path / "none.parquet"),
    )
    assert none.returncode == 2
    assert none.stderr.startswith("error: ")
    assert not (tmp_path / "none.parquet").exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b'[{"problem": "x"', "breaks in line 1"),
        (b'[{"problem": "x"}]', "'answer', which is not"),
        ('[{"problem": "é", "answer": "1"}]'.encode("latin-1"), "not UTF-8"),
        (b'[{"problem": "", "answer": "", "level": ""}]', "can be used"),
    ],
)
def test_bad_input_leaves_nothing_behind(tmp_path, content, sentence):
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec(tmp_path).model_dump(mode="json")))
    (tmp_path / "rows.json").write_bytes(content)
    out, report = tmp_path / "o" / "set.parquet", tmp_path / "o" / "set.json"
    done = run("normalise", "--spec", tmp_path / "spec.yaml", "--out", out, "--report", report)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert sentence in done.stderr
    assert not (tmp_path / "o").exists() or not list((tmp_path / "o").iterdir())

"""What a set's file may say; each mistake is told before anything is read."""

import subprocess
import sys

import pytest
import yaml

from bupo.data.config import DataSet, DataSpec
from bupo.errors import UserError
from bupo.validation import validated

GOOD = {"name": "set", "role": "train", "local": {"path": "a.json"}}


def files(root):
    return sorted((root / "configs" / "data").glob("*.yaml"))


def test_every_file_is_valid_and_named_after_its_set(root):
    assert len(files(root)) >= 15
    for path in files(root):
        data = validated(DataSet, yaml.safe_load(path.read_text()), path)
        assert data.name == path.stem
        if data.hub:
            assert len(data.hub.revision) == 40, f"{path}: the hub's revision is a full commit hash"


def test_the_short_way_to_write_one_source():
    short = DataSet.model_validate({"name": "s", "role": "train", "source": {"kind": "local", "path": "a"}})
    assert short == DataSet.model_validate({"name": "s", "role": "train", "local": {"path": ["a"]}})
    assert DataSet.model_validate(short.model_dump(mode="json")) == short


BAD = [
    ({**GOOD, "nmae": 1}, "nmae is not a known key"),
    ({**GOOD, "role": "test"}, "role"),
    ({**GOOD, "name": "My Set"}, "name"),
    ({"name": "s", "role": "train"}, "at least one of local, hub, web, generated"),
    ({**GOOD, "role": "benchmark"}, "needs rows"),
    ({**GOOD, "rows": 0}, "rows"),
    ({**GOOD, "local": {"path": []}}, "path"),
    ({**GOOD, "local": {"path": "a", "form": "csv"}}, "form"),
    ({**GOOD, "local": {"path": "a", "where": {"url": "("}}}, "no regular expression"),
    ({**GOOD, "local": {"path": "a", "columns": {"answer_in": "text"}}}, "answer_in"),
    ({**GOOD, "hub": {"dataset": "a/b", "split": "test"}}, "revision is missing"),
    ({**GOOD, "source": {"kind": "local", "path": "a"}}, "given twice"),
    ({"name": "s", "role": "train", "source": {"kind": "ftp"}}, "source.kind"),
    (
        {
            **GOOD,
            "source": {
                "kind": "generated",
                "generator": "arithmetic",
                "split": "train",
                "n": 1,
                "difficulty": "easy",
            },
        },
        "no local, hub or web",
    ),
    (["name"], "keys and values"),
]


@pytest.mark.parametrize(("values", "sentence"), BAD)
def test_mistakes(values, sentence):
    with pytest.raises(UserError, match=sentence) as told:
        validated(DataSet, values, "configs/data/set.yaml")
    assert str(told.value).startswith("configs/data/set.yaml: ")
    assert "\n" not in str(told.value)


def test_spec_needs_what_it_asks_for():
    for values, sentence in [
        ({"set": GOOD, "source": "hub"}, "no hub section"),
        ({"set": GOOD, "source": "local"}, "needs directory"),
        ({"set": {**GOOD, "minus": {"rows": 5}}, "source": "local", "directory": "d"}, "minus of the set"),
        ({"set": GOOD, "source": "local", "directory": "d", "limit": 0}, "limit"),
    ]:
        with pytest.raises(UserError, match=sentence):
            validated(DataSpec, values, "spec.yaml")


def test_kind():
    data = DataSet.model_validate(GOOD)
    assert data.kind("local") == "local"
    with pytest.raises(ValueError, match="no hub section"):
        data.kind("hub")


def test_the_config_imports_nothing_heavy():
    code = (
        "import sys, bupo.data.config; "
        "print([m for m in ('pandas', 'datasets', 'torch', 'pyarrow', 'numpy', 'sympy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

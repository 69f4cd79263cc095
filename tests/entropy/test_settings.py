import pytest

from bupo.entropy.settings import JUDGING, MEASURING, Analysis, read_settings
from bupo.errors import UserError
from bupo.validation import load_yaml, validated


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("tolerence: 0.1", "tolerence is not a known key"),
        ("tolerance: -1", "tolerance = -1"),
        ("tolerance: .nan", "tolerance = nan"),
        ("lenses: [raw, tuned]", "lenses.1 = 'tuned'"),
        ("lenses: [final_norm]", "boundary_lens 'raw' should be one of lenses"),
        ("lenses: [raw, raw]", "names one of them twice"),
        ("backend: sglang", "backend = 'sglang'"),
        ("position_edges: [8, 4]", "position_edges [8, 4] should rise, each once"),
        ("position_edges: []", "position_edges = []"),
        ("position_edges: [0, 4]", "position_edges [0, 4] should count from 1"),
        ("anchor_layers: [0]", "anchor_layers [0] should count from 1"),
        ("anchor_layers: [3, 3]", "anchor_layers [3, 3] should rise, each once"),
        ("temperature: 0", "temperature = 0"),
        ("dtype: float16", "dtype = 'float16'"),
        ("vllm: 3", "vllm = 3"),
    ],
)
def test_wrong_settings_are_one_sentence(tmp_path, spec, words):
    (tmp_path / "s.yaml").write_text(spec)
    with pytest.raises(UserError) as error:
        read_settings(tmp_path / "s.yaml")
    assert words in str(error.value) and "s.yaml" in str(error.value) and "\n" not in str(error.value)


def cell(folder, name, text):
    (folder / name).write_text(text)
    return folder / name


def test_the_layers_of_cells_are_anchors_too(tmp_path):
    (tmp_path / "s.yaml").write_text("anchor_layers: [3]")
    cells = [
        cell(tmp_path, "a.yaml", "bupo: {layer: 6}"),
        cell(tmp_path, "b.yaml", "bupo: {layer: null}"),
        cell(tmp_path, "c.yaml", "bupo: {layer: 3}"),
    ]
    assert read_settings(tmp_path / "s.yaml", cells).anchor_layers == [3, 6]
    assert read_settings(None).anchor_layers == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("bupo: {cell: grpo}", "bupo.layer is missing"),
        ("[1, 2]", "bupo.layer is missing"),
        ("bupo: {layer: auto}", "bupo.layer = 'auto' should be a layer"),
        ("bupo: {layer: 0}", "bupo.layer = 0 should be a layer"),
    ],
)
def test_what_is_no_configuration_of_a_run_is_refused(tmp_path, text, words):
    with pytest.raises(UserError, match=words):
        read_settings(None, [cell(tmp_path, "c.yaml", text)])


def test_each_setting_is_of_the_drawing_or_the_measuring_or_the_judging():
    drawing, fields = set(Analysis().sampling()), set(Analysis.model_fields)
    assert drawing | MEASURING | JUDGING == fields - {"problems"}
    assert not drawing & (MEASURING | JUDGING) and not MEASURING & JUDGING
    assert set(Analysis().measuring()) == MEASURING | {"edges"}


@pytest.mark.parametrize("name", ["demo", "paper", "smoke"])
def test_shipped_settings_are_valid_and_tell_every_key(root, name):
    path = root / "configs" / "analysis" / f"{name}.yaml"
    values = load_yaml(path)
    assert validated(Analysis, values, path).tolerance == 0.05
    assert set(Analysis.model_fields) - {"seed", "chat_template"} <= set(values)
    assert (validated(Analysis, values, path).max_new_tokens == 7168) == (name == "paper")

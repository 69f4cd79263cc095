"""Every upstream form is read; whatever is broken is told in one sentence."""

import io
import json
import tarfile

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bupo.data.upstream import form_of, json_rows, read_rows
from bupo.errors import UserError

ROWS = [{"problem": f"What is {n} + {n}?", "answer": str(2 * n), "level": n} for n in range(5)]


def write_tar(path, rows=ROWS, mode="w:xz"):
    with tarfile.open(path, mode) as archive:
        for number, row in enumerate(rows):
            content = json.dumps(row).encode()
            member = tarfile.TarInfo(f"SET/train/algebra/{number}.json")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


WRITERS = {
    "list.json": lambda p: p.write_text(json.dumps(ROWS)),
    "indented.json": lambda p: p.write_text(json.dumps(ROWS, indent=2)),
    "lines.txt": lambda p: p.write_text("\n".join(map(json.dumps, ROWS)) + "\n\n"),
    "lines.json": lambda p: p.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(map(json.dumps, ROWS)).encode()),
    "columns.json": lambda p: p.write_text(
        json.dumps({c: {str(i): r[c] for i, r in enumerate(ROWS)} for c in ROWS[0]})
    ),
    "flat.parquet": lambda p: pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), p),
    "parquet_without_suffix": lambda p: pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), p),
    "tree.tar": lambda p: write_tar(p, mode="w"),
    "tree.tar.xz": write_tar,
    "tree.tgz": lambda p: write_tar(p, mode="w:gz"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_one_content_in_every_form(tmp_path, name):
    WRITERS[name](tmp_path / name)
    rows = list(read_rows(tmp_path / name, name))
    assert [row.values for row in rows] == ROWS
    assert len({(row.file, row.number) for row in rows}) == len(ROWS)
    assert all(row.file.startswith(name) for row in rows)


def test_folder_of_files(tmp_path):
    for number, row in enumerate(ROWS):
        folder = tmp_path / "set" / str(number % 2)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.json").write_text(json.dumps(row))
    rows = list(read_rows(tmp_path / "set", "set"))
    assert sorted(row.values["level"] for row in rows) == [0, 1, 2, 3, 4]
    assert rows[0].file == "set/0/0.json"


def test_nested_columns_survive(tmp_path):
    nested = [{"prompt": [{"role": "user", "content": "x"}], "reward_model": {"ground_truth": "1"}}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(nested), tmp_path / "n.parquet")
    assert next(iter(read_rows(tmp_path / "n.parquet", "n"))).values == nested[0]


def test_line_separator_inside_a_string_is_no_line_end():
    rows = [{"problem": "a\u2028b", "answer": "1"}, {"problem": "c\x85d", "answer": "2"}]
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    assert json_rows(text.encode(), "f") == rows


def test_hash_hangs_on_the_whole_row_and_not_on_the_order_of_its_columns(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"a": 1, "b": "x"}\n{"b": "x", "a": 1}\n{"a": 2, "b": "x"}')
    first, second, third = (row.digest() for row in read_rows(tmp_path / "a.jsonl", "a"))
    assert first == second != third


BROKEN = {
    "missing": (None, "no such file"),
    "empty.json": (b"", "is empty"),
    "blank.json": (b" \n\n ", "is empty"),
    "no_rows.json": (b"[]", "no rows"),
    "numbers.json": (b"[1, 2]", "row 0 is 1"),
    "cut.json": (json.dumps(ROWS).encode()[:-20], "breaks in line 1"),
    "line.jsonl": (b'{"a": 1}\n{"a": 2\n{"a": 3}', "line 2 is not JSON"),
    "first_line.jsonl": (b'{"a": 1\n{"a": 2}', "line 1 is not JSON"),
    "latin.json": ('[{"problem": "caf\xe9"}]'.encode("latin-1"), "is not UTF-8"),
    "utf16.json": ('[{"problem": "x"}]'.encode("utf-16"), "neither JSON"),
    "csv.csv": (b"problem,answer\n1,2\n", "neither JSON"),
    "fake.parquet": (b"PAR1 and then nothing of the kind PAR1", "parquet file cannot be read"),
    "fake.tar.xz": (b"\xfd7zXZ\x00" + b"nonsense" * 100, "archive cannot be read"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_told_in_a_sentence(tmp_path, name):
    content, sentence = BROKEN[name]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=sentence) as told:
        list(read_rows(tmp_path / name, name))
    assert name in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", ["flat.parquet", "tree.tar", "tree.tar.xz", "tree.tgz"])
@pytest.mark.parametrize("share", [0.06, 0.2, 0.5])
def test_cut_off_binaries(tmp_path, name, share):
    WRITERS[name](tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(UserError, match="a whole"):
        list(read_rows(tmp_path / name, name))


@pytest.mark.parametrize("name", ["flat.parquet", "tree.tar", "tree.tar.xz", "tree.tgz"])
def test_no_cut_loses_rows_silently(tmp_path, name):
    WRITERS[name](tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    for left in range(1, len(whole), max(1, len(whole) // 60)):
        (tmp_path / name).write_bytes(whole[:left])
        try:
            rows = list(read_rows(tmp_path / name, name))
        except UserError:
            continue
        assert [row.values for row in rows] == ROWS  # only padding behind the end was cut


def test_empty_containers(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "readme.md").write_text("nothing here")
    with pytest.raises(UserError, match=r"holds no \.json"):
        list(read_rows(tmp_path / "folder", "folder"))
    write_tar(tmp_path / "t.tar", rows=[], mode="w")
    with pytest.raises(UserError, match=r"holds no \.json|neither"):
        list(read_rows(tmp_path / "t.tar", "t"))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS).slice(0, 0), tmp_path / "p.parquet")
    with pytest.raises(UserError, match="no rows"):
        list(read_rows(tmp_path / "p.parquet", "p"))


def test_a_stated_form_must_be_right(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(ROWS))
    assert form_of(tmp_path / "a.json") == "json"
    with pytest.raises(UserError, match="form is parquet but the content is json"):
        list(read_rows(tmp_path / "a.json", "a", form="parquet"))


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_the_sentence(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "fuzz.json"
    path.write_bytes(content)
    try:
        rows = list(read_rows(path, "fuzz"))
    except UserError:
        return
    assert all(isinstance(row.values, dict) for row in rows)


@given(st.integers(0, 399), st.integers(0, 255))
def test_one_wrong_byte_in_json_lines(tmp_path_factory, position, byte):
    content = bytearray("\n".join(map(json.dumps, ROWS * 2)).encode())
    content[position % len(content)] = byte
    path = tmp_path_factory.getbasetemp() / "byte.jsonl"
    path.write_bytes(bytes(content))
    try:
        list(read_rows(path, "byte"))
    except UserError as told:
        assert "byte.jsonl" in str(told)

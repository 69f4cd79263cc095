"""What the pages refer to is there, and the page of benchmarks says what was recorded."""

import re
import runpy

import pytest

from bupo.experiment.groups import names_in

PAGES = ("README.md", "docs/*.md")
MADE = {"benchmarks/gpu_check.json", "docs/api"}


@pytest.fixture(scope="module")
def pages(root):
    return [path for pattern in PAGES for path in sorted(root.glob(pattern))]


def test_links_lead_somewhere(pages):
    assert len(pages) > 10
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_files_that_are_named_are_there(root, pages):
    """Paths in backticks below the folders that hold the sources."""
    folders = "benchmarks|configs|docs|envs|profiles|rules|slurm|tests|workflow"
    for page in pages:
        named = re.findall(rf"`((?:{folders})/[\w./-]*[\w/])`", page.read_text(encoding="utf-8"))
        for path in named:
            if "my_" not in path and path not in MADE:
                assert (root / path).exists(), f"{page.name}: {path}"


@pytest.mark.parametrize("group", ["algorithm", "data", "engine", "evaluation", "settings"])
def test_every_entry_of_a_group_is_named(root, pages, group):
    """In backticks; models are told by their families, experiments on the page of the paper."""
    named = set().union(*(re.findall(r"`[^`\n]+`", page.read_text(encoding="utf-8")) for page in pages))
    words = {word for text in named for word in re.findall(r"\w+", text)}
    assert set(names_in(root / "configs", group)) <= words


def test_the_readme_is_short(root):
    assert len((root / "README.md").read_text(encoding="utf-8").splitlines()) < 120


def test_the_page_of_benchmarks_is_that_of_the_records(root):
    made = runpy.run_path(str(root / "benchmarks/page.py"))["page"]()
    page = (root / "docs/benchmarks.md").read_text(encoding="utf-8")
    assert page == made, "python benchmarks/page.py makes it anew"

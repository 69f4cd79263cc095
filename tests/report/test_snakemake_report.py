"""Snakemake's own report of a finished tree: page, tables and figures in their categories, with captions."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def html(root, demo, tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("rules", "configs", "envs", "workflow/report"):
        shutil.copytree(root / name, folder / name)
    shutil.copy(root / "Snakefile", folder)
    shutil.copytree(demo, folder / "results/demo")
    snakemake = Path(sys.executable).parent / "snakemake"
    command = [str(snakemake), "--cores", "1", "--report", "out.html"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    return (folder / "out.html").read_text()


def test_page_tables_and_figures_have_their_categories(html):
    categories = html[html.index("categories = {") :][:20_000]
    assert re.search(r'"Answer": \{"Other": \["results/demo/report/index\.html"\]', categories)
    assert "results/demo/report/tables/scores.csv" in categories[categories.index('"Tables"') :]
    assert (
        "results/demo/report/figures/difference-grpo-tiny_qwen3.svg"
        in categories[categories.index('"Figures"') :]
    )


def test_captions_are_there(root, html):
    for caption in (root / "workflow/report").glob("*.rst"):
        words = caption.read_text().split("\n")[0].split(" ")[-6:]
        assert re.search(r"\s+".join(map(re.escape, words)).replace("\\*", "."), html.replace("\\n", " ")), (
            caption.name
        )

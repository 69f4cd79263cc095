"""The page's script in a browser: sorting and filtering, and the page without it."""

import re
import subprocess

import pytest
from browser import FLAGS, PROGRAM

TABLE = 'document.querySelector("#scores table:last-of-type")'
ACT = """
<script>
const table = [...document.querySelectorAll("#scores table")].find((t) => t.tHead.textContent.includes("mean tokens"));
const heads = [...table.tHead.rows[0].cells];
const column = heads.findIndex((head) => head.textContent.includes("cut off"));
const button = heads[column].querySelector("button");
const values = () => [...table.tBodies[0].rows].filter((row) => !row.hidden).map((row) => row.cells[column].textContent);
const log = [];
const note = (name) => log.push(name + "=" + values().join(",") + ";" + heads[column].getAttribute("aria-sort"));
note("start");
button.focus(); button.click(); note("once");
button.click(); note("twice");
button.click(); note("thrice");
const field = table.closest(".scroll").previousElementSibling.querySelector("input");
field.value = "GRPO easy"; field.dispatchEvent(new Event("input")); note("filtered");
document.body.dataset.log = log.join("|") + "|focus=" + document.activeElement.tagName;
</script>
"""


@pytest.fixture(scope="module")
def log(demo, tmp_path_factory):
    if PROGRAM is None:
        pytest.skip("no browser to run the page's script in")
    folder = tmp_path_factory.mktemp("page")
    html = (demo / "report/index.html").read_text().replace("</body>", ACT + "</body>")
    (folder / "page.html").write_text(html)
    command = [PROGRAM, *FLAGS, f"--user-data-dir={folder}/profile"]
    done = subprocess.run(
        [*command, "--dump-dom", f"file://{folder}/page.html"], capture_output=True, text=True, timeout=180
    )
    found = re.search(r'data-log="([^"]*)"', done.stdout)
    assert found, done.stderr[-2000:]
    return dict(part.split("=", 1) for part in found[1].split("|"))


def numbers(text):
    return [float(value) for value in text.split(";")[0].split(",")]


@pytest.mark.slow
def test_a_click_sorts_and_a_third_one_restores_the_order(log):
    start = numbers(log["start"])
    assert log["start"].endswith(";none")
    assert numbers(log["once"]) == sorted(start, reverse=True) and log["once"].endswith(";descending")
    assert numbers(log["twice"]) == sorted(start) and log["twice"].endswith(";ascending")
    assert log["thrice"] == log["start"] and sorted(start) != start
    assert log["focus"] == "BUTTON", "by keyboard as well"


@pytest.mark.slow
def test_words_filter_rows(log):
    assert len(numbers(log["filtered"])) == 1 < len(numbers(log["start"]))


def test_without_the_script_every_row_is_there(demo):
    html = (demo / "report/index.html").read_text()
    body = html[html.index("<body>") : html.index("<script>")]
    assert not re.search(r"<(?:button|input)|\shidden|display:\s*none", body)
    assert body.count("<tr>") > 50

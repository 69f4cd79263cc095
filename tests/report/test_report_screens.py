"""The page on screens of several widths and on paper, in a browser."""

import re

import pytest
from browser import PROGRAM, Browser

pytestmark = pytest.mark.slow
CLOSED = "document.querySelectorAll('details:not([open])').length"


@pytest.fixture(scope="module")
def browser():
    if PROGRAM is None:
        pytest.skip("no Chromium to look at the page with")
    with Browser() as started:
        yield started


@pytest.fixture(scope="module")
def page(demo):
    return demo / "report/index.html"


@pytest.mark.parametrize("width", [390, 1280])
def test_only_boxes_of_tables_and_wide_figures_scroll_sideways(browser, page, width):
    browser.open(page, width=width)
    assert browser.value("innerWidth") == width
    for _ in ("as it opens", "with all that is folded away"):
        assert browser.value("document.documentElement.scrollWidth") <= width
        browser.value("for (const each of document.querySelectorAll('details')) each.open = true")
    wide = "[...document.querySelectorAll('.scroll')].filter((box) => box.scrollWidth > box.clientWidth)"
    assert (browser.value(f"{wide}.length") > 0) == (width == 390), "there is something to scroll on a phone"


def test_a_print_has_all_that_is_folded_away_and_the_screen_is_as_before(browser, page):
    browser.open(page)
    before = browser.value(CLOSED)
    browser.value(f"addEventListener('beforeprint', () => {{ document.title = 'closed: ' + {CLOSED}; }})")
    browser.call("Page.printToPDF")
    assert browser.value("document.title") == "closed: 0"
    assert browser.value(CLOSED) == before > 0


def test_a_print_without_scripts_has_it_too(browser, page):
    folded = "[...document.querySelectorAll('details:not([open]) :is(figure, table)')]"
    seen = f"{folded}.filter((each) => each.checkVisibility() && each.offsetHeight > 0).length"
    browser.open(page, scripts=False)
    assert browser.value(seen) == 0
    browser.open(page, scripts=False, media="print")
    assert browser.value(seen) == browser.value(f"{folded}.length") > 4


def test_paper_is_white_whatever_the_screen_is(browser, page):
    colour = "getComputedStyle(document.body).backgroundColor"
    browser.open(page, dark=True)
    assert browser.value(colour) != "rgb(255, 255, 255)"
    browser.open(page, dark=True, media="print")
    assert browser.value(colour) == "rgb(255, 255, 255)"
    assert browser.value("getComputedStyle(document.querySelector('nav')).display") == "none"


def test_headings_of_tables_can_be_repeated_on_every_sheet(browser, page):
    """Chromium does so only where nothing in them, such as a button, is a box of its own."""
    browser.open(page, media="print")
    displays = "[...document.querySelectorAll('thead *')].map((each) => getComputedStyle(each).display)"
    assert set(browser.value(displays)) == {"table-row", "table-cell", "contents"}


def test_a_field_of_a_map_is_what_the_pointer_meets(browser, page):
    browser.open(page)
    met = """(() => {
      const field = document.querySelector("svg rect:has(title)");
      field.scrollIntoView({ block: "center", behavior: "instant" });
      const box = field.getBoundingClientRect();
      const found = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
      return found === field && box.width > 20 ? field.textContent : null;
    })()"""
    assert re.fullmatch(r"layer 1, tokens 1–\d+: \d\.\d{3} nats", browser.value(met))

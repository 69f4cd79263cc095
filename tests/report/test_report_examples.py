import pytest

from bupo.report.examples import LEAD, LONGEST, _beside


@pytest.mark.parametrize(
    ("text", "shared", "first", "rest"),
    [
        ("3 and 4 is 8.", "3 and 4 is ", "8.", ""),
        ("3 and 4 is\n7 or so", "3 and 4 ", "is", "\n7 or so"),
        ("3 and 4 is", "3 and 4 is", "(ends here)", ""),
        ("3 and 4 is 7. Done.", "3 and 4 is 7.", " Done.", ""),
        ("So 3", "", "So", " 3"),
        ("", "", "(ends here)", ""),
    ],
)
def test_the_first_word_that_differs_is_marked(text, shared, first, rest):
    told = _beside("x", "1 of 2", text, "3 and 4 is 7.", "wrong")
    assert (told.shared, told.first, told.rest, told.same) == (shared, first, rest, False)


def test_the_same_text_has_no_difference():
    told = _beside("x", "1 of 2", "3 is 3.", "3 is 3.", "correct")
    assert told.same and (told.shared, told.first, told.rest) == ("3 is 3.", "", "")


def test_a_difference_after_a_long_start_is_in_sight():
    start = "word " * 2000
    told = _beside("x", "1 of 2", start + "new " + "y" * 9000, start + "old", "correct")
    assert told.first == "new" and told.shared.endswith("word ") and len(told.shared) < LEAD + 60
    assert len(told.rest) < LONGEST + 60 and "more characters" in told.rest


def test_a_response_that_is_not_stored_is_said_so():
    told = _beside("x", "1 of 2", None, "3", "wrong")
    assert told.rest == "not stored" and not told.same

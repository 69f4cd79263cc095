import pytest

from bupo.errors import UserError
from bupo.training.schedule import parse_schedule


def parse(entries, layers=6, lens="raw"):
    return parse_schedule(entries, layers, lens, "cell.yaml")


def test_phase_one_lasts_exactly_its_steps():
    schedule = parse([{"layer": 3, "steps": 4}, {"layer": "final"}])
    assert [schedule.at(step).number for step in range(1, 8)] == [1, 1, 1, 1, 2, 2, 2]
    assert schedule.at(4).layer.number == 3
    assert schedule.at(5).layer is None


def test_climbing_schedule():
    schedule = parse([{"layer": 2, "steps": 1}, {"layer": 4, "steps": 2}, {"layer": "final", "steps": 3}])
    assert [schedule.at(step).number for step in range(1, 8)] == [1, 2, 2, 3, 3, 3, 3]


def test_a_switch_is_the_first_step_of_a_phase_that_follows_another():
    schedule = parse([{"layer": 2, "steps": 1}, {"layer": 2, "steps": 2}, {"layer": "final", "steps": 3}])
    assert [step for step in range(1, 10) if schedule.switches_at(step)] == [2, 4]
    assert not any(parse([{"layer": "final"}]).switches_at(step) for step in range(1, 5))


def test_single_phases():
    assert parse([{"layer": "final"}]).at(1000).layer is None
    assert parse([{"layer": 6}]).at(1000).layer.is_last


def test_last_layer_is_not_the_full_policy():
    assert parse([{"layer": 6}]).at(1).layer is not None


def test_step_zero_does_not_exist():
    with pytest.raises(ValueError, match="step 0"):
        parse([{"layer": "final"}]).at(0)


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ([], r"bupo\.schedule = \[\]"),
        ("final", "bupo.schedule = 'final'"),
        ([{"layer": 7}], r"bupo\.schedule\[0\]\.layer = 7 should be a layer from 1 to 6"),
        ([{"layer": 0}], r"\.layer = 0"),
        ([{"layer": True}], r"\.layer = True"),
        ([{"layer": 2.0}], r"\.layer = 2\.0"),
        ([{"layer": "last"}], r"\.layer = 'last'"),
        ([{"layer": 3}, {"layer": "final"}], r"bupo\.schedule\[0\]\.steps is missing"),
        ([{"layer": 3, "steps": 0}, {"layer": "final"}], r"\.steps = 0"),
        ([{"layer": 3, "step": 4}], "should have the keys layer and steps"),
    ],
)
def test_mistakes_are_told(entries, told):
    with pytest.raises(UserError, match=told):
        parse(entries)


def test_unknown_lens():
    with pytest.raises(UserError, match=r"bupo\.lens = 'logit'"):
        parse([{"layer": 3}], lens="logit")

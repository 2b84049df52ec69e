"""The schedule of leads by the instant at which they are due."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from scorer.state.schedule import Schedule

DAY, HOUR = 86_400, 3600


def test_leads_are_taken_when_they_are_due() -> None:
    schedule = Schedule()
    for lead_id, due in {"a": DAY, "b": DAY, "c": DAY + 5, "d": DAY + HOUR, "e": 9 * DAY}.items():
        schedule.put(lead_id, due)
    assert (schedule.next(), schedule.first(DAY - 1), len(schedule)) == (DAY, None, 5)
    assert sorted(schedule.take(DAY, 10)) == ["a", "b"]
    assert schedule.next() == DAY + 5
    assert schedule.overdue(DAY + 4) == 0
    assert schedule.overdue(DAY + 5) == 1
    assert schedule.first(DAY + 5) == (DAY + 5, "c")
    assert schedule.take(2 * DAY, 1) == ["c"]
    assert schedule.take(2 * DAY, 9) == ["d"]
    assert (schedule.next(), len(schedule)) == (9 * DAY, 1)


def test_a_lead_has_one_instant() -> None:
    schedule = Schedule()
    for due in (DAY, 3 * DAY, 3 * DAY + 1, 2 * DAY):
        schedule.put("a", due)
    assert len(schedule) == 1
    assert schedule.take(2 * DAY - 1, 9) == []
    assert schedule.take(4 * DAY, 9) == ["a"]
    assert schedule.take(4 * DAY, 9) == []


def test_a_removed_lead_is_never_taken_unless_it_is_put_again() -> None:
    schedule = Schedule()
    schedule.put("a", DAY)
    schedule.remove("a")
    schedule.remove("unknown")
    assert (schedule.take(DAY, 9), len(schedule), schedule.next()) == ([], 0, None)
    schedule.put("a", DAY)
    assert schedule.take(DAY, 9) == ["a"]


def test_leads_that_move_again_and_again_take_no_more_memory() -> None:
    schedule, random = Schedule(), Random(1)
    for _ in range(60_000):
        schedule.put(f"lead-{random.randrange(100)}", random.randrange(10_000) * HOUR)
    held = sum(map(len, schedule._hours.values())) + len(schedule._opened) + len(schedule._near)
    assert held <= 2 * 100 + 10_000
    assert len(schedule.take(10_000 * HOUR, 1_000)) == 100


@given(st.lists(st.tuples(st.sampled_from("pptr"), st.sampled_from("abcdef"), st.integers(0, 4 * HOUR)), max_size=60))
def test_the_schedule_is_a_table_of_leads_and_instants(steps: list[tuple[str, str, int]]) -> None:
    schedule, table = Schedule(), {}
    for step, lead_id, at in steps:
        if step == "p":
            schedule.put(lead_id, at)
            table[lead_id] = at
        elif step == "r":
            schedule.remove(lead_id)
            table.pop(lead_id, None)
        else:
            due = {lead_id for lead_id, instant in table.items() if instant <= at}
            assert schedule.overdue(at) >= len(due)
            taken = schedule.take(at, 3)
            assert len(taken) == min(3, len(due))
            assert set(taken) <= due
            for each in taken:
                del table[each]
        bound = schedule.next()
        assert bound is None or not table or bound <= min(table.values())
        assert bound is not None or not table
    assert sorted(schedule.take(5 * HOUR, 99)) == sorted(table)

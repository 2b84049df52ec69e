"""A bounded cache gives back what was kept, or nothing, and stays within its room."""

from random import Random

import pytest

from scorer.engines.cache import BoundedCache


@pytest.mark.parametrize("room", [2, 3, 10, 100])
def test_an_answer_is_the_latest_one_or_none_and_the_room_is_never_exceeded(room: int) -> None:
    random, cache, expected = Random(room), BoundedCache[int, int](room), dict[int, int]()
    recalled = 0
    for number in range(2_000):
        key = random.randrange(room + 5)
        if random.random() < 0.5:
            assert cache.keep(key, number) == number
            expected[key] = number
        else:
            answer = cache.look_up(key)
            assert answer is None or answer == expected[key]
            recalled += answer is not None
        assert len(cache.all_keys()) <= room
    assert recalled > 0


def test_an_answer_that_is_asked_for_stays_and_others_are_forgotten() -> None:
    cache = BoundedCache[str, int](10)
    cache.keep("asked", 1)
    cache.keep("idle", 2)
    for number in range(50):
        cache.keep(f"other {number}", number)
        assert cache.look_up("asked") == 1
    assert cache.look_up("idle") is None


def test_each_answer_that_leaves_is_handed_over_once_in_its_latest_version() -> None:
    forgotten: dict[int, int] = {}
    cache = BoundedCache[int, int](6, on_forgotten=forgotten.__setitem__)
    random, expected = Random(1), dict[int, int]()
    for number in range(500):
        key = random.randrange(20)
        if cache.look_up(key) is None:
            assert forgotten.pop(key, None) == expected.get(key)
        cache.keep(key, number)
        expected[key] = number
        assert not forgotten.keys() & cache.all_keys(), "it was reported as forgotten, but it is still there"
        assert forgotten.keys() | cache.all_keys() == expected.keys()


def test_cleared_it_holds_nothing_of_either_generation() -> None:
    cache = BoundedCache[int, int](4)
    for number in range(4):
        cache.keep(number, number)
    cache.clear()
    assert cache.all_keys() == set()
    assert cache.look_up(0) is None

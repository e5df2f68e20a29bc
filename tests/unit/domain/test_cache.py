"""The cache of answers never holds more than it may, nor longer, and forgets first what was not asked for."""

from hypothesis import given
from hypothesis import strategies as st

from signalbox.cache import Cache


class Clock:
    """A clock of the tests' own."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 6), st.integers(1, 5)),
        st.tuples(st.just("get"), st.integers(0, 6), st.none()),
        st.tuples(st.just("wait"), st.integers(0, 3), st.none()),
    ),
    max_size=60,
)


@given(operations=OPERATIONS, entries=st.integers(1, 4))
def test_whatever_is_put_got_and_waited_for_it_keeps_what_a_list_would(
    operations: list[tuple[str, int, int | None]], entries: int
) -> None:
    clock = Clock()
    cache: Cache[int] = Cache(clock, entries)
    expected: list[tuple[int, float, int]] = []  # key, expiry and value, the least recently used first
    for place, (operation, key, seconds) in enumerate(operations):
        if operation == "wait":
            clock.now += key
        elif operation == "put":
            cache.put(key, place, seconds)
            expected = [entry for entry in expected if entry[0] != key]
            expected = [*expected, (key, clock.now + seconds, place)][-entries:]
        else:
            found = next((entry for entry in expected if entry[0] == key), None)
            expected = [entry for entry in expected if entry[0] != key]
            if found is not None and found[1] > clock.now:
                expected.append(found)
                assert cache.get(key) == found[2]
            else:
                assert cache.get(key) is None
        assert list(cache._kept) == [entry[0] for entry in expected]


def test_no_time_at_all_is_not_kept() -> None:
    cache: Cache[str] = Cache(Clock(), 2)
    cache.put("ships", "picture", 0)
    assert cache.get("ships") is None

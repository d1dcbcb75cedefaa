"""What holds too many values is known before it is parsed, and nothing else is taken for it."""

import json
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.json_bounds import MAX_VALUES, is_crowded

LINEAR_S = 2.0
"""For two megabytes that a backtracking expression would need hours for."""


def values(tree: object) -> int:
    if isinstance(tree, dict):
        return 1 + sum(map(values, tree.values()))
    if isinstance(tree, list):
        return 1 + sum(map(values, tree))
    return 1


@pytest.mark.parametrize("item", ["{}", "[]", "0", '""', '"\\""', '","', '{"a":0}', "[[]]"])
def test_the_bound_is_of_values(item: str) -> None:
    many = "[" + ",".join([item] * (MAX_VALUES + 1)) + "]"
    few = "[" + ",".join([item] * (MAX_VALUES // 3)) + "]"
    assert is_crowded(many)
    assert is_crowded(many.encode())
    assert not is_crowded(few)
    assert not is_crowded(few.encode())


@pytest.mark.parametrize(
    "text", [",[{" * MAX_VALUES, '"' * 7, "\\" * 5, '\\",[{' * MAX_VALUES, "é,\n" * MAX_VALUES]
)
def test_what_stands_in_a_string_is_no_value(text: str) -> None:
    for ascii_only in (True, False):
        message = json.dumps({"type": "data", "payload": text}, ensure_ascii=ascii_only)
        assert not is_crowded(message)
        assert not is_crowded(message.encode())


@pytest.mark.parametrize(
    "text", ['"\\' * 1_000_000, '"' + "\\,[" * 700_000, '",' * 1_000_000, "[" * 2_000_000]
)
def test_no_text_takes_long(text: str) -> None:
    began_at = time.process_time()
    is_crowded(text)
    is_crowded(text.encode())
    assert time.process_time() - began_at < LINEAR_S


def test_counting_builds_no_values() -> None:
    text = "[" + "{}," * 600_000 + "{}]"
    tracemalloc.start()
    try:
        assert is_crowded(text)
        assert tracemalloc.get_traced_memory()[1] < 2 * len(text)
    finally:
        tracemalloc.stop()


@given(st.recursive(st.none() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_small_json_passes(tree: object) -> None:
    assert values(tree) < MAX_VALUES
    assert not is_crowded(json.dumps(tree))


@given(st.text(alphabet='"\\,[{a'), st.integers(1, 4))
def test_never_counts_less_than_there_is(text: str, depth: int) -> None:
    """A string at the front must not hide what follows it."""
    crowd = "[" * depth + "0," * MAX_VALUES + "0" + "]" * depth
    assert is_crowded(json.dumps(text) + crowd)

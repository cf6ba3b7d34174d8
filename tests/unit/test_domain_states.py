"""States: every documented one, the aliases, and what is not known."""

import pytest

from daemon.domain.states import MAX_STATE_LENGTH, State, is_known, is_terminal, read_state


@pytest.mark.parametrize("state", list(State))
def test_a_documented_state_is_itself(state: State) -> None:
    assert read_state(state.value) == state
    assert is_known(state)


@pytest.mark.parametrize(
    ("raw", "state"),
    [
        ("SUCCESS", State.SUCCEED),
        ("BLOCKED", State.BLOCK),
        ("CANCELLED", State.CANCELED),
        (" succeed ", State.SUCCEED),
        ("Processing", State.PROCESSING),
    ],
)
def test_other_spellings_mean_the_same(raw: str, state: State) -> None:
    assert read_state(raw) == state


def test_an_unknown_state_is_kept_as_it_came_and_ends_nothing() -> None:
    assert read_state("Thawing_2") == "Thawing_2"
    assert not is_known("Thawing_2")
    assert not is_terminal("Thawing_2")


def test_an_absurdly_long_state_is_cut() -> None:
    assert read_state("X" * 5000) == "X" * MAX_STATE_LENGTH


@pytest.mark.parametrize("raw", ["", "   ", "\n"])
def test_a_blank_state_says_nothing(raw: str) -> None:
    with pytest.raises(ValueError, match="empty"):
        read_state(raw)


def test_only_ends_are_terminal() -> None:
    assert {state for state in State if is_terminal(state)} == {
        State.SUCCEED,
        State.PARTIAL_SUCCEED,
        State.FAILED,
        State.CANCELED,
    }
    assert not is_terminal(None)

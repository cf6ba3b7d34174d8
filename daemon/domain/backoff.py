"""How long to wait after failures. Pure: the randomness is an argument."""


def delay(failures: int, *, base: float, cap: float, spread: float) -> float:
    """Seconds to wait after `failures` failures in a row (1 or more): `base` doubled each time, at most `cap`,
    then shortened by up to a quarter so that many waiters do not return together.

    `spread` is a random number in [0, 1): 0 gives the whole delay, values near 1 three quarters of it.

    >>> [delay(n, base=1, cap=10, spread=0) for n in (1, 2, 3, 4, 5)]
    [1.0, 2.0, 4.0, 8.0, 10]
    """
    whole = min(cap, base * 2.0 ** min(failures - 1, 62))
    return whole * (1 - spread / 4) if spread else whole

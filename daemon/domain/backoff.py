"""Exponential back-off after failures, with randomness as an argument."""


def delay(failures: int, *, base: float, cap: float, spread: float) -> float:
    """Seconds to wait after `failures` consecutive failures (1 or more): `base`, doubled each time, at most `cap`.

    `spread`, a random number in [0, 1), shortens the delay by up to a quarter so that waiters drift apart.

    >>> [delay(n, base=1, cap=10, spread=0) for n in (1, 2, 3, 4, 5)]
    [1.0, 2.0, 4.0, 8.0, 10]
    """
    full = min(cap, base * 2.0 ** min(failures - 1, 62))
    return full * (1 - spread / 4) if spread else full

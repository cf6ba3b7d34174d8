"""CPU of refits: 45 classes at 20 ends a second, fitted again like the daemon does it (daemon.watch.learning)."""

import random
import time
from collections import Counter
from math import exp

from daemon.domain.durations import LIMIT, ClassKey, Running, Sample, fit

CLASSES, KINDS = 45, 5
_ENDS_A_SECOND, _EVERY, _MINUTE, _ROUNDS = 20, 5.0, 60.0, 36
_SHARE = 0.05
_RUNNING = 5


def refits(seed: int = 1) -> tuple[float, float]:
    """Mean CPU of a refit of the due classes, each 5 s, and CPU of a fit of all at once, in milliseconds."""
    rng = random.Random(seed)
    keys = [(f"project {i // KINDS}", f"kind {i % KINDS}") for i in range(CLASSES)]
    now = 1e9
    ends: dict[ClassKey, list[Sample]] = {
        key: [_ended(rng, now - rank * CLASSES / _ENDS_A_SECOND) for rank in range(LIMIT)] for key in keys
    }
    begin = time.process_time()
    durations = fit(ends, {key: _running(rng) for key in keys}, now=now)
    at_once = time.process_time() - begin
    new: Counter[ClassKey] = Counter()
    spent = []
    for turn in range(_ROUNDS):
        for _ in range(int(_ENDS_A_SECOND * _EVERY)):
            now += 1 / _ENDS_A_SECOND
            key = rng.choice(keys)
            ends[key] = [_ended(rng, now), *ends[key][: LIMIT - 1]]
            new[key] += 1
        projects = {f"project {i}" for i in range(CLASSES // KINDS) if int(i * _MINUTE / 9 / _EVERY) == turn % 12}
        due = [key for key in keys if new[key] > LIMIT * _SHARE or key[0] in projects]
        running = {key: _running(rng) for key in due}
        begin = time.process_time()
        durations = fit({key: ends[key] for key in due}, running, now=now, before=durations)
        spent.append(time.process_time() - begin)
        for key in due:
            del new[key]
    return 1e3 * sum(spent) / len(spent), 1e3 * at_once


def _ended(rng: random.Random, at: float) -> Sample:
    length = 60.0 * exp(0.6 * rng.gauss(0, 1))
    seconds = (40.0 + 1.2 * length) * exp(0.25 * rng.gauss(0, 1))
    return Sample(seconds=seconds, length=length, failed=rng.random() < 0.05, ended=at)


def _running(rng: random.Random) -> list[Running]:
    return [Running(seconds=rng.uniform(0.0, 200.0), length=60.0) for _ in range(_RUNNING)]

"""The law of a job's production time: a piecewise constant hazard and the quantities derived from it.

Owns the exact arithmetic over prefix tables of survival and of its remaining integral. Fitting is left to
`durations`. All times are seconds since the start of production.

Planning needs the *expected undetected delay* of a job last seen running at age `elapsed`:
A(s) = ∫ P(ended by elapsed + r | running at elapsed) dr for r from 0 to s. With the survival function S and
J(t) = ∫ S from t to infinity, A(s) = s - (J(elapsed) - J(elapsed + s)) ÷ S(elapsed), which takes two look-ups.
Pieces are integrated exactly: interpolating inside wide pieces would make short gaps up to 2.8 times worse.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from math import exp, expm1, inf, log, sqrt

_REACH = 500.0
"""Integrated hazard at which a table ends. e^-500 is a normal float, so that dividing by survival is safe."""
_ROUNDS, _EXACT = 8, 0.01
"""Maximum number of secant steps (two or three usually suffice), and the relative error that ends them."""
_NOTHING = 1e-9
"""Seconds below which a delay is zero: the formulas divide by the duration."""
_POWER = 2.5
"""Approximate power of time with which a waiting job's delay grows: used for the first guess."""
_STEPS = 6
"""Maximum number of Newton steps; two or three usually suffice."""


class Law:
    """Immutable law of a job's production time. `gap` takes up to 4 µs, `area` 3 µs (2 cores, Python 3.11)."""

    __slots__ = ("_edges", "_hazard", "_last", "_left", "_mass", "_start", "_survival", "stuck_after")

    def __init__(self, edges: Sequence[float], hazard: Sequence[float], *, stuck_after: float) -> None:
        """`hazard[i]` (per second, above 0) applies from `edges[i]` to `edges[i + 1]`, the last one indefinitely.

        `edges` begin with 0 and ascend.
        """
        mass, total, last = [0.0], 0.0, len(hazard) - 1
        for i in range(last):
            total += hazard[i] * (edges[i + 1] - edges[i])
            if total > _REACH:
                last = i
                break
            mass.append(total)
        self._last = last
        self._edges = list(edges[: last + 1])
        self._hazard = list(hazard[: last + 1])
        self._mass = mass
        survival = [exp(-each) for each in mass]
        left = [0.0] * (last + 1)
        left[last] = survival[last] / self._hazard[last]
        for i in range(last - 1, -1, -1):
            left[i] = left[i + 1] + (survival[i] - survival[i + 1]) / self._hazard[i]
        self._survival = survival
        self._left = left
        self._start: _FromStart | None = None
        self.stuck_after = stuck_after
        """Age in seconds beyond which a job is stuck; inf if too little is known."""

    def gap(self, elapsed: float, price: float) -> float:
        """Seconds from `elapsed`, when it was seen running, until its expected undetected delay is `price`."""
        edges, survival, left = self._edges, self._survival, self._left
        last = self._last
        i = bisect_right(edges, elapsed) - 1
        if i >= last or i < 0:
            if i >= 0:
                return _within(1.0, self._hazard[last], price)
            i = 0
            elapsed = 0.0
        hazard = self._hazard[i]
        now = survival[i] * exp(hazard * (edges[i] - elapsed))
        # A(t - elapsed) = price, multiplied by S(elapsed), is S(elapsed) * t + J(t) = goal. The left side grows
        # with t, so bisection finds the piece and Newton steps solve within it.
        goal = now * (price + elapsed) + left[i + 1] + (now - survival[i + 1]) / hazard
        if edges[i + 1] * now + left[i + 1] >= goal:  # nearly always: a gap is short, and a piece is not
            return _within(1.0, hazard, price)
        low, high = i + 2, last + 1  # the first edge at or after the solution
        while low < high:
            middle = (low + high) >> 1
            if edges[middle] * now + left[middle] < goal:
                low = middle + 1
            else:
                high = middle
        low -= 1
        start = edges[low]
        unpaid = (goal - start * now - left[low]) / now
        return start - elapsed + _within(survival[low] / now, self._hazard[low], unpaid)

    def area(self, elapsed: float, seconds: float) -> float:
        """Expected undetected delay, in seconds, of a job seen running at `elapsed`, `seconds` after that poll."""
        edges, last = self._edges, self._last
        i = bisect_right(edges, elapsed) - 1
        if i >= last:
            hazard = self._hazard[last]
            return max(0.0, seconds + expm1(-hazard * seconds) / hazard)
        if i < 0:
            i, elapsed = 0, 0.0
        survival, left = self._survival, self._left
        hazard = self._hazard[i]
        now = survival[i] * exp(hazard * (edges[i] - elapsed))
        end = elapsed + seconds
        k = bisect_right(edges, end, i) - 1
        if k == i:
            return max(0.0, seconds + expm1(-hazard * seconds) / hazard)
        gone = left[i + 1] + (now - survival[i + 1]) / hazard
        then = self._hazard[k]
        rest = left[k] + survival[k] * expm1(then * (edges[k] - end)) / then
        return max(0.0, seconds - (gone - rest) / now)

    def waiting_gap(self, waited: float, price: float, longest: float) -> float:
        """Seconds from a poll that found the job waiting, `waited` seconds after its creation, until its expected
        undetected delay is within 1 % of `price`, at most `longest` (above 0). Takes up to 7 µs."""
        return self._from_start.gap(start_rate(waited), price, longest)

    def waiting_area(self, waited: float, seconds: float) -> float:
        """Expected undetected delay, in seconds, of a job seen waiting, `seconds` after that poll."""
        return self._from_start.area(start_rate(waited), seconds)

    def waiting_ended(self, waited: float, seconds: float) -> float:
        """Chance that a job seen waiting has ended `seconds` after that poll."""
        if seconds < _NOTHING:
            return 0.0
        half = seconds / 2.0
        waits = exp(-start_rate(waited) * half)
        late = self.area(0.0, half)
        return (1.0 - waits) * (self.area(0.0, seconds) - late + waits * late) / half

    def ended(self, elapsed: float, seconds: float) -> float:
        """Chance that a job seen running at `elapsed` has ended `seconds` after that poll."""
        return -expm1(self._mass_at(elapsed) - self._mass_at(elapsed + seconds))

    def remaining(self, elapsed: float, share: float) -> float | None:
        """Seconds within which `share` of the jobs running at `elapsed` end; None beyond the end of the table."""
        goal = self._mass_at(elapsed) - log(1.0 - share)
        if goal > self._mass[self._last]:
            return None
        return max(0.0, self._when(goal) - elapsed)

    def quantile(self, share: float) -> float:
        """Seconds from the start within which `share` (below 1) of the jobs end."""
        return self._when(-log(1.0 - share))

    @property
    def _from_start(self) -> "_FromStart":
        if self._start is None:
            self._start = _FromStart(self._edges, self._hazard, self._survival)
        return self._start

    def _mass_at(self, at: float) -> float:
        i = max(0, bisect_right(self._edges, at) - 1)
        return self._mass[i] + self._hazard[i] * max(0.0, at - self._edges[i])

    def _when(self, mass: float) -> float:
        i = max(0, bisect_left(self._mass, mass) - 1)
        return self._edges[i] + (mass - self._mass[i]) / self._hazard[i]


class _FromStart:
    """The expected undetected delay of a job seen waiting, which may have begun at any time since.

    Jobs begin at a constant rate. The time since the poll is split into halves, and the starts within each half
    are spread evenly over it. Two look-ups of K, the integral of the delay of a job that begins at 0, then
    suffice.
    """

    __slots__ = ("_area", "_edges", "_hazard", "_sum", "_survival")

    def __init__(self, edges: list[float], hazard: list[float], survival: list[float]) -> None:
        self._edges = edges
        self._hazard = hazard
        self._survival = survival
        self._area, self._sum = [0.0], [0.0]
        for i in range(len(edges) - 1):
            d = edges[i + 1] - edges[i]
            total = self._integral(edges[i + 1], i)
            self._area.append(self._area[i] + d + survival[i] * expm1(-hazard[i] * d) / hazard[i])
            self._sum.append(total)

    def area(self, rate: float, seconds: float) -> float:
        if seconds < _NOTHING:
            return 0.0
        half = seconds / 2.0
        late = self._integral(half, bisect_right(self._edges, half) - 1)
        early = self._integral(seconds, bisect_right(self._edges, seconds) - 1) - late
        waits = exp(-rate * half)
        return (1.0 - waits) * (early + waits * late) / half

    def gap(self, rate: float, price: float, longest: float) -> float:
        """Solve for `price` by secants from `longest`, in logarithms, where the delay is nearly linear."""
        value = self.area(rate, longest)
        if value <= price:
            return longest
        goal = log(price)
        right, above = log(longest), log(value) - goal
        left, below = -inf, -inf
        at = right - above / _POWER
        for _ in range(_ROUNDS):
            gap = exp(at)
            off = log(max(self.area(rate, gap), 1e-300)) - goal
            if -_EXACT < off < _EXACT:
                return gap
            if off > 0.0:
                right, above = at, off
            else:
                left, below = at, off
            at = right - above / _POWER if below == -inf else left - below * (right - left) / (above - below)
        return exp(at)

    def _integral(self, at: float, i: int) -> float:
        """K at `at`, which lies in piece `i`."""
        d = at - self._edges[i]
        hazard = self._hazard[i]
        fall = hazard * d
        # For a small `fall` the exact form cancels almost completely: use its series.
        fade = d * d * (0.5 - fall / 6.0) if fall < 1e-3 else (d + expm1(-fall) / hazard) / hazard
        return self._sum[i] + (self._area[i] + d / 2.0) * d - self._survival[i] * fade


_WAIT_KNOWN = 15.0
"""Seconds added to the time waited, which keeps the rate of a new job finite."""


def start_rate(waited: float) -> float:
    """Rate (per second) at which production begins after `waited` seconds: a long wait predicts a longer one.

    In bench/planning.py this simple rule did as well as knowing whether the queue is busy.
    """
    return 1.0 / (max(0.0, waited) + _WAIT_KNOWN)


def _within(alive: float, hazard: float, price: float) -> float:
    """Solve d - alive * (1 - e^(-hazard d)) ÷ hazard = `price` for d, inside one piece of the hazard.

    The second-order expansion lies above the curve, so its root is a lower bound. The curve is convex: the first
    Newton step from there overshoots, and the following ones converge from the right.
    """
    dead = 1.0 - alive
    bend = alive * hazard
    if bend < 1e-12:
        return price / dead if dead > 1e-12 else inf
    d = 2.0 * price / (dead + sqrt(dead * dead + 2.0 * bend * price))
    for _ in range(_STEPS):
        fade = expm1(-hazard * d)
        slope = dead - alive * fade
        if slope <= 0.0:
            break
        step = (d + alive * fade / hazard - price) / slope
        d -= step
        if -1e-4 * d < step < 1e-4 * d:
            break
    return d

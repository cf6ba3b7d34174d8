"""The agenda against a plain model: whatever is put, dropped and taken, the most overdue job comes first."""

from hypothesis import given
from hypothesis import strategies as st

from daemon.domain.jobs import JobId
from daemon.metastudio.kinds import KINDS
from daemon.watch.agenda import Agenda, Watched

jobs = st.integers(1, 6)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), jobs, st.floats(0, 100)),
        st.tuples(st.just("put"), jobs, st.floats(0, 100)),
        st.tuples(st.just("drop"), jobs, st.just(0.0)),
        st.tuples(st.just("pop"), jobs, st.floats(0, 100)),
    ),
    max_size=60,
)


def watched(job: int, due: float, expires: float = 1e9) -> Watched:
    return Watched(
        job=job, job_id=JobId(f"j{job}"), kind=KINDS["avatar"], state=None, since=0, expires=expires, due=due
    )


@given(steps)
def test_the_most_overdue_job_comes_first_and_dropped_ones_never(script: list[tuple[str, int, float]]) -> None:
    agenda, model = Agenda(), {}
    for step, job, number in script:
        if step == "add":
            agenda.add(watched(job, number))
            model[job] = number
        elif step == "put" and (entry := agenda.get(job)):
            agenda.put(entry, number)
            model[job] = number
        elif step == "drop":
            assert (agenda.drop(job) is not None) == (model.pop(job, None) is not None)
        elif step == "pop":
            due = min(model.values(), default=None)
            taken = agenda.pop_due(number)
            if due is None or due > number:
                assert taken is None
            else:
                assert taken is not None
                assert taken.due == due == model[taken.job]
                agenda.put(taken, taken.due + 200)
                model[taken.job] = taken.due
        assert agenda.first_due() == min(model.values(), default=None)
        assert len(agenda) == len(model)


def test_what_is_over_is_named_until_it_is_dropped_and_not_while_it_is_asked() -> None:
    agenda = Agenda()
    early, late = watched(1, 0, expires=10), watched(2, 0, expires=20)
    agenda.add(early)
    agenda.add(late)
    assert agenda.expired(9.9) == []
    assert agenda.expired(10) == [early]
    assert agenda.expired(10.5) == [], "all jobs are looked at, so not in every tick"
    assert agenda.expired(11.1) == [early], "it is named again if nobody could store its end"
    early.in_flight = True
    assert agenda.expired(12.2) == []
    early.in_flight = False
    agenda.drop(1)
    assert agenda.expired(13.3) == []
    assert agenda.expired(25) == [late]

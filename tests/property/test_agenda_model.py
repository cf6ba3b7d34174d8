"""The agenda compared with a plain model: whatever is added, removed and taken, the most overdue job comes
first."""

from hypothesis import given
from hypothesis import strategies as st

from daemon.domain.jobs import JobId
from daemon.metastudio.kinds import KINDS
from daemon.watch.agenda import Agenda, JobQueue
from daemon.watch.job import Watched

jobs = st.integers(1, 6)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), jobs, st.floats(0, 100)),
        st.tuples(st.just("put"), jobs, st.floats(0, 100)),
        st.tuples(st.just("drop"), jobs, st.just(0.0)),
        st.tuples(st.just("once"), jobs, st.floats(0, 100)),
        st.tuples(st.just("hasten"), jobs, st.floats(0, 100)),
        st.tuples(st.just("pop"), jobs, st.floats(0, 100)),
    ),
    max_size=60,
)


def job_id(job: int) -> JobId:
    return JobId(f"j{job}")


def watched(job: int, due: float, expires: float = 1e9) -> Watched:
    return Watched(
        job=job, job_id=job_id(job), kind=KINDS["avatar"], state=None, since=0, expires=expires, due=due
    )


@given(steps)
def test_the_most_overdue_job_comes_first_and_dropped_ones_never(script: list[tuple[str, int, float]]) -> None:
    agenda, model = Agenda(), {}
    queues: dict[int, JobQueue] = {}
    for step, job, number in script:
        entry = agenda.get(job_id(job))
        if step == "add":
            agenda.add(watched(job, number))
            model[job], queues[job] = number, JobQueue.TOGETHER
        elif step == "put" and entry is not None:
            agenda.put(entry, number)
            model[job] = number
        elif step == "once" and entry is not None:
            turn = entry.ask_in_list if entry.singly_next else entry.ask_singly
            turn()
            agenda.put(entry, number)
            model[job], queues[job] = number, JobQueue(entry.singly_next)
        elif step == "drop":
            assert (agenda.drop(job_id(job)) is not None) == (model.pop(job, None) is not None)
        elif step == "hasten":
            agenda.hasten(number)
            model = {each: min(due, number) for each, due in model.items()}
        elif step == "pop":
            queue, most = JobQueue(job % 2), int(number) % 4
            there = {each: due for each, due in model.items() if queues[each] is queue}
            taken = agenda.pop(queue, most)
            assert [each.due for each in taken] == sorted(there.values())[:most]
            for each in taken:
                each.release()
                agenda.put(each, each.due + 200)
                model[each.job] = each.due
        assert agenda.first_due() == min(model.values(), default=None)
        for queue in JobQueue:
            expected = [due for each, due in model.items() if queues[each] is queue]
            assert agenda.first_due(queue) == min(expected, default=None)
        assert len(agenda) == len(model)


def test_what_is_taken_is_not_found_until_it_is_given_back() -> None:
    agenda = Agenda()
    for job in range(5):
        agenda.add(watched(job, job))
    taken = agenda.pop(JobQueue.TOGETHER, 3)
    assert [each.job for each in taken] == [0, 1, 2]
    assert agenda.first_due() == 3
    agenda.give_back(taken)
    assert [each.job for each in agenda.pop(JobQueue.TOGETHER, 9)] == [0, 1, 2, 3, 4]
    assert agenda.first_due() is None


def test_the_agenda_counts_what_lists_hold() -> None:
    agenda = Agenda()
    for job in range(4):
        agenda.add(watched(job, 0))
    agenda.set_unlisted(agenda.get(job_id(1)))
    agenda.set_unlisted(agenda.get(job_id(1)))
    assert (agenda.listed, agenda.unlisted) == (3, 1)
    agenda.drop(job_id(1))
    agenda.drop(job_id(2))
    assert (agenda.listed, agenda.unlisted) == (2, 0)


def test_the_oldest_answer_is_that_of_the_jobs_that_lists_hold() -> None:
    agenda = Agenda()
    assert agenda.oldest_answer() == float("inf")
    for job, looked in ((1, 5.0), (2, 3.0), (3, 1.0)):
        agenda.add(watched(job, 0))
        agenda.get(job_id(job)).answered(looked, "ids")
    agenda.set_unlisted(agenda.get(job_id(3)))
    assert agenda.oldest_answer() == 3.0
    agenda.add(watched(4, 0))
    assert agenda.oldest_answer() == float("-inf")


def test_what_is_over_is_named_until_it_is_dropped_and_not_while_it_is_asked() -> None:
    agenda = Agenda()
    early, late = watched(1, 0, expires=10), watched(2, 0, expires=20)
    agenda.add(early)
    agenda.add(late)
    assert agenda.expired(9.9) == []
    assert agenda.expired(10) == [early]
    assert agenda.expired(10.5) == [], "all jobs are looked at, so not in every tick"
    assert agenda.expired(11.1) == [early], "it is named again if nobody could store its end"
    early.ask()
    assert agenda.expired(12.2) == []
    early.release()
    agenda.drop(job_id(1))
    assert agenda.expired(13.3) == []
    assert agenda.expired(25) == [late]

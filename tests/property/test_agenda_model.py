"""The agenda compared with a plain model: whatever is added, removed and taken, the most overdue job comes
first."""

from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.domain.jobs import JobId
from daemon.metastudio.kinds import KINDS
from daemon.watch.agenda import _ORDERED, _READ_STEP, _STEP, Agenda, JobQueue, Round
from daemon.watch.agenda import step as step_of
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
    """Ids of three tables: of two the tables are named by `a` and `b`, of one by nothing."""
    return JobId(f"j{job}" if job % 3 == 0 else f"{job:06}" + "ab"[job % 3 - 1])


def watched(job: int, due: float, expires: float = 1e9, *, name: Callable[[int], str] = job_id) -> Watched:
    return Watched(
        job=job, job_id=JobId(name(job)), kind=KINDS["avatar"], state=None, since=0, expires=expires, due=due
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
            assert not step_of(agenda.hasten(number))
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
        assert len(agenda) == len(model) == len({each.job for each in agenda})
        assert {each.job for each in agenda.each()} == {each.job for each in agenda} == set(model)


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


def test_a_round_is_over_when_each_job_that_lists_hold_was_queried_since() -> None:
    agenda = Agenda()
    assert Round(agenda, 0.0).over()
    for job in (1, 2, 3, 4):
        agenda.add(watched(job, 0))
    agenda.set_unlisted(agenda.get(job_id(4)))
    round_ = Round(agenda, 2.0)
    for job, looked in ((3, 3.0), (1, 2.0), (1, 5.0)):
        agenda.get(job_id(job)).answered(looked, "ids")
        assert not round_.over()
    agenda.add(watched(5, 0))
    agenda.drop(job_id(2))
    assert round_.over(), "the jobs of its begin count, as long as they are watched"
    assert not Round(agenda, 2.0).over()


def test_a_job_is_held_from_when_it_is_added_until_it_is_dropped_or_replaced() -> None:
    agenda, first, second = Agenda(), watched(1, 5.0), watched(1, 5.0)
    agenda.add(first)
    assert agenda.holds(first)
    assert agenda.add(second) is first
    assert (agenda.holds(first), agenda.holds(second)) == (False, True)
    assert agenda.pop(JobQueue.TOGETHER, 9) == [second], "the entry of the one that was replaced does not count"
    agenda.drop(job_id(1))
    assert not agenda.holds(second)
    agenda.add(second)
    assert agenda.holds(second)
    assert list(agenda.clear()) == [None]
    assert not agenda.holds(second)


def many(number: int) -> Agenda:
    agenda = Agenda()
    for job in range(number):
        agenda.add(watched(job, 100.0 + job, expires=50.0))
    return agenda


@pytest.mark.parametrize("work", [Agenda.hasten, lambda agenda, now: agenda.bound(lambda _: now, longer=-1.0)])
def test_what_is_done_to_all_jobs_is_done_in_steps(work: Callable[[Agenda, float], Iterator[None]]) -> None:
    agenda = many(2 * _STEP + 2)
    steps, due = work(agenda, 5.0), []
    agenda.drop(job_id(0))
    agenda.get(job_id(1)).ask()
    while True:
        more = step_of(steps)
        due.append(sum(each.due == 5.0 for each in agenda if not each.in_flight))
        if not more:
            break
    assert due == [_STEP - 1, 2 * _STEP - 1, 2 * _STEP]
    assert len(agenda.pop(JobQueue.TOGETHER, 3 * _STEP)) == 2 * _STEP


def test_all_jobs_are_dropped_in_steps() -> None:
    agenda = many(_STEP + 1)
    agenda.set_unlisted(agenda.get(job_id(0)))
    assert agenda.expired(60.0)
    steps, left = agenda.clear(), []
    while step_of(steps):
        left.append(len(agenda))
    assert left == [1]
    assert (len(agenda), agenda.listed, agenda.first_due(), agenda.expired(99.0)) == (0, 0, None, [])
    assert [agenda.queued(queue) for queue in JobQueue] == [0, 0]


def test_of_very_many_jobs_due_together_some_are_put_in_order_at_once() -> None:
    agenda = Agenda()
    agenda.add_all([watched(job, 7.0) for job in range(2 * _ORDERED + 1)], 7.0, singly=False)
    agenda.add(watched(-1, 1.0))
    queue, found = agenda._queues[JobQueue.TOGETHER], []
    for _ in range(2 * _ORDERED + 2):
        found += [each.job for each in agenda.pop(JobQueue.TOGETHER)]
        assert len(queue._now) <= _ORDERED
    assert found == [-1, *range(2 * _ORDERED + 1)]
    assert (queue.size, agenda.first_due()) == (0, None)


def test_the_search_for_what_is_over_goes_on_where_it_stopped() -> None:
    agenda = many(2 * _READ_STEP + 1)
    found = [len(agenda.expired(60.0)) for _ in range(4)]
    assert found == [_READ_STEP, _READ_STEP, 1, 0]
    assert len(agenda.expired(61.5)) == _READ_STEP


def test_a_round_looks_at_so_many_jobs_at_once() -> None:
    agenda = many(_READ_STEP + 1)
    for each in agenda:
        each.answered(3.0, "ids")
    round_ = Round(agenda, 2.0)
    assert [round_.over(), round_.over()] == [False, True]


def test_many_jobs_are_added_as_one_by_one() -> None:
    one_by_one, together = Agenda(), Agenda()
    kinds = [KINDS["avatar"], next(kind for kind in KINDS.values() if not kind.listed)]
    for agenda in (one_by_one, together):
        agenda.add(watched(3, 7.0))
        assert agenda.first_due() == 7.0
        jobs = [
            Watched(job=job, job_id=job_id(job), kind=kinds[job % 2], state=None, since=0, expires=50, due=7.0)
            for job in range(8)
        ]
        for job in jobs:
            job.set_unlisted(unlisted=not job.kind.listed)
        if agenda is together:
            for some in (jobs[:4], jobs[4:]):
                for singly in (False, True):
                    agenda.add_all([job for job in some if job.unlisted == singly], 7.0, singly=singly)
        else:
            for job in jobs:
                agenda.add(job)
    for queue in JobQueue:
        assert one_by_one.queued(queue) == together.queued(queue)
        taken = [[each.job for each in agenda.pop(queue, 9)] for agenda in (one_by_one, together)]
        assert taken[0] == taken[1]
    assert (together.unlisted, len(together)) == (one_by_one.unlisted, 8)
    assert together.expired(50) == one_by_one.expired(50) == []


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


visits = st.tuples(st.sampled_from(["next", "add", "add all", "drop"]), jobs)


@given(st.lists(visits, max_size=40), st.booleans())
def test_a_visit_meets_the_jobs_of_its_begin_that_are_left(script: list[tuple[str, int]], whole: bool) -> None:
    """Whoever joins while jobs are visited was planned by what holds now, and must not be changed again."""
    agenda = Agenda()
    for job in (1, 2, 3, 4):
        agenda.add(watched(job, 0))
    begun, visit = set(agenda), agenda.each()
    met = [next(visit)]
    for what, job in script:
        if what == "next":
            met += [each for each in [next(visit, None)] if each is not None]
            assert met[-1] in begun
        elif what == "drop":
            agenda.drop(job_id(job))
        elif what == "add":
            agenda.add(watched(job, 0))
        else:
            agenda.add_all([watched(job, 0), watched(job + 1, 0)], 0, singly=False)
    if whole:
        rest = list(visit)
        assert not [each for each in rest if each.gone]
        met += rest
        assert {each for each in begun if not each.gone} <= set(met) <= begun
    assert len(met) == len(set(met))
    visit.close()
    assert not agenda._joined


@pytest.mark.parametrize("name", ["{0:08x}", "all-in-one-{0}", "{0}"])
@pytest.mark.parametrize("number", [0, 1, 99, 100, 150, 1000, 20_000])
def test_a_sample_is_of_the_wanted_size_and_in_time_of_every_job(name: str, number: int) -> None:
    agenda = Agenda()
    agenda.add_all([watched(job, 7.0, name=name.format) for job in range(number)], 7.0, singly=False)
    seen: set[int] = set()
    for begin in range(3 * (number // 100 + 1)):
        sample = agenda.sample(begin, 100)
        assert len({each.job for each in sample}) == len(sample)
        assert min(number, 50) <= len(sample) <= 100
        seen |= {each.job for each in sample}
    assert len(seen) >= 0.6 * number

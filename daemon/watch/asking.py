"""Sends one query to the service, singly, by ids or for the feed, and passes on what it returns.

Owns that an optional extra (a script) never costs news, and that every job returns to the agenda. Does not choose
queries.
"""

from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from msgspec.structs import replace

from daemon.logs import LogEvent, logger
from daemon.metastudio.budget import Permit, Priority
from daemon.metastudio.client import Shown
from daemon.metastudio.errors import ApiError, AuthPaused, AuthRefused, JobNotFound, Throttled
from daemon.watch.answers import Answers, Asked
from daemon.watch.choosing import Question
from daemon.watch.context import ProjectContext
from daemon.watch.feed import FeedReader
from daemon.watch.health import Progress
from daemon.watch.id_lists import IdLists
from daemon.watch.job import Watched
from daemon.watch.outcomes import Outcomes

log = logger(__name__)


class Asker:
    """Queries one project's jobs. `calm` says whether so little of the budget is in use (at a monotonic moment)
    that a query may bring more than news. `done` is called whenever a query has ended."""

    def __init__(
        self,
        context: ProjectContext,
        answers: Answers,
        id_lists: IdLists,
        feed: FeedReader,
        outcomes: Outcomes,
        *,
        progress: Progress,
        calm: Callable[[float], bool],
        done: Callable[[], None],
    ) -> None:
        self.in_flight = 0
        """Queries under way."""
        self._context = context
        self._answers = answers
        self._id_lists = id_lists
        self._feed = feed
        self._outcomes = outcomes
        self._progress = progress
        self._calm = calm
        self._done = done
        self._looks = context.metrics.looks.labels(context.project, "single")

    def start(self, question: Question, permit: Permit) -> None:
        """Begin a query."""
        if question.single:
            asking = self._ask_singly(question.jobs[0], permit)
        elif question.jobs:
            asking = self._ask_by_ids(question.jobs, permit)
        else:
            self._feed.begin()
            asking = self._ask_list(self._feed.read(permit), self._feed.failed, self._feed.broken)
        self.in_flight += 1
        self._context.tasks.spawn("look", self._counted(asking), project=self._context.project)

    async def _counted(self, asking: Coroutine[Any, Any, None]) -> None:
        try:
            await asking
        finally:
            self.in_flight -= 1
            self._done()

    async def _ask_singly(self, watched: Watched, permit: Permit) -> None:
        asked = Asked(by="single", began=self._context.clock.monotonic())
        try:
            try:
                shown = await self._shown(watched, permit)
            except ApiError as error:
                await self._outcomes.failed(watched, error, asked)
            else:
                await self._answered(watched, shown, asked)
            self._progress.made(self._context.clock.monotonic())
        except Exception as error:  # noqa: BLE001 - a bug costs one query about one job
            self._progress.broke(self._context.clock.monotonic())
            self._answers.defect(watched, error)
        finally:
            self._put_back([watched])

    async def _shown(self, watched: Watched, permit: Permit) -> Shown:
        """Return the answer about a job. Its script is optional: if the answer with it cannot be had, the job is
        queried without it at once, and from then on always if that works. Raises ApiError."""
        if not self._wants_script(watched):
            return await self._context.client.show_whole(watched.kind, watched.job_id, permit=permit)
        watched.set_script_asked(asked=True)
        try:
            shown = await self._context.client.show_whole(
                watched.kind, watched.job_id, permit=permit, show_script=True
            )
        except (Throttled, AuthPaused, JobNotFound):  # unrelated to the script
            watched.set_script_asked(asked=False)
            raise
        except AuthRefused:  # possibly related, but a second refusal right away would not tell
            raise
        except Exception as error:  # noqa: BLE001 - whatever the script causes, it must not cost the answer
            if not isinstance(error, ApiError):
                self._context.defects.note("watch", error, project=self._context.project, job=watched.job_id)
            log.info(
                LogEvent.POLL_FAILED, project=self._context.project, job=watched.job_id, wish="script", error=error
            )
            again = await self._context.client.budget.take(Priority.NEWS)
            try:
                return await self._context.client.show_whole(watched.kind, watched.job_id, permit=again)
            except AuthPaused:
                if isinstance(error, ApiError):
                    raise error from None  # nothing was sent: the first error is all that is known
                raise
            except ApiError:
                # Not only the script fails. The next query may try it again once the service has recovered.
                watched.set_script_asked(asked=False)
                raise
        await self._learn_length(watched, shown)
        return shown

    async def _learn_length(self, watched: Watched, shown: Shown) -> None:
        try:
            length = shown.expected_length()
            if length is not None:
                await self._answers.set_length(watched, length)
        except Exception as error:  # noqa: BLE001 - costs foresight, not the answer
            self._context.defects.note("watch", error, project=self._context.project, job=watched.job_id)

    async def _answered(self, watched: Watched, shown: Shown, asked: Asked) -> None:
        self._outcomes.reached(watched)
        self._looks.inc()
        self._id_lists.exists(watched)
        if not watched.recording and self._context.agenda.holds(watched):
            await self._answers.take(watched, shown.observation, replace(asked, kept=shown.kept))

    async def _ask_by_ids(self, jobs: Sequence[Watched], permit: Permit) -> None:
        broken = partial(self._id_lists.broken, jobs)
        try:
            await self._ask_list(self._id_lists.ask(jobs, permit), self._id_lists.failed, broken)
        finally:
            self._put_back([watched for watched in jobs if watched.in_flight and not watched.recording])

    async def _ask_list(
        self, asking: Coroutine[Any, Any, None], failed: Callable[..., None], broken: Callable[[Exception], None]
    ) -> None:
        try:
            await asking
        except ApiError as error:
            self._outcomes.list_failed(error, failed)
        except Exception as error:  # noqa: BLE001 - a bug costs one list
            self._progress.broke(self._context.clock.monotonic())
            broken(error)
            return
        else:
            self._outcomes.reached()
        self._progress.made(self._context.clock.monotonic())

    def _wants_script(self, watched: Watched) -> bool:
        return (
            watched.kind.scripted
            and watched.length is None
            and not watched.script_asked
            and not watched.failures
            and not self._outcomes.health.failures
            and self._calm(self._context.clock.monotonic())
        )

    def _put_back(self, jobs: Sequence[Watched]) -> None:
        now = self._context.clock.monotonic()
        for watched in jobs:
            self._context.planner.put_back(watched, now)

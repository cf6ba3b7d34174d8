"""Asks one question of the service, singly, by ids or by the feed, and hands on what comes of it.

Owns that a wish (a script) costs no news, and that every job comes back to the agenda. Never chooses a question.
"""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

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
from daemon.watch.job import Phase, Watched
from daemon.watch.outcomes import Outcomes

log = logger(__name__)


class Asker:
    """Asks about one project's jobs. `calm`: whether so little of the budget is used (at a monotonic moment) that
    a question may bring more than news. `done` is called whenever a question has ended."""

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
        """Questions under way."""
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
        """Begin to ask."""
        if question.single:
            asking = self._ask_singly(question.jobs[0], permit)
        elif question.jobs:
            asking = self._ask_by_ids(question.jobs, permit)
        else:
            self._feed.begin()
            asking = self._read_feed(permit)
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
        except Exception as error:  # noqa: BLE001 - a bug costs one question about one job
            self._progress.broke(self._context.clock.monotonic())
            self._answers.defect(watched, error)
        finally:
            self._put_back([watched])

    async def _shown(self, watched: Watched, permit: Permit) -> Shown:
        """The answer about a job. Its script is a wish: where the answer with it cannot be had for whatever
        reason, the job is asked about without, at once, and for good if that succeeds. Raises ApiError."""
        if not self._wants_script(watched):
            return await self._context.client.show_whole(watched.kind, watched.job_id, permit=permit)
        watched.set_script_asked(asked=True)
        try:
            shown = await self._context.client.show_whole(
                watched.kind, watched.job_id, permit=permit, show_script=True
            )
        except (Throttled, AuthPaused, JobNotFound):  # these are not about the script
            watched.set_script_asked(asked=False)
            raise
        except AuthRefused:  # it may be; a second refusal at once would tell no more
            raise
        except Exception as error:  # noqa: BLE001 - whatever the script does, it is not worth the job
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
                    raise error from None  # nothing was sent: what is known is the first one
                raise
            except ApiError:
                # Not the script's fault alone; while it fails none is asked for.
                watched.set_script_asked(asked=False)
                raise
        await self._learn_length(watched, shown)
        return shown

    async def _learn_length(self, watched: Watched, shown: Shown) -> None:
        try:
            length = shown.expected_length()
            if length is not None:
                await self._answers.set_length(watched, length)
        except Exception as error:  # noqa: BLE001 - it costs the foresight, not the answer
            self._context.defects.note("watch", error, project=self._context.project, job=watched.job_id)

    async def _answered(self, watched: Watched, shown: Shown, asked: Asked) -> None:
        self._outcomes.reached(watched)
        self._looks.inc()
        self._id_lists.exists(watched)
        if not watched.recording and self._context.agenda.holds(watched):
            await self._answers.take(watched, shown.observation, asked)

    async def _ask_by_ids(self, jobs: Sequence[Watched], permit: Permit) -> None:
        try:
            await self._id_lists.ask(jobs, permit)
        except ApiError as error:
            self._outcomes.list_failed(error, self._id_lists.failed)
            self._progress.made(self._context.clock.monotonic())
        except Exception as error:  # noqa: BLE001 - the same
            self._progress.broke(self._context.clock.monotonic())
            self._id_lists.broken(jobs, error)
        else:
            self._outcomes.reached()
            self._progress.made(self._context.clock.monotonic())
        finally:
            self._put_back([watched for watched in jobs if watched.phase is Phase.ASKED])

    async def _read_feed(self, permit: Permit) -> None:
        try:
            await self._feed.read(permit)
        except ApiError as error:
            self._outcomes.list_failed(error, self._feed.failed)
            self._progress.made(self._context.clock.monotonic())
        except Exception as error:  # noqa: BLE001 - the same
            self._progress.broke(self._context.clock.monotonic())
            self._feed.broken(error)
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

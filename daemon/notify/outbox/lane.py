"""The worker of one channel: claim, prepare, send, record, wait.

Owns this order, the channel's pace, and its pause after a failure. An outcome is kept until it is stored or the
store refuses it for good; until then nothing else is claimed. Errors of the store and defects of wrapd never drop
a delivery, and a delivery that wrapd cannot handle does not block the others.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from msgspec.structs import replace

from daemon.domain import backoff
from daemon.logs import LogEvent, logger
from daemon.notify.outbox.context import Surroundings
from daemon.notify.outbox.judge import ChannelHealth, Fallback, Judge, Judgement, Work
from daemon.notify.outbox.policy import ChannelCondition, defect_wait
from daemon.notify.outbox.prepare import Prepared, Wants
from daemon.notify.outbox.sender import (
    AGAIN,
    OVERLAP,
    Arrival,
    Claim,
    Claimer,
    Claims,
    ClaimsOrIdle,
    Helper,
    Idle,
    InFlight,
    LaneState,
    Sender,
    SeriesEnd,
    Unrecorded,
    arrive,
    finish,
    log_send,
)
from daemon.notify.services.base import Picture
from daemon.notify.transport import Channel
from daemon.notify.transport.verdicts import Dead, Final, Hold, Sent, arrived
from daemon.store import AttemptOutcome, Left, StoreClosed, StoreError, StoreRefused, Transaction
from daemon.tasks import Worker

log = logger(__name__)
T = TypeVar("T")


class Lane:
    """Sends the deliveries of one channel. `arrival` is the channel's state at the start of
    the daemon; a lane that starts later reads it from the store. `after` is the channel's previous lane, which has
    ended: its pace and its troubles are taken over."""

    def __init__(
        self,
        channel: Channel,
        around: Surroundings,
        *,
        arrival: Arrival | None = None,
        after: "Lane | None" = None,
    ) -> None:
        now = around.clock.monotonic()
        self.name = channel.name
        self.channel, self.after, self.arrived = channel, after, False
        """`after` is kept until this lane has begun."""
        self.stopped = asyncio.Event()
        self.progress = self.moved = now
        """When it last made progress without a defect of wrapd's own, and when at all (monotonic seconds)."""
        self.condition = ChannelCondition()
        self._around = around
        self._begun = now
        self._worker = Worker(f"wrapd-{channel.name}")
        self._wake = asyncio.Event()
        self._news = True
        self._next: Claims = ()
        self._judge = Judge(channel, around)
        self._pace = around.paces.of(channel.name, channel.limits)
        self._wants = Wants(machine=channel.service.machine, picture=channel.service.picture is not Picture.NONE)
        self._in_flight = InFlight()
        self._claimer = Claimer(
            channel=channel.name,
            above=channel.digest_above,
            window=channel.plan.digest_window,
            longest=around.settings.look_interval,
            idle=around.settings.idle_interval,
            own_links=around.preparer.links,
            in_flight=self._in_flight,
        )
        # People read a chat in order; a limit is kept by one message after the other; templates serve one thread.
        alone = not channel.service.machine or bool(channel.limits) or channel.templates is not None
        others = range(1, 1 if alone else OVERLAP)
        self._helpers = tuple(Helper(f"wrapd-{channel.name}-{each}") for each in others)
        self._sender = Sender(
            channel=channel,
            twins=tuple(channel.twin() for _ in others),
            helpers=self._helpers,
            around=around,
            claimer=self._claimer,
            pace=self._pace,
            wants=self._wants,
            stopped=self.stopped,
            before_take=self._no_news,
            on_sent=self._count_sent,
        )
        self._fallback = Fallback(
            channel=channel.name, plan=channel.plan, look_interval=around.settings.look_interval
        )
        if arrival is not None:
            self._begin(arrival)

    @property
    def owned(self) -> frozenset[int]:
        """Row ids of its deliveries in flight."""
        return self._in_flight.rows

    def wake(self) -> None:
        """Poll the outbox now: rows of this channel were written."""
        self._news = True
        self._wake.set()

    def nudge(self) -> None:
        """Poll the outbox now: something may have changed."""
        self._wake.set()

    def stop(self) -> None:
        """End after the message in flight."""
        self.stopped.set()
        self._wake.set()

    def abandon(self) -> None:
        """Give up whatever is in flight; the rescue takes it up."""
        self._next = ()
        self._in_flight.keep(AGAIN)
        self._pace.free()

    def bury(self, tx: Transaction, dead: Sequence[Left], *, reason: str, at: datetime) -> None:
        """Write the alerts about deliveries that died of defects of wrapd's own."""
        self._judge.bury(tx, [(each.id, each.event) for each in dead], reason=reason, at=at)

    async def run(self) -> None:
        """Send what is due until `stop`. Raises StoreError if an outcome could not be stored at the stop."""
        try:
            while self._next or not self.stopped.is_set():
                self._wake.clear()
                wait = await self._poll_safely()
                if wait > 0 and not self.stopped.is_set():
                    await self._around.waiter(self._wake, wait)
        finally:
            self._worker.stop()
            for helper in self._helpers:
                helper.stop()

    async def _poll_safely(self) -> float:
        """`_poll`, except that the lane goes on one poll interval after a defect of wrapd's own."""
        wait, well = self._around.settings.look_interval, False
        try:
            wait, well = await self._poll(), True
        except StoreError as error:
            if self.stopped.is_set():
                raise
            well = not isinstance(error, StoreRefused)
            self.abandon()
        except Exception as error:  # noqa: BLE001 - one lane that ends would be silent until the next start
            self._around.defects.note("delivery", error, channel=self.name)
            self.abandon()
        self._progressed(well=well)
        return wait

    def _progressed(self, *, well: bool = True) -> None:
        self.moved = self._around.clock.monotonic()
        if well:
            self.progress = self.moved

    async def _poll(self) -> float:
        """Send what is due: claim, prepare, send, record. Returns seconds until the next poll."""
        await self._insist(self._around.keeper.look)
        if not self.arrived:
            await self._arrive()
        next_, self._next = self._next, ()
        found = next_ or await self._claim()
        if not isinstance(found, Idle):
            found = await self._deliver(found)
        if isinstance(found, Idle):
            self._pace.free()
            return found.seconds
        self._next = found
        return 0.0

    async def _deliver(self, claims: Claims) -> ClaimsOrIdle:
        """Prepare and send messages, and store their outcomes. Returns what follows."""
        prepared = await asyncio.gather(*map(self._prepare, claims))
        failed = [each for each in prepared if isinstance(each, Unrecorded)]
        ready = [(one, each) for one, each in zip(claims, prepared, strict=True) if isinstance(each, Prepared)]
        end = await self._send(ready, alone=bool(failed)) if ready else SeriesEnd()
        if not failed and not end.unrecorded:
            return end.after
        return await self._record_all([*failed, *end.unrecorded])

    def _no_news(self) -> None:
        """The claim that follows sees all rows written so far."""
        self._news = False

    def _count_sent(self, count: int) -> None:
        self._progressed()
        for _ in range(count):
            self._around.on_result(self.name, AttemptOutcome.SENT)

    # Start

    async def _arrive(self) -> None:
        """Read the channel's state from the store, and begin with it."""
        around, after = self._around, self.after
        elsewhere = after is not None and not after.channel.leads_to(self.channel)
        salt = around.salt()

        def work(tx: Transaction) -> Arrival:
            return arrive(self.channel, tx, salt=salt, clock=around.steady, elsewhere=elsewhere)

        arrival = Arrival(moved=elsewhere, held=None, sent=())
        try:
            arrival = await self._insist(lambda: around.store.write(work))
        except StoreClosed:
            raise
        except Exception as error:  # noqa: BLE001 - begin without: whether the channel is held shows at its probe
            around.defects.note("delivery", error, channel=self.name)
        self._begin(arrival)

    def _begin(self, arrival: Arrival) -> None:
        after, now = self.after, self._around.clock.monotonic()
        self.arrived, self.after = True, None
        if after is not None:
            self._follow(after, moved=arrival.moved)
        elif arrival.held is not None:
            self.condition.held = True
            self._fallback.held(now, seconds=arrival.held)
        # The store knows when each attempt began; the service counts from its end, one timeout later at most.
        longest = self._around.settings.send_timeout
        self._pace.before([now - max(0.0, ago - longest) for ago in arrival.sent])

    def _follow(self, after: "Lane", *, moved: bool) -> None:
        """Take over from the previous lane. If the URL has changed, the old condition says nothing."""
        self._judge.follow(after._judge, moved=moved)
        if moved:
            return
        self.condition = after.condition
        self._fallback.follow(after._fallback)

    # What is next

    async def _claim(self) -> ClaimsOrIdle:
        """Claim what is due, if the channel may be sent to. Without news a read comes first, because a claim takes
        the write lock for what is mostly nothing."""
        news, self._news = self._news, False
        rest = await self._rest(news=news)
        if rest > 0:
            return Idle(seconds=rest)
        around, condition, singly = self._around, self.condition, self.condition.singly > 0
        if not news and not condition.resume:
            now = around.steady.now()
            wait = await self._insist(
                lambda: around.store.read_async(lambda tx: self._claimer.glance(tx, now=now))
            )
            if wait > 0:
                return Idle(seconds=wait)

        # Booked before the claim: a channel that shares the tally may have taken the place since `_rest`.
        rest = self._pace.book(around.clock.monotonic())
        if rest > 0:
            return Idle(seconds=min(rest, around.settings.look_interval))
        resume, condition.resume = condition.resume, False

        def work(tx: Transaction) -> ClaimsOrIdle:
            now, probe = around.steady.now(), not self._judge.suspects
            return self._claimer.take(tx, now=now, singly=singly, resume=resume, probe=probe)

        try:
            taken = await self._insist(lambda: around.store.write(work))
        except StoreClosed:
            raise
        except Exception as error:  # noqa: BLE001 - a row that cannot be claimed must not block the others
            around.defects.note("delivery", error, channel=self.name)
            self._in_flight.keep(AGAIN)
            return await self._put_aside(error, singly=singly)
        self._in_flight.keep(taken)
        return taken

    async def _put_aside(self, error: Exception, *, singly: bool) -> Idle:
        """Put off the next delivery, which wrapd itself fails to claim. After `DEFECTS` failures it is dead."""
        around = self._around
        if self._claimer.above > 0 and not singly:
            # Any row of the group may be at fault. Claiming one by one finds it without putting off the others.
            self.condition.singly = self._claimer.above
            return AGAIN
        reason = f"wrapd could not read this alert ({type(error).__name__})"
        spread = around.rng.random()

        def wait(defects: int) -> float:
            return defect_wait(defects, around.settings, spread)

        def work(tx: Transaction) -> Left | None:
            at = around.steady.now()
            aside = tx.outbox.put_aside(self.name, now=at, wait=wait, reason=reason)
            if aside is not None and aside.dead:
                self.bury(tx, [aside], reason=reason, at=at)
            return aside

        aside = await self._insist(lambda: around.store.write(work))
        if aside is None:
            return Idle(seconds=around.settings.look_interval)
        event = LogEvent.DELIVERY_DEAD if aside.dead else LogEvent.DELIVERY_RETRY
        log.warning(event, channel=self.name, delivery=aside.id, reason=reason)
        return AGAIN

    async def _rest(self, *, news: bool) -> float:
        """Seconds that the channel still rests, at most one poll interval; 0: it may send."""
        around = self._around
        now = around.clock.monotonic()
        if self.condition.held and self._fallback.is_due(now, news=news):
            await self._divert()
        pause = self.condition.pause
        if pause is not None:
            left = pause.until - now
            # What a person just released or wrapd just wrote is worth a try, unless the service said when to come.
            if left > 0 and (pause.strict or not await self._is_wanted(now - pause.since)):
                return min(left, around.settings.look_interval)
            self.condition.pause = None
        return min(self._pace.wait(now), around.settings.look_interval)

    async def _is_wanted(self, seconds: float) -> bool:
        """Whether anything became due in the last `seconds`, or the channel was released."""
        around = self._around
        now = around.steady.now()
        since = now - timedelta(seconds=seconds)

        def work(tx: Transaction) -> bool:
            released = self.condition.held and not tx.outbox.is_held(self.name)
            return released or tx.outbox.became_due(self.name, after=since, now=now)

        return await self._insist(lambda: around.store.read_async(work))

    async def _divert(self) -> None:
        """Copy to the fallback what this channel has not taken."""
        around, fallback = self._around, self._fallback

        def work(tx: Transaction) -> int:
            return fallback.divert(tx, at=around.steady.now())

        try:
            count = await self._insist(lambda: around.store.write(work))
        except StoreClosed:
            raise
        except Exception as error:  # noqa: BLE001 - the channel itself goes on
            around.defects.note("delivery", error, channel=self.name)
            return
        if count and fallback.to is not None:
            log.warning(LogEvent.DELIVERY_DIVERTED, channel=self.name, to=fallback.to, deliveries=count)
            around.tell((fallback.to,))

    # Sending

    async def _prepare(self, claim: Claim) -> Prepared | Unrecorded:
        """Renew links and fetch the picture."""
        try:
            return await self._around.preparer.prepare(claim.claimed, links=claim.links, wants=self._wants)
        except Exception as error:  # noqa: BLE001 - it is put off like a message that cannot be composed
            return self._sender.failed(claim, error)

    async def _send(self, ready: Sequence[tuple[Claim, Prepared]], *, alone: bool) -> SeriesEnd:
        """Send messages in the lane's threads and, unless they are sent `alone`, those after them while all goes
        well."""
        condition = self.condition
        calm = condition.is_calm and self._judge.trusts and not alone
        state = LaneState(failed_at=condition.failed_at, calm=calm)
        loop = asyncio.get_running_loop()
        claims, prepared = tuple(claim for claim, _ in ready), [each for _, each in ready]
        return await self._worker.run(lambda: self._sender.series(claims, prepared, state, loop))

    async def _record_all(self, ended: Sequence[Unrecorded]) -> ClaimsOrIdle:
        """Store the outcomes of messages that were sent at the same time. Those that pause the channel come last,
        and count as one failure of the channel. Each is stored, whatever happens to the others."""
        ordered = sorted(ended, key=lambda each: not isinstance(each.report.verdict, Sent | Dead))
        after: ClaimsOrIdle = AGAIN
        errors: list[Exception] = []
        failed = False
        for number, each in enumerate(ordered, start=1):
            try:
                rest = ordered[number:]
                after = await self._record(each, rest, again=failed, last=not rest and not errors)
            except StoreClosed:
                raise
            except Exception as error:  # noqa: BLE001 - it is raised once the others are stored
                errors.append(error)
            failed = failed or (each.written and not isinstance(each.report.verdict, Sent | Dead))
        if errors:
            raise errors[0]
        return after

    async def _record(
        self, ended: Unrecorded, rest: Sequence[Unrecorded], *, again: bool, last: bool
    ) -> ClaimsOrIdle:
        """Store the outcome, before those of `rest`. With the `last` one, claim what is next if it may go now."""
        around, condition = self._around, self.condition
        ended = self._judge.blame(ended)
        claim, reported = ended.claim, condition.was_reported(ended.report.verdict)
        pause = self._count(ended, again=again)
        uptime = around.clock.monotonic() - self._begun
        health = ChannelHealth(reported=reported, probes=condition.probes, pause=pause, uptime=uptime)
        judge = self._judge.of(ended, health)
        goes_on = last and condition.pause is None and self._pace.book(around.clock.monotonic()) <= 0
        singly, resume = condition.singly > 0, goes_on and condition.resume
        if goes_on:
            self._news = condition.resume = False

        def work(tx: Transaction) -> tuple[Judgement, ClaimsOrIdle]:
            judged = judge()
            finish(tx, judged.results, at=judged.at)
            judged.write_alerts(tx)
            if not goes_on or self.stopped.is_set():
                return judged, AGAIN
            return judged, self._claimer.take(tx, now=judged.at, singly=singly, resume=resume)

        after: ClaimsOrIdle = AGAIN
        try:
            judged, after = await self._insist(lambda: around.store.write(work))
        except StoreClosed:
            raise
        except Exception as error:  # noqa: BLE001 - the outcome is stored apart from its alerts and the next claim
            around.defects.note("delivery", error, channel=self.name, delivery=claim.first.delivery.id)
            judged = await self._record_alone(judge(), error)
        self._in_flight.keep(after, [each.claim for each in rest])
        log_send(self.name, claim, ended.report, judged.results[0].outcome, pause=pause, reported=reported)
        self._note_hold(ended.report.verdict)
        around.tell(judged.wakes)
        for each in judged.results:
            for _ in each.claimed:
                around.on_result(self.name, each.outcome.kind)
        return after

    def _count(self, ended: Unrecorded, *, again: bool) -> float:
        """Count how a message ended. Returns seconds for which the channel rests."""
        around, verdict = self._around, ended.report.verdict
        many, at = len(ended.claim.claimed), around.steady.now()
        self.condition.count(verdict, written=ended.written, many=many, at=at, again=again)
        if not ended.written:
            return 0.0
        now, spread = around.clock.monotonic(), around.rng.random()
        return self.condition.rest(verdict, now=now, settings=around.settings, spread=spread, again=again)

    async def _record_alone(self, judged: Judgement, error: Exception) -> Judgement:
        """Store an outcome that the store refused together with its alerts: first the outcome, with a reason known
        to be storable, then the alerts. If this is refused too, the rescue takes the deliveries up."""
        reason = f"wrapd could not store the outcome ({type(error).__name__})"
        plain = tuple(replace(each, outcome=replace(each.outcome, reason=reason)) for each in judged.results)
        works: list[Work] = [lambda tx: finish(tx, plain, at=judged.at)]
        works += [judged.write_alerts] if judged.alerts else []
        for work in works:
            try:
                await self._insist(partial(self._around.store.write, work))
            except StoreClosed:
                raise
            except Exception as further:  # noqa: BLE001 - the rescue is the last resort
                self._around.defects.note("delivery", further, channel=self.name)
        return replace(judged, results=plain)

    def _note_hold(self, verdict: Final) -> None:
        """Note whether the channel is held now."""
        self.condition.note_hold(verdict)
        if arrived(verdict):
            self._fallback.freed()
        elif isinstance(verdict, Hold):
            self._fallback.held(self._around.clock.monotonic())

    async def _insist(self, call: Callable[[], Awaitable[T]]) -> T:
        """Retry a call of the store until it succeeds. Raises StoreRefused and StoreClosed.

        During a stop it is tried once: a send without a stored outcome is found at the next start and repeated,
        marked as a possible repeat.
        """
        failures = 0
        while True:
            last = self.stopped.is_set()
            try:
                return await call()
            except (StoreRefused, StoreClosed):
                raise
            except StoreError as error:
                if last:
                    raise
                failures += 1
                self._progressed()  # the lane is sound; the writer's health reports the database
                log.error(LogEvent.DATABASE_FAILED, channel=self.name, error=error)
            spread = self._around.rng.random()
            wait = backoff.delay(failures, base=0.5, cap=self._around.settings.store_retry_cap, spread=spread)
            await self._around.waiter(self.stopped, wait)

"""The database: jobs, transitions, deliveries and attempts, and every statement on them.

The only package that imports SQLAlchemy and Alembic. Callers never see a connection, a statement or an error of
theirs: units of work receive a `Transaction`, rows are plain values, and errors are named by what to do next.
"""

from typing import TYPE_CHECKING

from daemon.late import late

if TYPE_CHECKING:
    from daemon.store.active import NO_GROUP, ActivePage, parts_of
    from daemon.store.batches import BATCH_SETTLE, Batch
    from daemon.store.changes import ChangeRow, JobNews
    from daemon.store.day_sums import DaySum, Total
    from daemon.store.discoveries import Discoveries
    from daemon.store.errors import StoreBusy, StoreClosed, StoreError, StoreFailed, StoreRefused, is_of_database
    from daemon.store.figures import Figures, ProjectFigures
    from daemon.store.health import backup
    from daemon.store.history import AnswerRow, History
    from daemon.store.jobs import Jobs
    from daemon.store.links import Links
    from daemon.store.lists import DeliveryFilter, DeliverySort, JobFilter, JobSort, Page
    from daemon.store.memory import Statuses
    from daemon.store.migrate import Schema, SchemaStatus, check, current, upgrade
    from daemon.store.moves import MovedDeliveries, MovedJobs, Moves
    from daemon.store.mutes import Ended, Mutes
    from daemon.store.needs import Found, NeedRow, NeedRows
    from daemon.store.orphans import Orphans
    from daemon.store.outbox import FAR, STOPPED_WHILE_SENDING, Outbox
    from daemon.store.ownership import DEFECTS, LEFT_WHILE_SENDING, Left
    from daemon.store.paging import Place, RowCount
    from daemon.store.pauses import ProjectPauses
    from daemon.store.pictures import Pictures, ThumbnailRow
    from daemon.store.retention import Retention
    from daemon.store.rows import (
        GIVEN_UP,
        MAX_LABEL,
        MAX_NAME,
        MAX_TAGS,
        MAX_WORD,
        REPLACED,
        ActionRow,
        AttemptOutcome,
        AttemptRow,
        BatchRow,
        Bookkeeping,
        Change,
        Claimed,
        DeliveryRow,
        DeliveryStatus,
        DiscoveryRow,
        FinishedRow,
        JobName,
        JobRow,
        Known,
        Labelled,
        LinkRow,
        MuteRow,
        Outcome,
        PauseRow,
        PictureRow,
        Recorded,
        Refusal,
        Standing,
        Status,
        TrackOutcome,
        TrackRequest,
        TrackResult,
        TrackRule,
        TransitionRow,
        WriterHealth,
        to_stamp,
    )
    from daemon.store.store import Store, Transaction
    from daemon.store.tables import MOST_PICTURE
    from daemon.store.watch_row import WatchRow
else:
    __getattr__ = late(
        __name__,
        {
            "active": "NO_GROUP ActivePage parts_of",
            "batches": "BATCH_SETTLE Batch",
            "changes": "ChangeRow JobNews",
            "day_sums": "DaySum Total",
            "discoveries": "Discoveries",
            "errors": "StoreBusy StoreClosed StoreError StoreFailed StoreRefused is_of_database",
            "figures": "Figures ProjectFigures",
            "health": "backup",
            "history": "AnswerRow History",
            "jobs": "Jobs",
            "links": "Links",
            "lists": "DeliveryFilter DeliverySort JobFilter JobSort Page",
            "memory": "Statuses",
            "migrate": "Schema SchemaStatus check current upgrade",
            "moves": "MovedDeliveries MovedJobs Moves",
            "mutes": "Ended Mutes",
            "needs": "Found NeedRow NeedRows",
            "orphans": "Orphans",
            "outbox": "FAR STOPPED_WHILE_SENDING Outbox",
            "ownership": "DEFECTS LEFT_WHILE_SENDING Left",
            "paging": "Place RowCount",
            "pauses": "ProjectPauses",
            "pictures": "Pictures ThumbnailRow",
            "retention": "Retention",
            "rows": (
                "GIVEN_UP MAX_LABEL MAX_NAME MAX_TAGS MAX_WORD REPLACED ActionRow AttemptOutcome AttemptRow "
                "BatchRow Bookkeeping Change Claimed DeliveryRow DeliveryStatus DiscoveryRow FinishedRow JobName "
                "JobRow Known Labelled LinkRow MuteRow Outcome PauseRow PictureRow Recorded Refusal Standing "
                "Status TrackOutcome TrackRequest TrackResult TrackRule TransitionRow WriterHealth to_stamp"
            ),
            "store": "Store Transaction",
            "tables": "MOST_PICTURE",
            "watch_row": "WatchRow",
        },
    )

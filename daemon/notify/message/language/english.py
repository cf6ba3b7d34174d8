"""English messages, for production teams: short sentences, no jargon."""

from daemon.domain.events import Event
from daemon.domain.words import ENGLISH_KINDS
from daemon.notify.message.escape import Units
from daemon.notify.message.language.catalogue import Calendar, Catalogue, OperatorText, Plural

ENGLISH = Catalogue(
    units=Units(),
    calendar=Calendar(
        months=("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
        date="{day} {month}",
        dated="{day} {month} {year}",
        moment="{date} {time} ({offset})",
        until="{first} to {last}",
    ),
    colon=": ",
    comma=", ",
    listed="; ",
    stop=".",
    gap=" ",
    brackets=" ({text})",
    kinds=ENGLISH_KINDS,
    product_video="video",
    product_card="business card",
    product_result="result",
    states={
        "WAITING": "waiting in the queue",
        "PROCESSING": "in production",
        "SUCCEED": "finished",
        "PARTIAL_SUCCEED": "partly finished",
        "FAILED": "failed",
        "CANCELED": "canceled",
        "BLOCK": "frozen",
    },
    state_unknown="not known yet",
    reasons={},
    titles={
        Event.SUCCEEDED: "Ready: {name}",
        Event.FAILED: "Failed: {name}",
        Event.CANCELED: "Canceled: {name}",
        Event.BLOCKED: "Frozen: {name}",
        Event.UNBLOCKED: "Moving again: {name}",
        Event.STARTED: "In production: {name}",
        Event.STUCK: "Taking too long: {name}",
        Event.LOST: "Not found: {name}",
        Event.EXPIRED: "Not finished: {name}",
        Event.LINK_EXPIRING: "Link expires soon: {name}",
        Event.BATCH_FINISHED: "Batch {name}: {counts}",
    },
    title_partial="Partly ready: {name}",
    title_digest="{counts}",
    verbs={
        Event.SUCCEEDED: "finished {at}",
        Event.FAILED: "failed {at}",
        Event.CANCELED: "canceled {at}",
        Event.BLOCKED: "frozen {at}",
        Event.UNBLOCKED: "moving again {at}",
        Event.STARTED: "started {at}",
        Event.STUCK: "flagged as slow {at}",
        Event.LOST: "not found {at}",
        Event.EXPIRED: "given up {at}",
        Event.LINK_EXPIRING: "reminder due {at}",
        Event.BATCH_FINISHED: "finished {at}",
    },
    verb_partial="partly finished {at}",
    verb_first="the first was {at}",
    verb_other="happened {at}",
    counts={
        "succeeded": Plural(one="1 finished", many="{n} finished"),
        "partial": Plural(one="1 partly finished", many="{n} partly finished"),
        "failed": Plural(one="1 failed", many="{n} failed"),
        "canceled": Plural(one="1 canceled", many="{n} canceled"),
        "blocked": Plural(one="1 frozen", many="{n} frozen"),
        "unblocked": Plural(one="1 moving again", many="{n} moving again"),
        "started": Plural(one="1 started", many="{n} started"),
        "stuck": Plural(one="1 taking too long", many="{n} taking too long"),
        "lost": Plural(one="1 not found", many="{n} not found"),
        "expired": Plural(one="1 not finished", many="{n} not finished"),
        "stopped": Plural(one="1 no longer watched", many="{n} no longer watched"),
        "link_expiring": Plural(one="1 link expires soon", many="{n} links expire soon"),
        "batch_finished": Plural(one="1 batch finished", many="{n} batches finished"),
    },
    other=Plural(one="1 other alert", many="{n} other alerts"),
    ways={
        "partial": "partly finished",
        "failed": "failed",
        "canceled": "canceled",
        "lost": "not found",
        "expired": "not finished",
        "stopped": "no longer watched",
    },
    partly="Only part of what was ordered is ready.",
    made="{length} of video, made in {took}.",
    made_long="{length} of video.",
    made_took="Made in {took}.",
    exactly="{length}",
    about="about {length}",
    finished="The {product} is finished.",
    failed="MetaStudio says: {said}",
    failed_unsaid="MetaStudio gave no reason.",
    canceled="It was canceled, so there is no {product}.",
    canceled_made="It was canceled, but MetaStudio has links to a {product} anyway.",
    blocked="MetaStudio has frozen it. You will hear when it moves again.",
    unblocked="It was frozen and is now {state}.",
    started="MetaStudio is working on it.",
    started_eta="It should take about {median} more (8 out of 10 take {low} to {high}).",
    stuck="It has been in production for much longer than jobs like it. You will hear when it ends.",
    stuck_normal=(
        "It has been in production for {elapsed}. Jobs like it usually take {median}, 99 out of 100 less than "
        "{high}. "
        "You will hear when it ends."
    ),
    lost="MetaStudio no longer finds it, so wrapd stopped checking. If the id is right, track it again.",
    lost_never=(
        "MetaStudio has no {kind} with this id, so wrapd stopped checking. "
        "Check the id; if the job is of another kind, track it again with --kind."
    ),
    expired="wrapd has watched it since {since} without seeing it end, and gave up. Track it again to continue.",
    link_expiring="The link to the {product} works until {until}, for another {left}. Save it before then.",
    link_unseen="Nobody has opened the {product} yet. MetaStudio's own link to it expires {until}, in {left}.",
    link_expired="MetaStudio's link to it expired {until}.",
    link_soon="Its link expires soon. Save it before then.",
    batch_all="All {n} are finished.",
    batch_names="{counts}: {names}.",
    batch_done="{done} of {n} done",
    batch_more="and {n} more",
    digest="{n} alerts from {span}, sent together.",
    digest_quiet="{n} alerts from {span}, held until the end of quiet hours.",
    digest_muted="{n} alerts from {span}, held while they were muted.",
    row_length="{length} of video",
    operators={
        Event.PROJECT_DOWN: OperatorText(
            title="Project {project}: no usable answers from MetaStudio",
            headline=(
                "wrapd goes on as soon as MetaStudio answers again; nothing is lost. "
                "Check the network and the project's endpoint: `wrapd doctor` tests both."
            ),
        ),
        Event.PROJECT_RECOVERED: OperatorText(
            title="Project {project}: MetaStudio answers again",
            headline="Jobs that ended in the meantime are reported now. There is nothing to do.",
        ),
        Event.AUTH_FAILED: OperatorText(
            title="Project {project}: MetaStudio refuses the credentials",
            headline=(
                "Its jobs are not checked until this is fixed. "
                "Correct the keys or the token in the config, then run `wrapd reload`; `wrapd doctor` tests them."
            ),
        ),
        Event.CHANNEL_HELD: OperatorText(
            title="Channel {channel} does not accept messages",
            headline=(
                "Its messages are kept; none is lost. Fix the channel, then run `wrapd channels test {channel}`: "
                "once the test arrives, the rest follow."
            ),
        ),
        Event.UNKNOWN_STATE: OperatorText(
            title="Project {project}: unknown job state",
            headline=(
                "MetaStudio reports the state {state}. wrapd keeps checking until the job ends. "
                "If this keeps happening, look for an update of wrapd."
            ),
        ),
        Event.OVERLOADED: OperatorText(
            title="Project {project}: jobs are checked too late",
            headline=(
                "There are more jobs than the request budget allows for. Raise the project's requests_per_second "
                "(within the limit of its region) or max_interval."
            ),
        ),
        Event.DELIVERY_DEAD: OperatorText(
            title="Channel {channel}: alerts could not be delivered",
            headline=(
                "The chat service rejects them in every form, and wrapd has given up. "
                "`wrapd deliveries --status dead` lists them; `wrapd deliveries retry` sends them again."
            ),
        ),
        Event.UNCONFIRMED: OperatorText(
            title="Project {project}: callbacks named jobs that do not exist",
            headline=(
                "MetaStudio has no such jobs of any kind, so wrapd stopped checking; other channels were not "
                "notified. Check that the jobs belong to this project. If you did not create them, someone else "
                "knows the callback address: change the project's callback key."
            ),
        ),
        Event.CONFIG_REFUSED: OperatorText(
            title="The changed config has an error",
            headline=(
                "wrapd goes on with the last good config; the change is not in use. "
                "Fix the error, then run `wrapd reload`; `wrapd config check` lists every error."
            ),
        ),
        Event.ORPHANED: OperatorText(
            title="Project {project} is not in the config, but has jobs",
            headline=(
                "They are no longer checked, so their ends are not reported. Put the project back into the config "
                "and run `wrapd reload`, or move its jobs to another project: `{command}`."
            ),
        ),
        Event.DEFECT: OperatorText(
            title="wrapd had an internal error",
            headline=(
                "Everything else goes on, and what failed is retried less often. "
                "Please report it with the traceback from the log."
            ),
        ),
    },
    held_partly=OperatorText(
        title="Channel {channel} does not reach all its recipients",
        headline=(
            "The others get its messages, and nothing is sent twice. Correct the rejected recipient, then run "
            "`wrapd channels test {channel}`."
        ),
    ),
    orphaned_channel=OperatorText(
        title="Channel {channel} is not in the config, but alerts wait for it",
        headline=(
            "They are not sent. Put the channel back into the config and run `wrapd reload`, or move them to "
            "another channel: `{command}`."
        ),
    ),
    operator_other=OperatorText(title="{event}", headline="wrapd reports {event}."),
    repeat="This may be a repeat: an earlier attempt may have arrived.",
    repeat_some="Some of these may be repeats: an earlier attempt may have arrived.",
    resent="Sent again on request: it was first sent {first}.",
    resent_some="Some of these were sent before, and are sent again on request.",
    damped="This came and went: {n} changes since {since}. This is the latest.",
    diverted="Sent here because channel {channel} does not accept messages.",
    late="Late: {happened}, reported {told}.",
    late_why="Late: {happened}, reported {told}: {why}.",
    why_unreachable="chat was unreachable",
    why_quiet="held until the end of quiet hours",
    why_muted="held while muted",
    why_tracked="wrapd did not know of the job until {at}",
    why_service="MetaStudio did not report it until {at}",
    why_seen="wrapd could not see it until {at}",
    field_names={
        "error": "Error",
        "reason": "Reason",
        "state": "State",
        "ended": "Finished",
        "failed": "Failed",
        "canceled": "Canceled",
        "started": "Started",
        "seen": "Seen",
        "expected": "Expected",
        "valid": "Link valid until",
        "note": "Note",
        "label": "Label",
        "batch": "Batch",
        "tags": "Tags",
        "project": "Project",
        "job": "Job",
        "asset": "Asset",
        "late": "Late by",
        "jobs": "Jobs",
        "deliveries": "Alerts",
        "part": "Part",
        "since": "Since",
        "began": "Began",
        "batch_ended": "Ended",
        "took": "Took",
    },
    link_names={
        "watch": "Watch",
        "open": "Open",
        "preview": "Preview",
        "download": "Download",
        "cover": "Cover",
    },
    link_until="valid until {until}",
    link_gone="expired {until}",
    link_later="The download link is not known yet: `wrapd show` has it soon.",
    links_left_out=Plural(
        one="1 link too long for this chat: `wrapd show` has all of them",
        many="{n} links too long for this chat: `wrapd show` has all of them",
    ),
    rows_left_out=Plural(one="and 1 more", many="and {n} more"),
    test_title="wrapd can reach you here",
    test_headline="This is a test of the channel {channel}. Alerts will arrive like this one.",
)

"""English: what production people read. Short sentences, no jargon."""

from daemon.domain.events import Event
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
    kinds={
        "avatar": "avatar video",
        "photo": "photo video",
        "business_card": "business card",
        "photo_detection": "photo detection",
        "picture_modeling": "picture modelling",
    },
    product_video="video",
    product_card="business card",
    product_result="result",
    states={
        "WAITING": "waiting in the queue",
        "PROCESSING": "in production",
        "SUCCEED": "finished",
        "PARTIAL_SUCCEED": "finished in part",
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
        Event.STUCK: "Takes too long: {name}",
        Event.LOST: "Not found: {name}",
        Event.EXPIRED: "Not ended: {name}",
        Event.LINK_EXPIRING: "Link expires soon: {name}",
        Event.BATCH_FINISHED: "Batch {name}: {counts}",
    },
    title_partial="Ready in part: {name}",
    title_digest="{counts}",
    verbs={
        Event.SUCCEEDED: "finished {at}",
        Event.FAILED: "failed {at}",
        Event.CANCELED: "canceled {at}",
        Event.BLOCKED: "frozen {at}",
        Event.UNBLOCKED: "moving again {at}",
        Event.STARTED: "started {at}",
        Event.STUCK: "found too slow {at}",
        Event.LOST: "not found {at}",
        Event.EXPIRED: "given up {at}",
        Event.LINK_EXPIRING: "reminder due {at}",
        Event.BATCH_FINISHED: "finished {at}",
    },
    verb_partial="finished in part {at}",
    verb_first="the first was {at}",
    verb_other="happened {at}",
    counts={
        "succeeded": Plural(one="1 finished", many="{n} finished"),
        "partial": Plural(one="1 finished in part", many="{n} finished in part"),
        "failed": Plural(one="1 failed", many="{n} failed"),
        "canceled": Plural(one="1 canceled", many="{n} canceled"),
        "blocked": Plural(one="1 frozen", many="{n} frozen"),
        "unblocked": Plural(one="1 moving again", many="{n} moving again"),
        "started": Plural(one="1 started", many="{n} started"),
        "stuck": Plural(one="1 too slow", many="{n} too slow"),
        "lost": Plural(one="1 not found", many="{n} not found"),
        "expired": Plural(one="1 not ended", many="{n} not ended"),
        "stopped": Plural(one="1 no longer watched", many="{n} no longer watched"),
        "link_expiring": Plural(one="1 link expires soon", many="{n} links expire soon"),
        "batch_finished": Plural(one="1 batch finished", many="{n} batches finished"),
    },
    other=Plural(one="1 other alert", many="{n} other alerts"),
    ways={
        "partial": "finished in part",
        "failed": "failed",
        "canceled": "canceled",
        "lost": "not found",
        "expired": "not ended",
        "stopped": "no longer watched",
    },
    partly="Only a part of what was ordered is there.",
    made="{length} of video, made in {took}.",
    made_long="{length} of video.",
    made_took="Made in {took}.",
    exactly="{length}",
    about="about {length}",
    finished="The {product} is finished.",
    failed="MetaStudio says: {said}",
    failed_unsaid="MetaStudio gave no reason.",
    canceled="Somebody canceled it, so there is no {product}.",
    canceled_made="Somebody canceled it; the service has links to a {product} all the same.",
    blocked="MetaStudio has frozen it. You will hear when it moves again.",
    unblocked="It was frozen and is now {state}.",
    started="MetaStudio works on it now.",
    started_eta="It should take about {median} more, in 8 of 10 cases {low} to {high}.",
    stuck="It has been in production for much longer than jobs like it. You will hear when it ends.",
    stuck_normal=(
        "It has been in production for {elapsed}. Jobs like it take {median}, 99 of 100 less than {high}. "
        "You will hear when it ends."
    ),
    lost="MetaStudio no longer knows it, so wrapd stopped asking. If the id is right, track it again.",
    lost_never=(
        "MetaStudio knows no {kind} with this id, so wrapd stopped asking. "
        "Check the id; if it is of another kind, track it again with --kind."
    ),
    expired="Watched since {since} without an end, so wrapd stopped. Track it again to go on.",
    link_expiring="The {product} can be opened by its link until {until}, for {left} more. Save it before then.",
    link_unseen="Nobody has opened the {product} yet. MetaStudio's own link to it ends {until}, in {left}.",
    link_expired="MetaStudio's link to it expired {until}.",
    link_soon="Its link expires soon. Save it before then.",
    batch_all="All {n} are finished.",
    batch_names="{counts}: {names}.",
    batch_done="{done} of {n} done",
    batch_more="and {n} more",
    digest="{n} alerts from {span}, told together.",
    digest_quiet="{n} alerts from {span}, kept for the end of the quiet hours.",
    row_length="{length} of video",
    operators={
        Event.PROJECT_DOWN: OperatorText(
            title="Project {project}: MetaStudio gives no usable answers",
            headline=(
                "Its jobs are asked about again as soon as it does; nothing is lost. "
                "Check the network and the project's endpoint: `wrapd doctor` looks at both."
            ),
        ),
        Event.PROJECT_RECOVERED: OperatorText(
            title="Project {project}: MetaStudio answers again",
            headline="Ends that were missed are told now. There is nothing to do.",
        ),
        Event.AUTH_FAILED: OperatorText(
            title="Project {project}: MetaStudio refuses the credentials",
            headline=(
                "Its jobs are not asked about until that is fixed. "
                "Check the keys or the token in the config, then run `wrapd reload`: `wrapd doctor` tries them."
            ),
        ),
        Event.CHANNEL_HELD: OperatorText(
            title="Channel {channel} takes no messages",
            headline=(
                "Its messages wait and none is lost. Fix the channel, then run `wrapd channels test {channel}`: "
                "when that arrives, the rest follows."
            ),
        ),
        Event.UNKNOWN_STATE: OperatorText(
            title="Project {project}: a state that wrapd does not know",
            headline=(
                "MetaStudio calls a job {state}. wrapd keeps asking until the job ends. "
                "If this goes on, look for an update."
            ),
        ),
        Event.OVERLOADED: OperatorText(
            title="Project {project}: jobs are asked too late",
            headline=(
                "There are more jobs than the request budget allows for. Raise requests_per_second of the project "
                "(within the limit of its region) or max_interval."
            ),
        ),
        Event.DELIVERY_DEAD: OperatorText(
            title="Channel {channel}: alerts could not be delivered",
            headline=(
                "The chat service takes them in no form, and wrapd has given them up. "
                "`wrapd deliveries --status dead` lists them; `wrapd deliveries retry` sends them again."
            ),
        ),
        Event.UNCONFIRMED: OperatorText(
            title="Project {project}: callbacks named jobs that do not exist",
            headline=(
                "MetaStudio knows them under no kind, so wrapd stopped asking; other channels were not told. "
                "Check that the jobs are of this project. If nobody created them, somebody else has "
                "the callback address: change the key of the project's callbacks."
            ),
        ),
        Event.CONFIG_REFUSED: OperatorText(
            title="The changed config has a fault",
            headline=(
                "wrapd goes on with the last good one; nothing of the change is in use. "
                "Fix the fault, then run `wrapd reload`; `wrapd config check` names every fault."
            ),
        ),
        Event.ORPHANED: OperatorText(
            title="Project {project} is not in the config, but has jobs",
            headline=(
                "Nobody asks about them, so their ends are not told. Put the project back into the config and run "
                "`wrapd reload`, or move its jobs to another one: `{command}`."
            ),
        ),
        Event.DEFECT: OperatorText(
            title="wrapd met an error of its own",
            headline=(
                "Everything else goes on, and what failed is tried again less often. "
                "Please report it with the traceback in the log."
            ),
        ),
    },
    held_partly=OperatorText(
        title="Channel {channel} does not reach all its recipients",
        headline=(
            "The others get its messages, and nothing is sent twice. Correct the recipient that is refused, then "
            "run `wrapd channels test {channel}`."
        ),
    ),
    orphaned_channel=OperatorText(
        title="Channel {channel} is not in the config, but alerts wait for it",
        headline=(
            "Nobody sends them. Put the channel back into the config and run `wrapd reload`, or move them to "
            "another one: `{command}`."
        ),
    ),
    operator_other=OperatorText(title="{event}", headline="wrapd reports {event}."),
    repeat="This may be a repeat: nobody can say whether an earlier try arrived.",
    repeat_some="Some of these may be repeats: nobody can say whether an earlier try arrived.",
    resent="Sent again on request: it was first sent {first}.",
    resent_some="Some of these were sent before, and are sent again on request.",
    damped="This came and went: {n} changes since {since}. This is the latest.",
    diverted="Told here because channel {channel} takes no messages.",
    late="Late: {happened}, reported {told}.",
    late_why="Late: {happened}, reported {told}: {why}.",
    why_unreachable="chat was unreachable",
    why_quiet="kept for the end of the quiet hours",
    why_tracked="wrapd was told of the job only {at}",
    why_service="MetaStudio reported it only {at}",
    why_seen="wrapd could see it only {at}",
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

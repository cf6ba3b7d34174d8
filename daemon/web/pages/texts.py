"""What the pages say: the texts that a language must provide. Pure.

The `{names}` of a text are the same in all languages; a test compares them.
"""

from collections.abc import Mapping

from msgspec import Struct


class Texts(Struct, frozen=True, kw_only=True):
    """All texts of one language."""

    date: str  # {day} {month} {time}
    dated: str  # {year} {day} {month} {time}
    months: tuple[str, ...]
    units: tuple[str, str, str, str]  # day, hour, minute, second
    colon: str
    comma: str
    moment: str  # a length below a second
    ages: str  # a length that cannot be real

    skip: str
    sections: str
    overview: str
    jobs: str
    account: str
    as_of: str  # {time}
    zone: str  # {zone}
    live: str
    reconnecting: str
    paused: str
    pause: str
    go_on: str
    changes: str  # {n}

    login: str
    login_token: str
    login_hint: str
    login_refused: str
    login_once_hint: str
    login_over: str
    login_unsafe: str
    logout: str
    trouble: str
    back: str

    may: str  # {scope}
    scopes: Mapping[str, str]
    sessions: str
    session: str
    begun: str
    changed: str
    last_seen: str
    ends: str
    this_session: str
    end_session: str
    token: str
    token_hint: str
    revoke_token: str
    no_token: str
    never: str

    states: Mapping[str, str]
    trackings: Mapping[str, str]
    kinds: Mapping[str, str]
    new: str

    title_needs: str  # {n}
    needs: str
    needs_none: str
    needs_more: str  # {n}
    since: str  # {time}
    until: str  # {time}
    by_command: str
    look: str
    ask: str
    seen: str
    running: str
    running_none: str
    all_of_them: str  # {n}
    range: str  # {median} {high}
    range_short: str  # {median} {high}
    no_range: str
    no_range_why: str  # {why}
    today: str
    today_hint: str  # {time}
    finished: str
    failed: str
    canceled: str
    production: str
    usual: str  # {length}
    batches: str
    batches_none: str
    batch_of: str  # {ended} {jobs}
    all_batches: str
    batch_band: str  # {band}
    batch_jobs: str
    ways: Mapping[str, str]  # how jobs of a batch ended that did not succeed; {n}
    none_batches: str
    none_fit_batches: str
    next_batches: str
    first_batches: str
    rest_of_wall: str
    first_of_wall: str
    share: str
    share_hint: str
    share_make: str
    share_until: str  # {time} {who}
    share_end: str
    shared: str
    shared_once: str
    share_days: Mapping[int, str]
    share_ends: str  # {time}
    share_closed: str
    share_gone: str
    share_over: str
    share_away: str
    link_titles: Mapping[str, str]
    link_texts: Mapping[str, str]
    reload: str
    unnamed: str
    itself: str
    project: str
    state: str
    tracked: str
    late: str
    budget: str
    feed: str
    channel: str
    sent: str
    waiting: str
    held: str
    dead: str
    filters: str
    all_jobs: str
    search: str
    search_hint: str
    any_project: str
    batch: str
    tag: str
    apply: str
    clear: str
    as_table: str
    as_wall: str
    job: str
    cover: str
    ends_at: str
    length: str
    none_fit: str
    none_yet: str
    none_so_far: str
    next_page: str
    first_page: str
    no_cover: str
    coverless: str
    watch: str
    download: str
    copy: str
    copied: str
    link: str
    note: str
    note_hint: str
    keep: str
    mute: str
    mute_for: str
    mute_why: str
    unmute: str
    muted_until: str  # {time} {why} {who}
    timeline: str
    timeline_hint: str  # {first} {last}
    of_service: str
    of_wrapd: str
    of_chat: str
    created: str
    started: str
    ended: str
    alerts: str
    alerts_none: str
    attempts: str
    retry: str
    polling: str
    never_polled: str
    polls: str  # {n} {time}
    next_poll: str  # {time}
    details: str
    id: str
    kind: str
    tags: str
    reported: str
    acts: str
    done: Mapping[str, str]
    more_filters: str
    any_kind: str
    changed_since: str
    any_time: str
    or_day: str
    sort: str
    sorts: Mapping[str, str]
    periods: Mapping[str, str]
    choose: str
    with_jobs: str
    the_chosen: str
    all_fit: str
    all_that_fit: str  # {n}
    bulk: Mapping[str, str]
    bulk_count: Mapping[str, str]  # {n}
    bulk_none: Mapping[str, str]
    bulk_done: Mapping[str, str]  # {n}
    bulk_changed: str  # {before} {now}
    cancel: str
    to_jobs: str
    last_answer: str
    need_acts: Mapping[str, str]
    chips: Mapping[str, str]
    statuses: Mapping[str, str]
    project_states: Mapping[str, str]
    feeds: Mapping[str, str]
    events: Mapping[str, str]
    hours: Mapping[int, str]
    day: str  # {day} {month}
    stats: str
    stats_span: str
    stats_days: str  # {n}
    stats_none: str  # {n}
    stats_total: str
    stats_mean: str
    stats_ends: str
    stats_ends_hint: str  # {time}
    stats_ends_desc: str  # {n} {first} {last} {most}
    stats_rate: str
    stats_rate_hint: str
    stats_rate_desc: str  # {rate}
    stats_kinds: str
    stats_kinds_hint: str  # {n}
    stats_half: str
    stats_most: str
    stats_law_half: str
    stats_law_most: str
    stats_seen: str
    stats_seen_hint: str  # {n} {median} {high}
    stats_within: str
    stats_projects: str
    stats_day: str
    stats_numbers: str
    errors: Mapping[str, str]  # by key or status, in place of the text of an error, which is English
    no_etas: Mapping[str, str]  # why a job has no estimate
    no_ends: Mapping[str, str]  # by `views.NoEnd`, in place of the reason of a batch, which is English; {n}
    whys: Mapping[str, str]  # why an alert is not sent
    recorded: Mapping[str, str]  # by the reason that wrapd records for what it did to an alert itself
    need_reason: str  # {reason}
    need_texts: Mapping[str, str]  # by kind, in place of the sentence of `views.Need`, which is English
    reasons: Mapping[str, str]  # why a job is asked about at that time
    phrases: Mapping[str, str]  # in place of the English ones in a reason that wrapd recorded

    deliveries: str
    channels: str
    projects: str
    alert: str
    next_try: str
    change: str
    again_of: str  # {n}
    now: str
    any_channel: str
    id_of_job: str
    deliveries_search: str
    deliveries_none: str
    deliveries_none_fit: str
    deliveries_none_so_far: str
    older_deliveries: str
    latest_deliveries: str
    with_others: str  # {n}
    repeated: str
    acts_on: Mapping[str, str]
    retry_fitting: str  # {n}
    retry_those: str
    retry_title: str  # {n}
    retry_what: str
    retry_other: str  # {n} {expected}
    retry_many: str  # {n}
    retry_none: str
    retry_go: str  # {n}
    to_list: str
    retried_many: str  # {n}
    accepts: str
    refuses: str
    last_sent: str
    test: str
    release: str
    released: str  # {channel}
    channels_none: str
    test_of: str  # {channel}
    test_sent: str  # {length}
    test_held: str  # {n}
    test_refused: str
    to_channels: str
    requests: str
    requests_of: Mapping[str, str]
    requests_hint: str
    at_most: str  # {rate}
    used: str  # {percent}
    credentials: str
    credentials_good: str
    credentials_refused: str
    credentials_unknown: str
    paused_by: str  # {time} {who}
    pause_project: str
    resume_project: str
    projects_none: str

"""docs/simulator.md: `wrapd sim`, and the faults of daemon/sim/faults.py. A test runs the page's examples."""

from collections.abc import Iterator

from daemon.sim.faults import API, OFFERED, FaultKind
from daemon.sim.kinds import KINDS
from docs.paper import NOTE, joined, table

INTRO = """\
`wrapd sim` is a MetaStudio on your machine: a real HTTP server to try wrapd, or any client of the API, without
a cloud. It verifies signatures and tokens, limits the rate, moves its jobs through their states, serves covers
and videos under links that really expire, and does on demand what a service does on bad days.

`wrapd demo` shows it together with the daemon, with nothing to set up.

## Start

```sh
wrapd sim --listen 127.0.0.1:8700 --speed 10 --access-key AK --secret-key SK --project-id studio --token TOKEN
```

It runs until Ctrl-C and keeps everything in memory. Without options it takes a free port, runs in real time,
makes up keys, project id and token, and prints them. The same `--seed` makes the same keys and the same jobs.
`--speed` shortens the lives of jobs, not those of links and tokens (24 hours).

It serves, under one address:

| operation | request |
|---|---|
| `show` | `GET /v1/{project_id}/2d-digital-human-videos/{job_id}` |
| `list` | `GET /v1/{project_id}/digital-human-videos`, with its query parameters |
| `create` | `POST /v1/{project_id}/2d-digital-human-videos` |
| `cancel` | `POST /v1/{project_id}/2d-digital-human-videos/{job_id}/cancel` |
| `asset` | `GET /v1/{project_id}/digital-assets/{asset_id}` |
| `token` | `POST /v3/auth/tokens` |
| `projects` | `GET /v3/projects` |
| `file` | `GET`, `HEAD`: covers and videos, as the answers link them |

`show`, `create` and `cancel` are there for `photo-digital-human-videos` too. The other kinds have `show` alone,
and no list holds them:

| kind | request |
|---|---|
| `business_card` | `GET /v1/{project_id}/digital-human-business-cards/{job_id}`; its state is in `job_info` |
| `photo_detection` | `GET /v1/{project_id}/photo-detection/{job_id}` |
| `picture_modeling` | `GET /v1/{project_id}/digital-human/stylized/picture-modelings/{job_id}` |

The rate is that of the region cn-north-4: 20 `show` and `list`, 5 `create` and `cancel` a second. More are
answered with 429.

## Keys

Every request needs one of

- a signature with the access key and the secret key (SDK-HMAC-SHA256), not older than 15 minutes;
- `X-Auth-Token` with the token given, or with one from `POST /v3/auth/tokens` for the printed IAM user, domain
  and password.

What does not fit is refused as the service would. The control endpoints under `/_sim/` take no key, and the
simulator listens on this machine only. They answer under `127.0.0.1`, `[::1]` and `localhost`, and no page of
another site (403).

## wrapd as its client

```toml
[projects.main]
endpoint = "http://127.0.0.1:8700"
project_id = "studio"
auth = { method = "aksk", access_key = "AK", secret_key = "SK" }

[channels.here]
url = "console://"

[polling]
max_interval = "1s"
```

With this as `wrapd.toml`, start `wrapd run`. Then, in another terminal, make a job that takes 65 seconds of the
simulator's time (6.5 of yours, at `--speed 10`), and track it:

```sh
curl -X POST http://127.0.0.1:8700/_sim/jobs -d '{"job_id": "launch", "name": "Launch film",
  "timeline": [["WAITING", 5], ["PROCESSING", 60], ["SUCCEED", null]]}'
wrapd track launch
```

The alert appears where `wrapd run` runs.

## The official SDK as its client

```python
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkmetastudio.v1 import MetaStudioClient, Show2DDigitalHumanVideoRequest

client = (
    MetaStudioClient.new_builder()
    .with_credentials(BasicCredentials("AK", "SK", "studio"))
    .with_endpoint("http://127.0.0.1:8700")
    .build()
)
answer = client.show2_d_digital_human_video(Show2DDigitalHumanVideoRequest(job_id="launch"))
print(answer.state)
```

Without any client:

```sh
curl -H 'X-Auth-Token: TOKEN' http://127.0.0.1:8700/v1/studio/2d-digital-human-videos/launch
```

## Control

Bodies and answers are JSON. What cannot be is answered with 400 or 404 and `{"error": …}`.

**Jobs.** All keys are optional: `kind`
(KINDS),
`count`, `job_id`, `name`, `script_chars` (a longer script takes longer), `timeline` (states and how long each
lasts, in seconds before division by the speed; the last one stays), `created_ago` (seconds of the wall clock
since the creation, with which the timeline began; the speed does not divide them), `callback_config` (below). What
is not given is made up:
most jobs succeed, some fail, are canceled, or freeze and thaw.

```sh
curl -X POST http://127.0.0.1:8700/_sim/jobs -d '{"kind": "photo", "count": 20}'
```

Many different ones at once, all or none: here one that was made 40 days ago and ends in a minute (at speed 1), and
one that is frozen:

```sh
curl -X POST http://127.0.0.1:8700/_sim/jobs -d '{"jobs": [
  {"created_ago": 3456000, "timeline": [["PROCESSING", 3456060], ["SUCCEED", null]]},
  {"kind": "business_card", "timeline": [["BLOCK", null]]}]}'
```

Every job with its true history, to compare with what a client saw:

```sh
curl http://127.0.0.1:8700/_sim/jobs
```

All ends of jobs in order of time (`job_id`, `state`, `at`), or those from a moment on (ISO 8601 or epoch
seconds): cheap with very many jobs, where the histories of all are not. A job that was made to end twice is there
twice.

```sh
curl http://127.0.0.1:8700/_sim/ends
curl 'http://127.0.0.1:8700/_sim/ends?since=2026-01-31T08:00:00Z'
```

**Callbacks.** A job that is created with `callback_config` (by the create operation, or here) tells of its end:
one POST of `result` (SUCCEED or FAILED), `asset_id` and `job_id` to `callback_url`, with `auth_type` NONE or
MSS_A; nothing where it is canceled or frozen. What was sent, and what was answered (`status`, or `error`):

```sh
curl -X POST http://127.0.0.1:8700/_sim/jobs -d '{"timeline": [["PROCESSING", 5], ["FAILED", null]],
  "callback_config": {"callback_url": "http://127.0.0.1:8787/callbacks/main", "auth_type": "MSS_A", "key": "KEY"}}'
curl http://127.0.0.1:8700/_sim/callbacks
```

Each is tried once. In a signature the time counts milliseconds and is hex; `SimSettings(callback_unit="s",
callback_signed="decimal")` has the other forms.

Set a state now, any text; what the job's timeline held is over:

```sh
curl -X PUT http://127.0.0.1:8700/_sim/jobs/launch -d '{"state": "BLOCK"}'
```

**Answers.** Serve a body of your own, byte for byte, to `show` of an id, known or not (`--data-binary @FILE`
takes a file), and end that:

```sh
curl -X PUT http://127.0.0.1:8700/_sim/answers/launch -d '{"job_id": "launch", "state": "SUCCESS"}'
curl -X DELETE http://127.0.0.1:8700/_sim/answers/launch
```

Make the service forget a job:

```sh
curl -X DELETE http://127.0.0.1:8700/_sim/jobs/launch
```

**Faults**, by the names below. `times` and `seconds` say how often and how long it acts (until it is ended,
where neither is given), `operation` and `job_id` on what; the fault's own options stand beside them.

```sh
curl -X POST http://127.0.0.1:8700/_sim/faults -d '{"name": "throttled_retry_after",
  "retry_after": 5, "times": 3, "operation": "show"}'
curl -X POST http://127.0.0.1:8700/_sim/faults -d '{"name": "slow", "delay": 1.5, "seconds": 60}'
```

Those that act now, with how often each did, and those that are offered; end one by its `id`, or all:

```sh
curl http://127.0.0.1:8700/_sim/faults
curl -X DELETE http://127.0.0.1:8700/_sim/faults/1
curl -X DELETE http://127.0.0.1:8700/_sim/faults
```

**Counts** of requests (`total`, `by_operation`, `by_status`, `by_second`, and `max_in_any_second`, the most
that came within one second), and counting from zero:

```sh
curl http://127.0.0.1:8700/_sim/stats
curl -X DELETE http://127.0.0.1:8700/_sim/stats
```

**Tokens.** End all that `POST /v3/auth/tokens` issued, so that the next request with one gets a 401:

```sh
curl -X DELETE http://127.0.0.1:8700/_sim/tokens
```

In a Python test the same is `async with Simulator(SimSettings(seed=1)) as sim:` from `daemon.sim`; its methods
do what these endpoints do.
"""

FAULTS = """\
## Faults

Without `operation` a fault hits the operations named here; "all" is all but `file`, which has to be named. Faults
of lists act side by side.
"""


def page() -> str:
    """The text of the page."""
    titles = ("name", "what it does", "operations", "options and what holds without them")
    intro = INTRO.replace("KINDS", ", ".join(KINDS))
    return joined(["# The simulator", "", NOTE, "", intro, FAULTS, *table(titles, list(_rows()))])


def _rows() -> Iterator[tuple[str, ...]]:
    for kind in OFFERED.values():
        yield f"`{kind.name}`", kind.about, _operations(kind), _options(kind)


def _operations(kind: FaultKind) -> str:
    if kind.operations == API:
        return "all"
    return ", ".join(f"`{operation}`" for operation in sorted(kind.operations))


def _options(kind: FaultKind) -> str:
    return ", ".join(f"`{name}` {value}" for name, value in kind.options.items())

"""docs/simulator.md: `wrapd sim`, and the faults of daemon/sim/faults.py. A test runs the page's examples."""

from collections.abc import Iterator

from daemon.sim.faults import API, OFFERED, FaultKind
from daemon.sim.kinds import KINDS
from docs.paper import NOTE, joined, table

INTRO = """\
`wrapd sim` is a MetaStudio on your machine: a real HTTP server for trying wrapd, or any other API client, without
a cloud. It verifies signatures and tokens, limits the request rate, moves jobs through their states, serves covers
and videos under links that really expire, and injects faults on request.

`wrapd demo` runs it together with the daemon, without any setup.

## Start

```sh
wrapd sim --listen 127.0.0.1:8700 --speed 10 --access-key AK --secret-key SK --project-id studio --token TOKEN
```

It runs until Ctrl-C and keeps everything in memory. Without options it picks a free port, runs in real time,
generates keys, project id and token, and prints them. The same `--seed` gives the same keys and jobs. `--speed`
shortens the lives of jobs, but not those of links and tokens (24 hours).

It serves these operations at one address:

| operation | request |
|---|---|
| `show` | `GET /v1/{project_id}/2d-digital-human-videos/{job_id}` |
| `list` | `GET /v1/{project_id}/digital-human-videos`, with its query parameters |
| `create` | `POST /v1/{project_id}/2d-digital-human-videos` |
| `cancel` | `POST /v1/{project_id}/2d-digital-human-videos/{job_id}/cancel` |
| `asset` | `GET /v1/{project_id}/digital-assets/{asset_id}` |
| `token` | `POST /v3/auth/tokens` |
| `projects` | `GET /v3/projects` |
| `file` | `GET`, `HEAD`: covers and videos, as linked in the answers |

`show`, `create` and `cancel` also exist for `photo-digital-human-videos`. The other kinds have only `show` and
appear in no list:

| kind | request |
|---|---|
| `business_card` | `GET /v1/{project_id}/digital-human-business-cards/{job_id}`; its state is in `job_info` |
| `photo_detection` | `GET /v1/{project_id}/photo-detection/{job_id}` |
| `picture_modeling` | `GET /v1/{project_id}/digital-human/stylized/picture-modelings/{job_id}` |

The rate limit is that of region cn-north-4: 20 `show` and `list`, 5 `create` and `cancel` requests per second.
Further requests are answered with 429.

## Keys

Every request needs one of

- a signature with the access key and the secret key (SDK-HMAC-SHA256), not older than 15 minutes;
- `X-Auth-Token` with the given token, or with one from `POST /v3/auth/tokens` for the printed IAM user, domain and
  password.

Other requests are refused as by the service. The control endpoints under `/_sim/` need no key; the simulator
listens only on this machine. They answer under `127.0.0.1`, `[::1]` and `localhost`, and refuse pages of other
sites (403).

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

With this as `wrapd.toml`, start `wrapd run`. Then, in another terminal, create a job that takes 65 seconds of
simulated time (6.5 seconds at `--speed 10`), and track it:

```sh
curl -X POST http://127.0.0.1:8700/_sim/jobs -d '{"job_id": "launch", "name": "Launch film",
  "timeline": [["WAITING", 5], ["PROCESSING", 60], ["SUCCEED", null]]}'
wrapd track launch
```

The alert appears in the terminal of `wrapd run`.

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

Bodies and answers are JSON. Invalid requests are answered with 400 or 404 and `{"error": …}`.

**Jobs.** All keys are optional: `kind`
(KINDS),
`count`, `job_id`, `name`, `script_chars` (a longer script takes longer), `timeline` (states with their durations
in seconds, before division by the speed; the last state stays), `created_ago` (wall-clock seconds since creation,
when the timeline began; not divided by the speed), `callback_config` (see below). Other values are generated: most
jobs succeed, some fail, are canceled, or freeze and thaw.

```sh
curl -X POST http://127.0.0.1:8700/_sim/jobs -d '{"kind": "photo", "count": 20}'
```

Create several different jobs at once, all or none: here one created 40 days ago that ends in a minute (at speed
1), and a frozen one:

```sh
curl -X POST http://127.0.0.1:8700/_sim/jobs -d '{"jobs": [
  {"created_ago": 3456000, "timeline": [["PROCESSING", 3456060], ["SUCCEED", null]]},
  {"kind": "business_card", "timeline": [["BLOCK", null]]}]}'
```

Get every job with its true history, to compare with what a client observed:

```sh
curl http://127.0.0.1:8700/_sim/jobs
```

Get all ends of jobs in order of time (`job_id`, `state`, `at`), or those since a given time (ISO 8601 or epoch
seconds). This is cheap even with very many jobs, unlike their histories. A job that was made to end twice appears
twice.

```sh
curl http://127.0.0.1:8700/_sim/ends
curl 'http://127.0.0.1:8700/_sim/ends?since=2026-01-31T08:00:00Z'
```

**Callbacks.** A job created with `callback_config` (by the create operation, or here) reports its end: one POST of
`result` (SUCCEED or FAILED), `asset_id` and `job_id` to `callback_url`, with `auth_type` NONE or MSS_A; nothing if
it is canceled or frozen. The last command lists the callbacks sent and their answers (`status`, or `error`):

```sh
curl -X POST http://127.0.0.1:8700/_sim/jobs -d '{"timeline": [["PROCESSING", 5], ["FAILED", null]],
  "callback_config": {"callback_url": "http://127.0.0.1:8787/callbacks/main", "auth_type": "MSS_A", "key": "KEY"}}'
curl http://127.0.0.1:8700/_sim/callbacks
```

Each is tried once. The time in a signature is in milliseconds and hexadecimal; `SimSettings(callback_unit="s",
callback_signed="decimal")` has the other forms.

Set a state now, any text; this ends the job's timeline:

```sh
curl -X PUT http://127.0.0.1:8700/_sim/jobs/launch -d '{"state": "BLOCK"}'
```

**Answers.** Serve your own body, byte for byte, to `show` of an id, known or not (`--data-binary @FILE` sends a
file), and stop serving it:

```sh
curl -X PUT http://127.0.0.1:8700/_sim/answers/launch -d '{"job_id": "launch", "state": "SUCCESS"}'
curl -X DELETE http://127.0.0.1:8700/_sim/answers/launch
```

Make the service forget a job:

```sh
curl -X DELETE http://127.0.0.1:8700/_sim/jobs/launch
```

**Faults**, by the names below. `times` and `seconds` limit how often and how long a fault acts (without them,
until it is removed), `operation` and `job_id` limit what it affects; the fault's own options are further keys.

```sh
curl -X POST http://127.0.0.1:8700/_sim/faults -d '{"name": "throttled_retry_after",
  "retry_after": 5, "times": 3, "operation": "show"}'
curl -X POST http://127.0.0.1:8700/_sim/faults -d '{"name": "slow", "delay": 1.5, "seconds": 60}'
```

List the active faults with their counts, and the available ones; remove one by its `id`, or all:

```sh
curl http://127.0.0.1:8700/_sim/faults
curl -X DELETE http://127.0.0.1:8700/_sim/faults/1
curl -X DELETE http://127.0.0.1:8700/_sim/faults
```

**Counts** of requests (`total`, `by_operation`, `by_status`, `by_second`, and `max_in_any_second`, the maximum
within any one second), and resetting them:

```sh
curl http://127.0.0.1:8700/_sim/stats
curl -X DELETE http://127.0.0.1:8700/_sim/stats
```

**Tokens.** Revoke all tokens issued by `POST /v3/auth/tokens`, so that the next request with one gets a 401:

```sh
curl -X DELETE http://127.0.0.1:8700/_sim/tokens
```

In a Python test, use `async with Simulator(SimSettings(seed=1)) as sim:` from `daemon.sim`; its methods correspond
to these endpoints.
"""

FAULTS = """\
## Faults

Without `operation`, a fault affects the operations listed here; "all" is all except `file`, which must be named.
Several faults of lists can be active together.
"""


def page() -> str:
    """The text of the page."""
    titles = ("name", "effect", "operations", "options and their defaults")
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

"""How soon people have the news of an avatar video, with its download link, by callbacks and default settings.

    python bench/news.py [--seconds 120] [--only alone random burst] [--quick] [--json FILE]

`alone`: 2 ends a second, one at a random moment of each half second. Each job has twins with the same timeline,
whose callbacks go to bare programs: single processes over the transport that wrapd uses, which check, store and
retry nothing. One queries the job once and POSTs the webhook. The other one requests the download link too, as
an alert with the link needs, and keeps to the same budget (at most 10 requests in any second). All run at the
same time, each with its own simulator. `random`: the same with ends at independent random moments (a Poisson
process). Then seconds with more ends than half the budget are common, and whoever needs two requests for an end
has to wait.
`burst`: 500 ends within one second.
wrapd is `wrapd run` with the default settings of its region (10 requests a second, half of the documented limit,
which the simulators enforce), callbacks and a json:// channel. All on loopback; seconds count from the change of
state at the simulator to the webhook's receipt.
"""

import argparse
import asyncio
import json
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from _around import free_port, listens, received, until, webhook
from poll import Target, control, simulator

RATE = 10.0
"""Requests a second: the project's budget, half of the region's documented limit."""
REGION = "cn-north-4"
ENDS = 2.0
"""Ends a second, for each of which wrapd makes two requests: about the job, and for the link."""
BURST = 500
BARE = {"bare": "a bare program", "linking": "one with the link and the budget"}
"""The programs beside wrapd, by their path at the webhook."""
JSON = (("Content-Type", "application/json"),)
KEY = "a-callback-key-of-the-bench"
SETTLE = 25.0
"""Seconds from the creation of the jobs to the first end: first polls and the feed's trial are over by then."""
MORE = 0.1
"""Seconds that the p99 may be above the bare program's: `alone`, of the one with one request and no budget; at
random moments, of the one that has to wait for the budget too."""
TOLD_BY = 6.0
"""Seconds within which all alerts of a burst must have arrived."""
FILE_KNOWN = 1.2
"""Times ends ÷ rate within which all download links of a burst must be known."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=120.0, help="over which the jobs end, one by one")
    parts = ("alone", "random", "burst")
    parser.add_argument("--only", nargs="+", choices=parts, default=parts)
    parser.add_argument("--quick", action="store_true", help="a fifth of the ends")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--bare", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.bare:
        asyncio.run(bare(**json.loads(sys.stdin.readline())))
        return
    part = 0.2 if arguments.quick else 1.0
    rows: list[dict[str, Any]] = []
    figures: dict[str, Any] = {}
    if "alone" in arguments.only:
        figures["alone"] = alone(arguments.seconds * part, even=True)
        rows += alone_rows(figures["alone"], "", "bare")
    if "random" in arguments.only:
        figures["random"] = alone(arguments.seconds * part, even=False)
        rows += alone_rows(figures["random"], " at random moments", "linking")
    if "burst" in arguments.only:
        figures["burst"] = burst(int(BURST * part))
        rows += burst_rows(figures["burst"])
    for row in rows:
        marks = f"  ({row['target']}{'' if row.get('met', True) else ': MISSED'})" if row["target"] else ""
        print(f"{row['what']:<64} {row['wrapd']:>9}  {row['beside']}{marks}")
    if arguments.json:
        page = {
            "title": "News with everything in it",
            "about": __doc__.split("\n\n")[2].replace("\n", " ").strip(),
            "command": "python bench/news.py --json FILE",
            "order": 30,
            "rows": rows,
            "figures": figures,
        }
        arguments.json.write_text(json.dumps(page, indent=2) + "\n", encoding="utf-8")
    sys.exit(not all(row.get("met", True) for row in rows))


# ------------------------------------------------------------------------------------------- one by one


def alone(seconds: float, *, even: bool) -> dict[str, Any]:
    """All contenders at the same time, over the same timelines; `even`: each end has its own half second."""
    rng, number = random.Random(11), int(ENDS * seconds)
    slots = range(number) if even else [rng.random() * number for _ in range(number)]
    ends = sorted(SETTLE + (slot + (rng.random() if even else 0.0)) / ENDS for slot in slots)
    with ExitStack() as stack:
        hook = stack.enter_context(webhook())
        target = stack.enter_context(simulator(region=REGION))
        others = {path: stack.enter_context(simulator(region=REGION)) for path in BARE}
        ports = {path: free_port() for path in BARE}
        for path, other in others.items():
            settings = {"target": vars(other), "port": ports[path], "hook": hook, "path": path}
            stack.enter_context(program([sys.executable, __file__, "--bare"], settings, ports[path]))
        config, url = stack.enter_context(configured(target, hook))
        stack.enter_context(daemon(config, url))
        for path, other in others.items():
            create(other, ends, {"callback_url": f"http://127.0.0.1:{ports[path]}/", "auth_type": "NONE"})
        mss_a = {"callback_url": f"{url}/callbacks/main", "auth_type": "MSS_A", "key": KEY}
        track(config, create(target, ends, mss_a))
        time.sleep(SETTLE + seconds)
        wrapd = delays(target, hook, "wrapd")
        found = {path: delays(other, hook, path)["delays"] for path, other in others.items()}
        asked = control(target, "GET", "stats")
    return {
        "ends": len(ends),
        **{
            f"{path} {name}": value
            for path, each in {"wrapd": wrapd["delays"], **found}.items()
            for name, value in spread(each).items()
        },
        "with the link": sum(bool(each.get("download_url")) for each in wrapd["messages"].values()),
        "most messages about one job": wrapd["most"],
        "requests refused": asked["by_status"].get("429", 0),
        "most requests in a second": asked["max_in_any_second"],
        "requests": asked["by_operation"],
    }


def alone_rows(found: dict[str, Any], which: str, beside: str) -> list[dict[str, Any]]:
    """The rows of the page; `beside` is the bare program that the target is about."""

    def row(name: str, target: str = "", **more: Any) -> dict[str, Any]:
        return {
            "what": f"Alert with the download link, {name} of {found['ends']} ends{which}",
            "wrapd": f"{found[f'wrapd {name}']:.3f} s",
            "beside": "; ".join(f"{words}: {found[f'{path} {name}']:.3f} s" for path, words in BARE.items()),
            "ratio": None,
            "target": target,
            **more,
        }

    well = found["wrapd p99"] <= found[f"{beside} p99"] + MORE and found["with the link"] == found["ends"]
    return [
        row("median"),
        row("p99", f"at most {found[f'{beside} p99'] + MORE:.3f} s: a bare program's + {MORE:g} s", met=well),
        row("longest"),
        {
            "what": f"Alerts that had their download link{which}",
            "wrapd": f"{found['with the link']} of {found['ends']}",
            "beside": "",
            "ratio": None,
            "target": "all, in one message each",
            "met": found["with the link"] == found["ends"] and found["most messages about one job"] == 1,
        },
    ]


async def bare(target: dict[str, Any], port: int, hook: int, path: str) -> None:
    """Take a callback, query the job once, POST the webhook: nothing is checked, stored or retried. `linking` also
    requests the download link, within the budget."""
    from aiohttp import web

    from daemon.transport import Request, Transport

    api, chat = Transport(target["url"]), Transport(f"http://127.0.0.1:{hook}")
    token = (("X-Auth-Token", target["token"]),)
    tasks: set[asyncio.Task[None]] = set()
    turn, recent, linking = asyncio.Lock(), deque[float](maxlen=int(RATE)), path == "linking"

    async def asked(what: str) -> dict[str, Any]:
        async with turn:
            if linking and len(recent) == RATE:
                await asyncio.sleep(max(0.0, recent[0] + 1.0 - time.monotonic()))
            recent.append(time.monotonic())
        what = f"/v1/{target['project_id']}/{what}"
        answer = await api.exchange(Request(method="GET", target=what, headers=token))
        assert answer.status == 200, answer.body
        return dict(json.loads(answer.body))

    async def tell(job: str) -> None:
        said = {**await asked(f"2d-digital-human-videos/{job}"), "job_id": job}
        if linking:
            files = (await asked(f"digital-assets/{said['output_asset_config']['asset_id']}"))["files"]
            said["download_url"] = next(file["download_url"] for file in files)
        await chat.exchange(
            Request(method="POST", target=f"/{path}", headers=JSON, body=json.dumps(said).encode())
        )

    async def taken(request: web.Request) -> web.Response:
        task = asyncio.create_task(tell(str((await request.json())["job_id"])))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return web.Response()

    app = web.Application()
    app.router.add_post("/", taken)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


# ------------------------------------------------------------------------------------------- all at once


def burst(number: int) -> dict[str, Any]:
    """So many ends within one second."""
    rng = random.Random(12)
    settle = SETTLE + number / 50
    ends = sorted(settle + rng.random() for _ in range(number))
    with ExitStack() as stack:
        hook = stack.enter_context(webhook())
        target = stack.enter_context(simulator(region=REGION))
        config, url = stack.enter_context(configured(target, hook))
        stack.enter_context(daemon(config, url))
        mss_a = {"callback_url": f"{url}/callbacks/main", "auth_type": "MSS_A", "key": KEY}
        created = time.monotonic()
        track(config, create(target, ends, mss_a))
        time.sleep(max(0.0, settle + 1 - (time.monotonic() - created)))
        known = files_known(config, number, begun=time.monotonic() - 1, patience=1.5 * number / RATE + 15)
        found = delays(target, hook, "wrapd")
        asked = control(target, "GET", "stats")
    messages = found["messages"].values()
    return {
        "ends": number,
        **spread(found["delays"]),
        "with the link": sum(bool(each.get("download_url")) for each in messages),
        "without the link, with wrapd's own": sum(
            not each.get("download_url") and bool(each.get("own_url")) for each in messages
        ),
        "most messages about one job": found["most"],
        "files known, s": known,
        "requests refused": asked["by_status"].get("429", 0),
        "most requests in a second": asked["max_in_any_second"],
        "requests": asked["by_operation"],
    }


def burst_rows(found: dict[str, Any]) -> list[dict[str, Any]]:
    number, linked, own = found["ends"], found["with the link"], found["without the link, with wrapd's own"]
    whole = FILE_KNOWN * number / RATE
    return [
        {
            "what": f"{number} ends within a second: the last alert after its end",
            "wrapd": f"{found['longest']:.2f} s",
            "beside": f"median {found['median']:.2f} s",
            "ratio": None,
            "target": f"at most {TOLD_BY:g} s, one message each",
            "met": found["longest"] <= TOLD_BY and found["most messages about one job"] == 1,
        },
        {
            "what": "of these, alerts with the download link",
            "wrapd": str(linked),
            "beside": f"wrapd's own link: {own}",
            "ratio": None,
            "target": "one of the two in each",
            "met": linked + own == number,
        },
        {
            "what": "until the links of all files are known",
            "wrapd": f"{found['files known, s']:.1f} s",
            "beside": f"ends ÷ rate: {number / RATE:.0f} s",
            "ratio": None,
            "target": f"at most {whole:.0f} s",
            "met": found["files known, s"] <= whole,
        },
    ]


def files_known(config: Path, number: int, *, begun: float, patience: float) -> float:
    """Seconds from `begun` (monotonic) until the database has the download links of so many jobs; inf: never."""
    with sqlite3.connect(f"file:{config.parent}/wrapd.db?mode=ro", uri=True) as database:
        while time.monotonic() < begun + patience:
            (known,) = database.execute("SELECT count(*) FROM jobs WHERE download_url IS NOT NULL").fetchone()
            if known == number:
                return time.monotonic() - begun
            time.sleep(0.1)
    return float("inf")


# ------------------------------------------------------------------------------------------- the parts


def create(target: Target, ends: list[float], callback: dict[str, str]) -> list[str]:
    """Avatar videos that end at these seconds from now on."""
    jobs = [
        {"timeline": [["PROCESSING", end], ["SUCCEED", None]], "callback_config": callback, "script_chars": 400}
        for end in ends
    ]
    return control(target, "POST", "jobs", {"jobs": jobs})["job_ids"]


def delays(target: Target, hook: int, path: str) -> dict[str, Any]:
    """Wait until every end has arrived at `path` of the webhook: how long each took, and the first messages."""
    ends = {end["job_id"]: datetime.fromisoformat(end["at"]).timestamp() for end in control(target, "GET", "ends")}

    def arrived() -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        for each in received(hook):
            if each["path"] == f"/{path}" and each["state"] == "SUCCEED":
                found.setdefault(each["job_id"], []).append(each)
        return found

    until(lambda: ends.keys() <= arrived().keys(), f"all ends are told ({path})", pace=0.1)
    messages = arrived()
    return {
        "delays": [messages[job][0]["at"] - at for job, at in ends.items()],
        "messages": {job: found[0] for job, found in messages.items()},
        "most": max(map(len, messages.values())),
    }


def spread(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    at_99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return {"median": statistics.median(ordered), "p99": at_99, "longest": ordered[-1]}


@contextmanager
def configured(target: Target, hook: int) -> Iterator[tuple[Path, str]]:
    """A config whose polling, notifying and routing are the defaults, and wrapd's address."""
    url = f"http://127.0.0.1:{free_port()}"
    with tempfile.TemporaryDirectory(prefix="wrapd-bench-") as folder:
        config = Path(folder) / "wrapd.toml"
        config.write_text(
            f"""[web]
listen = "{url.removeprefix("http://")}"
public_url = "{url}"
[channels.hook]
url = "json://127.0.0.1:{hook}/wrapd"
[projects.main]
endpoint = "{target.url}"
project_id = "{target.project_id}"
requests_per_second = {RATE}
auth = {{ method = "aksk", access_key = "{target.access_key}", secret_key = "{target.secret_key}" }}
callback = {{ auth = "mss_a", key = "{KEY}" }}
"""
        )
        yield config, url


@contextmanager
def daemon(config: Path, url: str) -> Iterator[None]:
    command = [sys.executable, "-m", "daemon.cli", "--config", str(config), "run"]
    with config.with_suffix(".log").open("wb") as log, program(command, None, int(url.rpartition(":")[2]), log):
        yield


@contextmanager
def program(command: list[str], given: Any, port: int, log: Any = None) -> Iterator[None]:
    """A program that gets `given` as a line of JSON and listens on `port`."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=log)
    process.stdin.write(json.dumps(given).encode() + b"\n")
    process.stdin.close()
    try:
        until(lambda: listens(port), f"port {port} listens", pace=0.1)
        yield
    finally:
        process.terminate()
        process.wait(30)


def track(config: Path, jobs: list[str]) -> None:
    command = [sys.executable, "-m", "daemon.cli", "--config", str(config), "track", "-"]
    subprocess.run(command, input="\n".join(jobs), text=True, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()

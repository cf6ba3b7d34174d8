"""The control endpoints under `/_sim/`: create jobs, set states, start faults, read counts. JSON, without
authentication, so requests from other sites' pages are refused.

Owns the parsing of control requests; the methods of `Control` carry them out.

    POST   /_sim/jobs              {"kind", "count", "job_id", "name", "script_chars", "timeline", "created_ago",
                                   "callback_config"}: all optional; or {"jobs": […]}, each with these
    GET    /_sim/jobs              every job with its true history
    GET    /_sim/ends?since=…      when jobs ended
    GET    /_sim/callbacks         the callbacks sent
    PUT    /_sim/jobs/{job_id}     {"state": "BLOCK"}
    DELETE /_sim/jobs/{job_id}
    PUT    /_sim/answers/{job_id}  the exact body of show's answer;  DELETE ends that
    POST   /_sim/faults            {"name", "times", "seconds", "operation", "job_id", and the fault's options}
    GET    /_sim/faults            {"active", "offered"};  DELETE ends all
    DELETE /_sim/faults/{id}       ends one
    GET    /_sim/stats             counts;  DELETE resets them
    DELETE /_sim/tokens            revokes all tokens that IAM issued
"""

import ipaddress
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from daemon.domain.hosts import is_loopback
from daemon.sim.answers import encode
from daemon.sim.control import Control
from daemon.sim.faults import OFFERED
from daemon.sim.signing import parse_query
from daemon.sim.times import parse_iso
from daemon.sim.wire import Answer


class Misuse(ValueError):
    """A control request with a malformed body or query."""


def refusal(headers: Mapping[str, str], *, loopback: bool) -> Answer | None:
    """Return the refusal of a control request that a page in a browser sent, from another site or under its own
    host name (DNS rebinding); None if the request may be carried out. With `loopback`, the simulator listens on
    this machine only, and the Host must be a loopback name too."""
    host = headers.get("Host", "")
    name = urlsplit(f"//{host}").hostname if _HOST.fullmatch(host) else None
    known = name is not None and (is_loopback(name) or (not loopback and _is_address(name)))
    if host and not known:
        return _refused(f"the Host must be an address of this machine or localhost, not {host[:80]!r}")
    foreign = headers.get("Origin", f"http://{host}") not in (f"http://{host}", f"https://{host}")
    if foreign or headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        return _refused("another site's pages may not control the simulator")
    return None


_HOST = re.compile(r"[A-Za-z0-9._-]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _refused(why: str) -> Answer:
    return Answer(status=403, body=encode({"error": why}))


def carry_out(sim: Control, method: str, path: str, query: str, body: bytes) -> Answer:
    """Return the answer to a control request: 404 or 400 with {"error"} where it cannot be carried out."""
    parts = [unquote(part) for part in path.split("/")[2:] if part]
    try:
        return Answer(status=200, body=encode(_dispatch(sim, method, parts, query, body)))
    except KeyError as error:
        return Answer(status=404, body=encode({"error": f"there is no {error.args[0]}"}))
    except ValueError as error:
        return Answer(status=400, body=encode({"error": str(error)}))


def _dispatch(sim: Control, method: str, parts: list[str], query: str, body: bytes) -> object:
    match (method, parts):
        case (_, ["jobs", *rest]):
            return _jobs(sim, method, rest, body)
        case ("GET", ["ends"]):
            return sim.ends(_since(query))
        case (_, ["faults", *rest]):
            return _faults(sim, method, rest, body)
        case ("PUT", ["answers", job_id]):
            sim.answer(job_id, body)
        case ("DELETE", ["answers", job_id]):
            sim.answer(job_id, None)
        case ("GET", [("stats" | "callbacks") as name]):
            return sim.stats() if name == "stats" else sim.callbacks()
        case ("DELETE", ["stats"]):
            sim.clear_stats()
        case ("DELETE", ["tokens"]):
            return {"revoked": sim.revoke_tokens()}
        case _:
            raise KeyError(f"{method} /_sim/{'/'.join(parts)}")
    return {}


def _jobs(sim: Control, method: str, rest: list[str], body: bytes) -> object:
    match (method, rest):
        case ("POST", []):
            return {"job_ids": _create(sim, _object(body))}
        case ("GET", []):
            return sim.jobs()
        case ("PUT", [job_id]):
            given = _object(body)
            if set(given) != {"state"} or not isinstance(given["state"], str):
                raise Misuse('the body must be {"state": "…"}')
            sim.set_state(job_id, given["state"])
        case ("DELETE", [job_id]):
            sim.remove_job(job_id)
        case _:
            raise KeyError(f"{method} /_sim/jobs/{'/'.join(rest)}")
    return {}


def _create(sim: Control, given: dict[str, Any]) -> list[str]:
    jobs = given.get("jobs")
    if jobs is None:
        return sim.create_many([given])
    if len(given) > 1 or not isinstance(jobs, list) or not all(isinstance(job, dict) for job in jobs):
        raise Misuse("jobs must be a list of objects, and the only key")
    return sim.create_many(jobs)


def _since(query: str) -> float | None:
    """Return the parameter `since` in epoch seconds; it is given as such or in ISO 8601."""
    given = dict(parse_query(query))
    since = given.pop("since", None)
    if given:
        raise Misuse(f"unknown parameter {', '.join(given)}; the only parameter is since")
    if since is None:
        return None
    try:
        return parse_iso(since) if "-" in since else float(since)
    except ValueError:
        raise Misuse("since must be an ISO 8601 time or epoch seconds") from None


def _faults(sim: Control, method: str, rest: list[str], body: bytes) -> object:
    match (method, rest):
        case ("POST", []):
            return _start_fault(sim, _object(body))
        case ("GET", []):
            offered = [
                {
                    "name": kind.name,
                    "about": kind.about,
                    "operations": sorted(kind.operations),
                    "options": dict(kind.options),
                }
                for kind in OFFERED.values()
            ]
            return {"active": sim.faults(), "offered": offered}
        case ("DELETE", []):
            sim.clear_faults()
        case ("DELETE", [number]) if number.isdigit():
            sim.clear_faults(int(number))
        case _:
            raise KeyError(f"{method} /_sim/faults/{'/'.join(rest)}")
    return {}


def _start_fault(sim: Control, given: dict[str, Any]) -> object:
    name = given.pop("name", None)
    if not isinstance(name, str):
        raise Misuse("name must be the name of a fault")
    times, seconds = given.pop("times", None), given.pop("seconds", None)
    if times is not None and (isinstance(times, bool) or not isinstance(times, int)):
        raise Misuse("times must be an integer or null")
    if seconds is not None and (isinstance(seconds, bool) or not isinstance(seconds, int | float)):
        raise Misuse("seconds must be a number or null")
    operation, job_id = given.pop("operation", None), given.pop("job_id", None)
    if not all(value is None or isinstance(value, str) for value in (operation, job_id)):
        raise Misuse("operation and job_id must be strings or null")
    if "self" in given:  # an option with this name cannot be passed on as a keyword
        raise Misuse("unknown option self")
    number = sim.fault(name, times=times, seconds=seconds, operation=operation, job_id=job_id, **given)
    return next((fault for fault in sim.faults() if fault["id"] == number), {})


def _object(body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Misuse(f"the body is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise Misuse("the body is not a JSON object")
    return value

"""Modifies a job's body in the ways in which the document, its example and the SDK are known to disagree.

Owns the effect of each fault of stage BODY. Works on plain dicts just before they are sent.
"""

from collections.abc import Callable
from typing import Any, Final

from daemon.sim.faults import ActiveFault

Body = dict[str, Any]


def _success(body: Body, _fault: ActiveFault) -> bool:
    return _respell(body, "SUCCEED", "SUCCESS")


def _blocked(body: Body, _fault: ActiveFault) -> bool:
    return _respell(body, "BLOCK", "BLOCKED")


def _respell(body: Body, state: str, spelt: str) -> bool:
    if body["state"] != state:
        return False
    body["state"] = spelt
    return True


def _unknown_state(body: Body, fault: ActiveFault) -> bool:
    body["state"] = fault.text_of("state")
    return True


def _job_type(body: Body, _fault: ActiveFault) -> bool:
    if body.pop("job_type", None) == "PHOTO_DIGITAL_HUMAN_VIDEO":
        body["job_type"] = "DIGITAL_HUMAN_PHOTO_VIDEO"
    return True


def _position(body: Body, _fault: ActiveFault) -> bool:
    _layer(body)["position"] = {"dx": "656,", "dy": "0,", "layer_index": 1}
    return True


def _width(body: Body, _fault: ActiveFault) -> bool:
    _layer(body)["size"] = {"width": 607.5, "height": 1080}
    return True


def _object_for_array(body: Body, _fault: ActiveFault) -> bool:
    background = {"background_type": "IMAGE", "background_config": "https://assets.example/stage.jpg"}
    _script(body)["background_config"] = background
    return True


def _script(body: Body) -> Body:
    """Return the first script of the body. If there is none, add one: the answer then has unrequested scripts."""
    scripts: list[Body] = body.setdefault("shoot_scripts", [])
    if not scripts:
        text = {"script_type": "TEXT", "text_config": {"text": "Hello, everyone."}}
        scripts.append({"sequence_no": 0, "shoot_script": text})
    script: Body = scripts[0].setdefault("shoot_script", {})
    return script


def _layer(body: Body) -> Body:
    layers: list[Body] = _script(body).setdefault("layer_config", [])
    if not layers:
        layers.append({"layer_type": "HUMAN"})
    return layers[0]


BENDS: Final[dict[str, Callable[[Body, ActiveFault], bool]]] = {
    "quirk_success": _success,
    "quirk_blocked": _blocked,
    "quirk_job_type": _job_type,
    "quirk_position": _position,
    "quirk_width": _width,
    "quirk_object_for_array": _object_for_array,
    "unknown_state": _unknown_state,
}
"""Fault name to function; each returns whether it changed the body."""

SCRIPT_BENDS: Final = frozenset({"quirk_position", "quirk_width", "quirk_object_for_array"})
"""The faults that apply only to kinds with scripts."""

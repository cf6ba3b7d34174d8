"""Applications that are built more quickly: in the process of the tests, Litestar reads the signature of each
handler once, not once for each application. That was half of the time. Separate processes work as usual."""

from collections.abc import Callable
from types import FunctionType
from typing import Any

from litestar._signature import SignatureModel
from litestar.utils.signature import ParsedSignature

_parse, _create = ParsedSignature.from_fn, SignatureModel.create
_OPTIONS = "HTTPRoute.create_options_handler.<locals>.options_handler"
_parsed: dict[object, ParsedSignature] = {}
_models: dict[object, tuple[ParsedSignature, type[SignatureModel]]] = {}


def install() -> None:
    """Do so from now on."""
    ParsedSignature.from_fn = _parse_once  # type: ignore[method-assign,assignment]
    SignatureModel.create = _create_once  # type: ignore[method-assign,assignment]


def _parse_once(fn: Callable[..., Any], signature_namespace: dict[str, Any]) -> ParsedSignature:
    made = bool(getattr(fn, "__closure__", True))  # for one application, or it is no plain function
    # The handlers of OPTIONS are made for each route, but do not differ in this.
    if made and (not isinstance(fn, FunctionType) or fn.__qualname__ != _OPTIONS):
        return _parse(fn, signature_namespace)
    key = fn.__code__ if made else fn, frozenset(signature_namespace.items())
    if key not in _parsed:
        _parsed[key] = _parse(fn, signature_namespace)
    return _parsed[key]


def _create_once(
    dependency_name_set: set[str], fn: Callable[..., Any], parsed_signature: ParsedSignature, **more: Any
) -> type[SignatureModel]:
    if any(more.values()):
        return _create(dependency_name_set, fn, parsed_signature, **more)
    # The signature is kept, so no other gets its identity.
    key = id(parsed_signature), fn.__name__, fn.__module__, frozenset(dependency_name_set)
    if key not in _models:
        _models[key] = parsed_signature, _create(dependency_name_set, fn, parsed_signature, **more)
    return _models[key][1]

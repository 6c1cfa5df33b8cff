"""The tools that a request offers: their names, a key that tells sets of tools apart, and their schemas.

Most records of a workload offer the same tools, byte for byte, so this is worked out once per set.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jsonschema_rs
import msgspec

_sorted = msgspec.json.Encoder(order="deterministic")
_WIRE = ("type", "function")
_NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}}


@dataclass(frozen=True, slots=True)
class Tools:
    """A set of tools. `key` does not depend on their order."""

    key: bytes
    names: frozenset[str]
    validators: Mapping[str, jsonschema_rs.Validator]
    others: int
    """Tools that are not functions: a provider's own, such as web search."""
    unchecked: int
    """Functions whose schema is none, so that calls of them cannot be checked."""
    versions: Mapping[str, str]
    """Digest of name, description and parameters of each function, by its name."""


def wire_tools(tools: object, functions: object = None) -> list[dict[str, Any]]:
    """The function tools as OpenAI has them: {"type", "function": {name, description, parameters}}.

    Accepts what is seen in the wild: no type, a function without its wrapper, no parameters, and the
    `functions` of the old API. Tools of other types are left out: nobody but their provider can run them.
    """
    found = list(tools) if isinstance(tools, list) else []
    if not found and isinstance(functions, list):
        found = list(functions)
    return [wired for each in found if (wired := _wire_tool(each)) is not None]


def _wire_tool(tool: object) -> dict[str, Any] | None:
    if not isinstance(tool, dict) or tool.get("type", "function") not in ("function", None):
        return None
    function = tool.get("function", tool)
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        return None
    if len(tool) == len(_WIRE) and "description" in function and isinstance(function.get("parameters"), dict):
        return tool  # As it should be; the usual case.
    function = {key: value for key, value in function.items() if key != "type"}
    function.setdefault("description", "")
    if not isinstance(function.get("parameters"), dict):
        function["parameters"] = _NO_PARAMETERS
    return {"type": "function", "function": function}


class ToolSets:
    """Tools by the JSON text they came in, each worked out once."""

    _MOST = 4_096  # Sets kept; a log in which every request has its own would fill the memory.

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, bytes], Tools] = {}
        self._last: tuple[tuple[bytes, bytes], Tools] | None = None

    def of(self, tools_json: bytes, functions_json: bytes) -> Tools:
        """Raises msgspec.DecodeError for text that is not JSON."""
        where = (tools_json, functions_json)
        if self._last is not None and self._last[0] == where:  # Cheaper than to hash kilobytes.
            return self._last[1]
        known = self._known.get(where)
        if known is None:
            if len(self._known) >= self._MOST:
                self._known.clear()
            known = self._known[where] = _tools(*(msgspec.json.decode(text or b"null") for text in where))
        self._last = (where, known)
        return known


def _tools(tools: object, functions: object) -> Tools:
    wired = wire_tools(tools, functions)
    others = [each for each in tools if _wire_tool(each) is None] if isinstance(tools, list) else []
    validators: dict[str, jsonschema_rs.Validator] = {}
    for tool in wired:
        function = tool["function"]
        try:
            validators[function["name"]] = jsonschema_rs.validator_for(function["parameters"], offline=True)
        except ValueError:
            continue  # Not a schema (`"type": "dict"` is popular), or one with references to elsewhere.
    names = frozenset(tool["function"]["name"] for tool in wired)
    content = _sorted.encode(sorted(_sorted.encode(each) for each in [*wired, *others]))
    return Tools(
        key=hashlib.blake2b(content, digest_size=16).digest(),
        names=names,
        validators=validators,
        others=len(others),
        unchecked=len(names) - len(validators),
        versions={tool["function"]["name"]: _version(tool["function"]) for tool in wired},
    )


def _version(function: dict[str, Any]) -> str:
    return hashlib.blake2b(_sorted.encode(function), digest_size=8).hexdigest()

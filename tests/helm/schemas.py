"""Schemas for kubeconform, made from what an API server publishes of itself (`/openapi/v2`).

Two habits of that document are put right here: fields that it does not list are allowed, and what may be a
number or a string is called a string.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

LOOSE = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": ["string", "number"],
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": ["string", "integer"],
}
"""Definitions that the document calls strings, and what they may be."""


def write(published: dict[str, Any], folder: Path) -> None:
    """One file per kind, named as kubeconform looks for it: deployment-apps-v1.json."""
    definitions = published["definitions"]
    definitions |= {name: {"type": types} for name, types in LOOSE.items()}
    for definition in definitions.values():
        if "properties" in definition:
            definition.setdefault("additionalProperties", False)
    (folder / "definitions.json").write_text(json.dumps({"definitions": definitions}), "utf-8")
    for name, definition in definitions.items():
        for kind in definition.get("x-kubernetes-group-version-kind", []):
            group = f"{kind['group'].split('.')[0]}-" if kind["group"] else ""
            schema = {"$ref": f"definitions.json#/definitions/{name}"}
            file = f"{kind['kind']}-{group}{kind['version']}.json".lower()
            (folder / file).write_text(json.dumps(schema), "utf-8")

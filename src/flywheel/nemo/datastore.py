"""NeMo Data Store, `/v1/datastore`: its own few routes, and the client for them.

Files go through the Hugging-Face-compatible half of a data store, `{datastore}/v1/hf`, for which the client
is `flywheel.hub`.
"""

from __future__ import annotations

from urllib.parse import quote

from pydantic import BaseModel

from flywheel.nemo.calls import ServiceClient


class DatastoreNamespace(BaseModel):
    """Who repositories belong to. Times end in Z here, unlike everywhere else in NeMo."""

    namespace: str
    created_at: str
    updated_at: str


def hub_endpoint(base_url: str) -> str:
    """Where a data store's hub is: the endpoint for `flywheel.hub.Hub`."""
    return base_url.rstrip("/") + "/v1/hf"


class DatastoreClient(ServiceClient):
    """One data store. Sync; reads are repeated on passing trouble. Raises ServiceCallFailed."""

    def ensure_namespace(self, namespace: str) -> None:
        """Create the namespace unless it is there."""
        body = {"namespace": namespace}
        self._call.json("POST", "/v1/datastore/namespaces", body, fine=frozenset({409, 422}))

    def namespace_exists(self, namespace: str) -> bool:
        """NVIDIA's server answers 201 for one that exists, ours 200."""
        path = f"/v1/datastore/namespaces/{quote(namespace, safe='')}"
        return self._call.json("GET", path, fine=frozenset({404})) is not None

    def delete_namespace(self, namespace: str) -> None:
        """Delete the namespace, which must be empty; one that is absent already is fine."""
        path = f"/v1/datastore/namespaces/{quote(namespace, safe='')}"
        self._call.json("DELETE", path, fine=frozenset({204, 404}))

"""Model deployments, NeMo's `/v1/deployment`, and the proxy in front of what was deployed.

Two routers at two addresses: `router` for the deployments, `proxy_router` for the models. Both
have a `GET /v1/models` neighbour with another meaning, so they never share one port.
"""

from flywheel.services.deployments.engines import ServedModel
from flywheel.services.deployments.proxy import proxy_router
from flywheel.services.deployments.router import router
from flywheel.services.deployments.service import DeploymentService

__all__ = ["DeploymentService", "ServedModel", "proxy_router", "router"]

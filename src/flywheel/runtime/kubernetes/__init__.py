"""Programs in a Kubernetes cluster: Jobs, and Deployments with a Service."""

from flywheel.runtime.kubernetes.runtime import KubernetesRuntime

__all__ = ["KubernetesRuntime"]

"""Pages for people: static files that call the public API, as any other client does."""

from flywheel.dashboard.router import router

__all__ = ["router"]

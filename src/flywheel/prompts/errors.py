"""What can go wrong between a conversation and its prompt."""

from flywheel.errors import FlywheelError


class PromptError(FlywheelError):
    """A conversation that the chat template does not render, or renders in a way nobody can train on."""

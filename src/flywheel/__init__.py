"""Flywheel: teacher traffic in, a trained and measured student out."""

__version__ = "0.1.0"

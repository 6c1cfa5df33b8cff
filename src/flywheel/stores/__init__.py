"""Where things are kept: teacher logs, runs, entities and files, each behind a small interface."""

"""The workflow of a run and its API: the only room that drives the NeMo services, always over HTTP."""

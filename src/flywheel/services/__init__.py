"""The four NeMo-compatible services. They meet only over HTTP."""

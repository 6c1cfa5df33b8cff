"""NeMo's Entity Store (descriptions) and its Data Store (files, as a Hugging-Face-compatible hub)."""

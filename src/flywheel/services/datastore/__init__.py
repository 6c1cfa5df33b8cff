"""The datastore: NeMo's Entity Store (descriptions) and Data Store (files, as a Hugging-Face-compatible hub)."""

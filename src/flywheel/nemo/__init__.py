"""The NeMo Microservices v1 wire: models and httpx clients, one file per API.

Services answer with the models, the orchestrator calls with the clients; nothing here decides anything.
"""

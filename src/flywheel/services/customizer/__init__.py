"""The customizer: NeMo's `/v1/customization` on our own training program.

A job downloads its data set from the data store, has `flywheel.training` train an adapter in a process of its
own, and uploads the adapter to the data store. What a job is and where it stands is in its document, so a
customizer that was killed anywhere goes on from there.
"""

from flywheel.services.customizer.catalog import Target
from flywheel.services.customizer.router import router
from flywheel.services.customizer.service import CustomizerService
from flywheel.services.customizer.work import training_command

__all__ = ["CustomizerService", "Target", "router", "training_command"]

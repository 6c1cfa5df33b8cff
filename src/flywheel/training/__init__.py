"""LoRA fine-tuning: `python -m flywheel.training SPEC.json`. Launched, never imported by the rest of the
program.

The environment is set here because this is the last moment before torch loads its thread pool: waiting
threads must sleep, not spin. On two cores shared with a server and an orchestrator, spinning ones made a
training step 50 times slower (measured).
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
if "LOCAL_RANK" not in os.environ:
    # One process uses one device; more of them are the business of torchrun, not of torch's DataParallel.
    os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]

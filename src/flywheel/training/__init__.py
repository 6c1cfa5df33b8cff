"""LoRA fine-tuning: `python -m flywheel.training SPEC.json`. Launched, never imported by the rest of the
program.

The environment is set here because this is the last moment before torch loads its thread pool. Half of the
cores are taken, since a server, other trainings and the orchestrator want theirs, and waiting threads sleep:
two programs of two spinning threads each made a step on two cores 50 times slower, of two sleeping ones still
7 times slower than with one thread each (measured). OMP_NUM_THREADS decides where it is set.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 2) // 2)))
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
if "LOCAL_RANK" not in os.environ:
    # One process uses one device; more of them are the business of torchrun, not of torch's DataParallel.
    os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]

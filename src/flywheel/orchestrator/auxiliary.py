"""The models that a run deploys beside its candidates, where they are configured as `local` without a `url`:
the embedding model before the data sets are made, the judge before anything is measured.

Each is written into the run before it is asked for, and taken down in the run's last step, however it ends.
"""

from __future__ import annotations

from flywheel.config import EmbeddingConfig, LlmJudgeConfig
from flywheel.orchestrator.context import Context
from flywheel.orchestrator.deploying import deployed, taken_down
from flywheel.orchestrator.remote import check_stalled
from flywheel.stores.runs.document import Auxiliary, Role, Run

Config = LlmJudgeConfig | EmbeddingConfig


def planned(run: Run, role: Role, config: Config | None) -> Run:
    """The run that knows that it wants this model deployed; as it is where it need not be."""
    if config is None or not config.deployed or run.auxiliary(role):
        return run
    wanted = Auxiliary(
        role=role, model_name=config.model_name or "", deployment_name=f"flywheel-{role}-{run.id[-8:]}"
    )
    return run.but(auxiliaries=(*run.auxiliaries, wanted))


def brought_up(run: Run, role: Role, config: Config | None, context: Context) -> Run:
    """One look at the model's deployment, which is asked for where there is none; `ready` in the run's
    document says when it answers.

    Raises DeploymentFailed, RemoteJobStalled, and what the clients raise.
    """
    auxiliary = run.auxiliary(role)
    if config is None or auxiliary is None or auxiliary.ready:
        return run
    found, answers = deployed(auxiliary.deployment_name, auxiliary.model_name, config, run, context)
    waits = found.status == "pending"
    since = auxiliary.deployed_at
    if since is None or (auxiliary.waits_for and not waits):
        since = context.clock()
    moved = auxiliary.but(
        deployed_at=since,
        status=found.status,
        waits_for=found.status_details.description if waits else None,
        ready=answers,
    )
    if not answers:
        check_stalled(f"deployment {auxiliary.deployment_name}", since, context, waits=waits)
    run = run.with_auxiliary(moved)
    if auxiliary.deployed_at is None:
        run = run.noting(context.clock(), f"{role} model {auxiliary.model_name} is being deployed")
    if answers:
        run = run.noting(context.clock(), f"{role} model {auxiliary.model_name} answers")
    return run


def released(run: Run, context: Context) -> Run:
    """One look at those that are not gone yet, which are asked to go."""
    for auxiliary in run.auxiliaries:
        if not auxiliary.released:
            gone = taken_down(auxiliary.deployment_name, context)
            run = run.with_auxiliary(
                auxiliary.but(released=gone, ready=False, status=None if gone else "deleting", waits_for=None)
            )
    return run

"""Runs from beginning to end against services that do nothing."""

from __future__ import annotations


def test_a_run_goes_from_pending_to_a_decision(world):
    here = world()
    run = here.finish(here.start())

    assert (run.status, run.error) == ("completed", None)
    (candidate,) = run.candidates
    scores = {e.eval_type: e.scores["function_name_and_args_accuracy"].value for e in candidate.evaluations}
    assert scores == {"base-eval": 0.1, "icl-eval": 0.3, "customized-eval": 0.9}
    assert run.decision.eval_type == "customized-eval"
    assert run.decision.customized_model.startswith("dfwbp/customized-test-student@cust-")
    assert here.nemo.open_jobs == []
    assert here.nemo.calls["POST /v1/customization/jobs"] == 1
    assert here.nemo.calls["POST /v1/evaluation/jobs"] == 3

"""One life of datastore, customizer and deployments: a process that a test may kill -9 at any moment.

    python life.py DATA CONTROL     prints {"nemo": url, "proxy": url} when everything is up

Training and engine are the stand-ins of the other tests, steered by files in CONTROL.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
from pathlib import Path

import uvicorn

TESTS = Path(__file__).parents[1]
TRAINING = TESTS / "services/customizer/stand_in_training.py"
ENGINE = TESTS / "services/deployments/stand_in_engine.py"


def main(data: Path, control: Path) -> None:
    from flywheel.hub import Hub
    from flywheel.nemo.datastore import hub_endpoint
    from flywheel.nemo.entity_store import EntityStoreClient
    from flywheel.runtime import LaunchSpec
    from flywheel.runtime.process import ProcessRuntime
    from flywheel.services import customizer, deployments
    from flywheel.services.datastore.router import router as datastore_router
    from flywheel.services.datastore.service import DatastoreService
    from flywheel.services.deployments.engines import Engine, Wanted, local
    from flywheel.services.deployments.keeper import Patience
    from flywheel.web import make_app

    def engine(wanted: Wanted) -> LaunchSpec:
        spec = local(wanted)
        command = (sys.executable, "-S", str(ENGINE), spec.command[-1], str(control))
        return spec.model_copy(update={"command": command})

    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    nemo, proxy = (f"http://127.0.0.1:{s.getsockname()[1]}" for s in sockets)
    hub, runtime = Hub(hub_endpoint(nemo)), ProcessRuntime(data / "runtime")
    store = DatastoreService(data / "datastore")
    training = customizer.CustomizerService(
        data / "customizer",
        runtime=runtime,
        store=EntityStoreClient(nemo),
        hub=hub,
        targets=[customizer.Target("flywheel/student@1.0", "flywheel/student", "/models/s", 512)],
        resolve=lambda name: data,
        train_command=lambda spec, gpus: (sys.executable, str(TRAINING), str(spec), str(control)),
    )
    serving = deployments.DeploymentService(
        data / "deployments",
        runtime=runtime,
        store=EntityStoreClient(nemo),
        hub=hub,
        resolve=lambda name: data,
        engines={"local": Engine(engine, "/v1/health/ready")},
        patience=Patience(look=0.05),
        sync_interval_s=0.2,
    )
    apps = [
        make_app(
            "nemo",
            "nemo",
            [datastore_router(store), customizer.router(training), deployments.router(serving)],
        ),
        make_app("proxy", "openai", [deployments.proxy_router(serving)]),
    ]
    for app, listener in zip(apps, sockets, strict=True):
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True).start()
    store.start()
    runtime.reap()
    training.start()
    serving.start()
    sys.stdout.write(json.dumps({"nemo": nemo, "proxy": proxy}) + "\n")
    sys.stdout.flush()
    threading.Event().wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

"""What a server is asked to serve: the SPEC file."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from flywheel.serving.errors import BadServingSpec

AdapterName = r"^[A-Za-z0-9][A-Za-z0-9._@/+-]{0,254}$"


class AdapterSpec(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: str = Field(pattern=AdapterName)
    path: Path
    sha256: str | None = None
    """Of adapter_model.safetensors. None: what is there is taken, and its hash is kept."""


class ServingSpec(BaseModel):
    model_config = ConfigDict(frozen=True, protected_namespaces=())

    model: str
    """A folder with a model, or the name of one on a Hugging Face hub: one that talks, or one that embeds."""
    name: str = Field(pattern=AdapterName)
    """How clients call the base model."""
    host: str = "127.0.0.1"
    port: int = Field(0, ge=0, le=65535)
    """0 takes a free one; the first line on standard output tells which."""
    adapters: tuple[AdapterSpec, ...] = ()
    max_batch_size: int = Field(16, ge=1, le=256)
    """Requests that are generated side by side, or texts that are embedded so; more of them wait."""
    max_model_len: int | None = Field(None, ge=2)
    """Tokens of prompt and answer together, or of a text to embed. None: all that the model was made for."""
    stdin_lifeline: bool = False


def read_spec(path: Path) -> ServingSpec:
    try:
        return ServingSpec.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BadServingSpec(path, error.strerror or str(error)) from error
    except ValidationError as error:
        first = error.errors()[0]
        raise BadServingSpec(path, f"{'.'.join(map(str, first['loc'])) or 'file'}: {first['msg']}") from error

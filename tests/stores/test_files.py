"""Files by their content: kept once, whole or not at all, and no name becomes a path."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import BinaryIO

import pytest

from flywheel.errors import StorageFull
from flywheel.stores.files import CHUNK, Blobs


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_blob_is_named_by_its_content(blobs: Blobs) -> None:
    name = blobs.put(b"hello", "greeting")
    assert name == hashlib.sha256(b"hello").hexdigest()
    assert blobs.path(name).read_bytes() == b"hello"
    assert blobs.size(name) == 5
    assert list(blobs.all()) == [name]


def test_the_same_content_is_kept_once(blobs: Blobs, tmp_path: Path) -> None:
    assert blobs.put(b"x", "a") == blobs.put(b"x", "b")
    assert len(files_in(tmp_path)) == 1


def test_a_large_blob_is_written_and_read_in_pieces(blobs: Blobs) -> None:
    with blobs.writer("large") as blob:
        for _ in range(5):
            blob.write(b"x" * CHUNK)
        blob.write(b"y")
    assert blob.size == 5 * CHUNK + 1
    assert [len(chunk) for chunk in blobs.chunks(blob.sha256)] == [CHUNK] * 5 + [1]


def test_a_writer_that_fails_leaves_nothing(blobs: Blobs, tmp_path: Path) -> None:
    def fail() -> None:
        with blobs.writer("half") as blob:
            blob.write(b"half" * (1 // 0))

    with pytest.raises(ZeroDivisionError):
        fail()
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "a" * 63, "g" * 64])
def test_what_is_no_hash_never_becomes_a_path(blobs: Blobs, name: str) -> None:
    with pytest.raises(ValueError, match="no sha256"):
        blobs.path(name)


def test_what_is_absent_has_no_size(blobs: Blobs) -> None:
    assert blobs.size("a" * 64) is None
    assert blobs.touch("a" * 64) is False


def full(_: Path) -> BinaryIO:
    """A new file on a disk that has no room at all."""
    return Path("/dev/full").open("wb")


def test_a_full_disk_is_said_to_be_full(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path, create=full)
    with pytest.raises(StorageFull, match=r"no space left.*adapter\.safetensors was not stored"):
        blobs.put(b"x" * 100_000, "adapter.safetensors")
    assert files_in(tmp_path) == []


def test_only_old_candidates_are_collected(blobs: Blobs) -> None:
    old, new, other = (blobs.put(data, "x") for data in (b"old", b"new", b"other"))
    for name in (old, other):
        os.utime(blobs.path(name), (time.time() - 100,) * 2)
    assert blobs.collect([old, new, "a" * 64], min_age_s=50) == 1
    assert sorted(blobs.all()) == sorted([new, other])
    assert blobs.touch(other)
    assert blobs.collect([other], min_age_s=50) == 0


def test_a_process_that_is_killed_leaves_whole_blobs_only(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from flywheel.stores.files import Blobs\n"
        "blobs = Blobs(Path(sys.argv[1]))\n"
        "blobs.put(b'whole', 'x')\n"
        "with blobs.writer('half') as blob:\n"
        "    blob.write(b'h' * 5_000_000)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    blobs = Blobs(tmp_path)
    assert [blobs.size(name) for name in blobs.all()] == [5]
    blobs.discard_incoming()
    assert len(files_in(tmp_path)) == 1

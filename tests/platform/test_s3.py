"""Results in S3, by a server that is real: whole under their names, behind links for a time, with little memory."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from mitm_ai_proxy.platform.states import State
from mitm_ai_proxy.platform.storage import Storage, StorageError
from mitm_ai_proxy.platform.store import Store
from tests.platform.proxy import Proxy
from tests.platform.servers import Weed, weed
from tests.platform.test_steps import Worker
from tests.platform.web.server import Server
from tests.platform.workers import ROOT

MEGABYTE: Final = 1 << 20
_PUTS: Final = """
import sys
from pathlib import Path
from mitm_ai_proxy.platform.storage import Storage

def kilobytes(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))

storage, folder = Storage(sys.argv[1]), Path(sys.argv[2])
for name in ("small", "large"):
    # What has to be there for any file is there after the first one.
    Path("/proc/self/clear_refs").write_text("5")
    before = kilobytes("VmRSS")
    storage.put(f"{name}.mp4", folder / name)
print(kilobytes("VmHWM") - before)
"""


@pytest.fixture(scope="module")
def s3() -> Iterator[Weed]:
    """SeaweedFS, which is a real S3 server with a bucket `videos`; the environment says how to reach it."""
    program = weed()
    if not program:
        pytest.skip("there is no SeaweedFS for this machine")
    server = Weed(program)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_ENDPOINT_URL", server.url)
        patch.setenv("AWS_REGION", "us-east-1")
        server.make_bucket("videos")
        yield server
    server.close()


def test_a_bucket_keeps_objects_whole_and_gives_links_to_them_alone(s3: Weed, tmp_path: Path) -> None:
    storage, file = Storage("s3://videos/results"), tmp_path / "file"
    file.write_bytes(bytes(range(256)) * 50_000)
    storage.check()
    storage.put("a/b/job.mp4", file)

    assert (storage.size("a/b/job.mp4"), storage.size("a/b/other.mp4")) == (12_800_000, None)
    assert storage.read("a/b/job.mp4", 5, 3) == b"\x05\x06\x07"
    link = storage.link("a/b/job.mp4", 60)
    assert link
    with urllib.request.urlopen(urllib.request.Request(link, headers={"Range": "bytes=255-256"})) as answer:
        assert (answer.status, answer.headers["content-type"], answer.read()) == (206, "video/mp4", b"\xff\x00")
    for changed in (link.replace("job.mp4", "other.mp4"), link.partition("?")[0]):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(changed)
    storage.delete("a/b/job.mp4")
    storage.delete("a/b/job.mp4")
    assert storage.size("a/b/job.mp4") is None


def test_while_the_bucket_is_missing_jobs_are_taken_and_wait_and_then_their_links_lead_to_them(
    s3: Weed, proxy: Proxy, store: Store, tmp_path: Path
) -> None:
    proxy.renew()
    storage = Storage("s3://later")
    with pytest.raises(StorageError, match=r"a\.mp4 cannot be read: it is not there: make the bucket"):
        storage.read("a.mp4", 0, 1)
    worker = Worker(proxy.embedded.origin, store, tmp_path)
    worker.storage = storage
    worker.steps = worker._steps({"main": 5})
    with Server(tmp_path, store=store, storage=storage) as server:
        server.set_clock(worker.now)
        ready = server.ask("GET", "/readyz")
        assert (ready.status, ready.json["checks"]["storage"]) == (503, "StorageError")
        job_id = server.made()
        assert worker.steps.next()
        while worker.job(job_id).tries < 2:
            worker.now = max(worker.now, worker.job(job_id).next_at)
            worker.steps.step(job_id)
        assert worker.job(job_id).state is State.FETCHING
        assert "mp4 was not stored" in store.events(job_id)[-1].reason

        s3.make_bucket("later")
        assert server.ask("GET", "/readyz").status == 200
        job = worker.run(job_id)
        assert (job.state, job.tries, worker.bought(job_id)) == (State.STORED, 0, 1)
        content = server.ask("GET", f"/api/videos/{job_id}/content")
        assert content.status == 302
        with urllib.request.urlopen(content.fields["location"]) as answer:
            assert len(answer.read()) == job.size
    worker.close()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel says what a process has")
def test_a_large_file_takes_little_memory(s3: Weed, tmp_path: Path) -> None:
    """A part of what it is for 300 MB, see docs/platform.md: more than the parts that are under way would be seen."""
    for name, size in (("small", 1), ("large", 80)):
        with (tmp_path / name).open("wb") as file:
            file.truncate(size * MEGABYTE)

    done = subprocess.run(
        [sys.executable, "-c", _PUTS, "s3://videos/memory", str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "addon")}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(done.stdout) < 40 * 1024

"""The simulator inside a real mitmdump: requests are rewritten as usual, and none is sent."""

from __future__ import annotations

import http.client
import json
import re
import shlex
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.e2e.conftest import StartProxy
from tests.e2e.proxy import DEADLINE, Proxy, Reply
from tests.tables import table

SIMULATE = ("--set", "ai_simulate=true")
INSTANT = "\nsimulator: {speed: instant, concurrency: 100}\n"
JSON = {"Content-Type": "application/json"}
SDK = {**JSON, "User-Agent": "OpenAI/Python 2.0.0", "X-Stainless-Lang": "python"}
CREATE = b'{"model":"kling-v3","prompt":"a cat"}'


def _config(nobody: socket.socket, *more: str, simulator: str = INSTANT) -> str:
    keys = [f"providerDomain: http://127.0.0.1:{nobody.getsockname()[1]}", *more]
    return "provider:\n  type: kling\n" + "".join(f"  {key}\n" for key in keys) + simulator


def _json(reply: Reply, status: int = 200) -> dict[str, Any]:
    assert reply.status == status, reply.body
    decoded = json.loads(reply.body)
    assert isinstance(decoded, dict)
    return decoded


def _target(link: str, proxy: Proxy) -> str:
    """Path and query of a link; fails if it does not lead to the proxy."""
    parts = urlsplit(link)
    assert (parts.scheme, parts.hostname, parts.port) == ("http", "127.0.0.1", proxy.port)
    return f"{parts.path}?{parts.query}"


def test_without_a_credential_the_line_to_paste_works(start_proxy: StartProxy) -> None:
    proxy = start_proxy("provider: {type: kling}\nsimulator: {speed: instant}", *SIMULATE)
    banner, line = proxy.log.partition("SIMULATED: ")[2].splitlines()[:2]
    command = shlex.split(line)
    headers = dict([command[command.index("-H") + 1].split(": ")])

    assert banner == "no credential found, nothing is sent, nothing is paid"
    assert command[:2] == ["curl", f"http://127.0.0.1:{proxy.port}/v1/videos"]
    created = _json(proxy.request("POST", "/v1/videos", command[command.index("-d") + 1].encode(), headers))
    assert (created["object"], created["seconds"]) == ("video", "4")
    path = f"/v1/videos/{created['id']}"
    assert _json(proxy.request("GET", path))["status"] == "completed"
    link = proxy.request("GET", f"{path}/content").headers["location"]
    assert proxy.request("GET", _target(link, proxy)).body[4:8] == b"ftyp"


def test_with_a_credential_it_says_that_it_was_told_to(start_proxy: StartProxy, nobody: socket.socket) -> None:
    secret = "tokentokentoken"
    proxy = start_proxy(_config(nobody, f"apiTokens: [{secret}]"), *SIMULATE)

    assert "SIMULATED: ai_simulate is set, nothing is sent, nothing is paid" in proxy.log
    assert _json(proxy.request("POST", "/v1/videos", CREATE, JSON))["code"] == 0
    assert secret not in proxy.close()


@pytest.mark.parametrize("more", [(), ("klingApi: v2",), ("apiTokens: [t]",), ("providerBasePath: /klingai",)])
def test_a_video_is_made_and_downloaded_through_openai_s_api(
    start_proxy: StartProxy, nobody: socket.socket, more: tuple[str, ...]
) -> None:
    proxy = start_proxy(_config(nobody, *more), *SIMULATE)
    body = b'{"model":"sora-2","prompt":"a cat","seconds":"8","size":"720x1280"}'
    created = _json(proxy.request("POST", "/v1/videos", body, SDK))
    assert (created["object"], created["status"], created["seconds"]) == ("video", "queued", "8")
    video = _json(proxy.request("GET", f"/v1/videos/{created['id']}", None, SDK))
    assert (video["status"], video["progress"], video["size"]) == ("completed", 100, "720x1280")
    content = proxy.request("GET", f"/v1/videos/{created['id']}/content", None, SDK)
    assert content.status == 302
    target = _target(content.headers["Location"], proxy)
    whole = proxy.request("GET", target)
    part = proxy.request("GET", target, None, {"Range": "bytes=4-7"})
    head = proxy.request("HEAD", target)

    assert (whole.status, whole.headers["Content-Type"], whole.body[4:8]) == (200, "video/mp4", b"ftyp")
    assert (part.status, part.body) == (206, b"ftyp")
    assert (head.status, head.headers["Content-Length"], head.body) == (200, str(len(whole.body)), b"")
    assert proxy.request("GET", target.replace("sign=", "sign=0")).status == 403
    assert [item["id"] for item in _json(proxy.request("GET", "/v1/videos", None, SDK))["data"]]


def test_the_file_s_size_and_length_are_those_that_were_asked_for(
    start_proxy: StartProxy, nobody: socket.socket
) -> None:
    proxy = start_proxy(_config(nobody), *SIMULATE)
    created = _json(proxy.request("POST", "/v1/videos", b'{"model":"sora-2","prompt":"a","seconds":"12"}', SDK))
    target = _target(proxy.request("GET", f"/v1/videos/{created['id']}/content", None, SDK).headers["Location"], proxy)
    movie = proxy.request("GET", target).body
    header = movie[movie.index(b"mvhd") :]

    # ISO/IEC 14496-12, 8.2.2: time scale and duration.
    assert int.from_bytes(header[20:24]) / int.from_bytes(header[16:20]) == pytest.approx(12 + 1 / 24, abs=0.001)


CASES: list[tuple[str, str, bytes | None, dict[str, str], int]] = [
    ("GET", "/v1/videos/text2video?pageNum=1", None, {}, 200),
    ("GET", "/account/costs?start_time=1&end_time=2", None, {}, 200),
    ("GET", "/v1/nothing", None, {}, 404),
    ("HEAD", "/v1/videos/text2video", None, {}, 200),
    ("POST", "/v1/images/generations", b'{"prompt":"a cat"}', JSON, 200),
    ("POST", "/v1/videos/text2video", b'{"prompt":"a","model_name":"kling-v3"}', JSON, 200),
    ("POST", "/v1/videos/text2video", b'{"prompt":"%s"}' % (b"a" * 3_000_000), JSON, 400),
    ("POST", "/v1/videos/text2video", b"5\r\n{}   \r\n0\r\n\r\n", {**JSON, "Transfer-Encoding": "chunked"}, 400),
    ("POST", "/v1/videos/text2video", b"{", JSON, 400),
    ("PUT", "/v1/videos/text2video", b"{}", JSON, 404),
]


@pytest.mark.parametrize("protocol", ["openai", "original"])
def test_nothing_goes_out_whatever_is_asked(start_proxy: StartProxy, nobody: socket.socket, protocol: str) -> None:
    options = ("--set", "stream_large_bodies=1k", "--set", "connection_strategy=lazy")
    proxy = start_proxy(_config(nobody, f"protocol: {protocol}"), *SIMULATE, *options)
    for method, target, body, headers, status in CASES:
        assert (target, proxy.request(method, target, body, headers).status) == (target, status)


def test_a_simulator_that_breaks_lets_nothing_out(start_proxy: StartProxy, nobody: socket.socket) -> None:
    proxy = start_proxy(_config(nobody), *SIMULATE, wait=False)
    proxy.close()
    breaker = proxy.folder / "breaker.py"
    breaker.write_text(
        "from mitmproxy import ctx\n"
        "def running():\n"
        "    ctx.master.addons.get('ai_proxy_simulated').simulator = None\n"
        "def requestheaders(flow):\n"
        "    flow.request.stream = 'stream' in flow.request.path\n"
    )
    proxy = start_proxy(_config(nobody), *SIMULATE, "-s", str(breaker))
    for target in ("/v1/videos/text2video", "/v1/videos/text2video?stream"):
        assert proxy.request("POST", target, CREATE, JSON).status >= 500
    assert "AssertionError in the simulator" in proxy.close()


@pytest.mark.parametrize("fault", ["lost", "truncated"])
def test_a_lost_answer_is_a_closed_connection_and_its_repetition_finds_the_task(
    start_proxy: StartProxy, nobody: socket.socket, fault: str
) -> None:
    proxy = start_proxy(_config(nobody), *SIMULATE)
    body = json.dumps({"model": "sora-2", "prompt": f"a cat [simulate:{fault}*1]"}).encode()
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=DEADLINE)
    connection.request("POST", "/v1/videos", body, SDK)
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        connection.getresponse()
    connection.close()
    repeated = proxy.request("POST", "/v1/videos", body, {**SDK, "X-Stainless-Retry-Count": "1"})
    assert repeated.status == 303
    found = _json(proxy.request("GET", repeated.headers["Location"], None, SDK))

    assert found["status"] == "completed"
    assert len(_json(proxy.request("GET", "/v1/videos/text2video"))["data"]) == 1


@pytest.fixture
def simulated(start_proxy: StartProxy, nobody: socket.socket) -> Proxy:
    """A proxy with the simulator."""
    return start_proxy(_config(nobody), *SIMULATE)


def _status(proxy: Proxy, body: bytes, headers: dict[str, str]) -> int:
    """The status of a create; 0 if the connection is closed without one."""
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=DEADLINE)
    try:
        connection.request("POST", "/v1/videos", body, headers)
        response = connection.getresponse()
        response.read()
    except (http.client.HTTPException, ConnectionError):
        return 0
    finally:
        connection.close()
    return response.status


def _paid(proxy: Proxy) -> int:
    return len(_json(proxy.request("GET", "/v1/videos/text2video?pageSize=500"))["data"])


@table("headers", [SDK, {**SDK, "X-Stainless-Retry-Count": "0"}], ids=["without", "zero"])
@table("fault", ["lost", "truncated", "garbage", "accepted=5000", "accepted=5002"])
def test_a_program_that_repeats_a_create_in_doubt_by_itself_pays_once(
    simulated: Proxy, fault: str, headers: dict[str, str]
) -> None:
    before = _paid(simulated)
    asked = {"model": "sora-2", "prompt": f"a café {len(headers)} {fault}", "seconds": "4"}
    assert _status(simulated, json.dumps(asked).encode(), {**headers, "x-simulate": fault}) in (0, 200, 500, 504)
    spelled = json.dumps(dict(reversed(asked.items())), ensure_ascii=False, indent=1).encode()
    repeated = simulated.request("POST", "/v1/videos", spelled, headers)

    assert repeated.status == 303
    assert _json(simulated.request("GET", repeated.headers["Location"], None, SDK))["model"] == "sora-2"
    assert _paid(simulated) == before + 1
    # Of one that was answered, an equal create is another one.
    assert _status(simulated, spelled, headers) == 200
    assert _paid(simulated) == before + 2


def test_an_sdk_whose_create_in_doubt_was_taken_over_gets_a_video_of_its_own(simulated: Proxy) -> None:
    body = json.dumps({"model": "sora-2", "prompt": "a dog"}).encode()
    assert _status(simulated, body, {**SDK, "x-simulate": "accepted=5002"}) == 504
    taken = simulated.request("POST", "/v1/videos", body, SDK)
    again = simulated.request("POST", "/v1/videos", body, {**SDK, "X-Stainless-Retry-Count": "1"})

    assert (taken.status, again.status) == (303, 200)
    found = _json(simulated.request("GET", taken.headers["Location"], None, SDK))
    assert found["id"] != _json(again)["id"]
    assert _paid(simulated) == 2


@table(("fault", "status"), [("1303", 429), ("5000", 500), ("1301", 400), ("accepted=5002", 504)])
def test_a_fault_of_kling_s_is_an_error_of_openai_s(simulated: Proxy, fault: str, status: int) -> None:
    body = json.dumps({"model": "sora-2", "prompt": f"a cat for {fault}"}).encode()
    error = _json(simulated.request("POST", "/v1/videos", body, {**SDK, "x-simulate": fault}), status)["error"]

    assert {"message", "type", "code"} <= error.keys()


def test_an_answer_to_a_create_that_nobody_can_read_is_passed_on(simulated: Proxy) -> None:
    reply = simulated.request(
        "POST", "/v1/videos", b'{"model":"sora-2","prompt":"a"}', {**SDK, "x-simulate": "garbage"}
    )

    assert (reply.status, reply.headers["x-should-retry"]) == (200, "false")
    assert b"<html>" in reply.body


FORM = {"Content-Type": "multipart/form-data; boundary=B"}
FORM_BODY = b"".join(
    b'--B\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % field
    for field in ((b"model", b"sora-2"), (b"prompt", b"a boat"), (b"seconds", b"4"), (b"size", b"1280x720"))
)


@pytest.mark.parametrize("more", [(), ("klingApi: v2",)])
def test_sora_code_without_an_sdk_makes_a_video_and_polls_it(
    start_proxy: StartProxy, nobody: socket.socket, more: tuple[str, ...]
) -> None:
    """What fetch, axios, PHP and .NET send has nothing of an SDK's; their code reads `id` and `status`."""
    proxy = start_proxy(_config(nobody, *more), *SIMULATE)
    fields = b'{"model":"sora-2","prompt":"a boat","seconds":"4","size":"1280x720"}'
    for body, headers in ((fields, JSON), (FORM_BODY + b"--B--\r\n", FORM)):
        made = _json(proxy.request("POST", "/v1/videos", body, headers))
        assert (made["object"], made["status"], made["code"]) == ("video", "queued", 0)
        video = _json(proxy.request("GET", f"/v1/videos/{made['id']}"))
        assert (video["id"], video["status"], video["model"]) == (made["id"], "completed", "sora-2")
        content = proxy.request("GET", f"/v1/videos/{made['id']}/content")
        assert proxy.request("GET", _target(content.headers["Location"], proxy)).body[4:8] == b"ftyp"
        remix = {"prompt": "at night"}
        path = f"/v1/videos/{made['id']}/remix"
        sent_on = proxy.request("POST", path, json.dumps(remix).encode(), JSON)
        assert sent_on.status == 307
        remade = _json(proxy.request("POST", sent_on.headers["Location"], json.dumps(remix).encode(), JSON))
        assert _json(proxy.request("GET", f"/v1/videos/{remade['id']}"))["id"] == remade["id"]
    refused = _json(proxy.request("POST", "/v1/videos", fields, {**JSON, "x-simulate": "1303"}), 429)
    assert refused["error"]["code"] == "concurrency_limit"


@pytest.mark.parametrize("skew", [-60, 7200])
def test_a_clock_that_is_off_is_told(start_proxy: StartProxy, nobody: socket.socket, skew: int) -> None:
    proxy = start_proxy(_config(nobody, simulator=f"\nsimulator: {{clockSkew: {skew}}}\n"), *SIMULATE)
    for method, path, body in (("POST", "/v1/videos", CREATE), ("GET", "/v1/videos/kling-t2v-7", None)):
        error = _json(proxy.request(method, path, body, SDK), 401)["error"]
        assert error["kling_code"] == (1003 if skew < 0 else 1004)
        seconds = re.search(rf"is (\d+) s {'ahead of' if skew < 0 else 'behind'} Kling's", error["message"])
        assert seconds
        assert abs(int(seconds[1]) - abs(skew)) <= 3


def test_a_callback_s_id_says_what_to_add(simulated: Proxy) -> None:
    body = b'{"model":"sora-2","prompt":"a","input_reference":{"image_url":"https://pictures.example/a.png"}}'
    made = _json(simulated.request("POST", "/v1/videos", body, SDK))
    bare = made["data"]["task_id"].removeprefix("kling-i2v-")
    message = _json(simulated.request("GET", f"/v1/videos/{bare}", None, SDK), 404)["error"]["message"]
    assert "kling-i2v-" in message
    assert "?kling_task_type=image2video" in message

    for target in (f"kling-i2v-{bare}", f"{bare}?kling_task_type=image2video"):
        assert _json(simulated.request("GET", f"/v1/videos/{target}", None, SDK))["status"] == "completed"


def test_other_settings_are_taken_up_and_tasks_stay(start_proxy: StartProxy, nobody: socket.socket) -> None:
    proxy = start_proxy(_config(nobody), *SIMULATE)
    task = _json(proxy.request("POST", "/v1/videos", CREATE, JSON))["data"]["task_id"]
    (proxy.folder / "config.yaml").write_text(_config(nobody, simulator="\nsimulator: {fault: 1301}\n"))
    proxy.wait_for("provider kling at")
    assert _json(proxy.request("POST", "/v1/videos", CREATE, JSON), 400)["code"] == 1301
    (proxy.folder / "config.yaml").write_text(_config(nobody, simulator="\nsimulator: {fault: odd}\n"))
    proxy.wait_for(r"simulator\.fault: unknown fault")

    assert _json(proxy.request("POST", "/v1/videos", CREATE, JSON), 400)["code"] == 1301
    assert _json(proxy.request("GET", f"/v1/videos/{task}"))["data"]["task_status"] == "succeed"


def test_a_web_page_may_show_a_result_and_do_nothing_else(start_proxy: StartProxy, nobody: socket.socket) -> None:
    proxy = start_proxy(_config(nobody), *SIMULATE)
    page = {"Sec-Fetch-Site": "cross-site"}
    task = _json(proxy.request("POST", "/v1/videos", CREATE, JSON))["data"]["task_id"]
    video = _json(proxy.request("GET", f"/v1/videos/{task}"))["data"]["task_result"]["videos"][0]

    assert proxy.request("GET", _target(video["url"], proxy), None, page).status == 200
    assert proxy.request("GET", f"/v1/videos/{task}", None, page).status == 403
    assert proxy.request("POST", "/v1/videos", CREATE, {**JSON, **page}).status == 403


def test_a_page_whose_name_leads_to_this_machine_is_refused(start_proxy: StartProxy, nobody: socket.socket) -> None:
    proxy = start_proxy(_config(nobody), *SIMULATE)
    page = {"Host": f"attacker.test:{proxy.port}"}

    assert _json(proxy.request("POST", "/v1/videos", CREATE, {**JSON, **page}), 403)["error"]["code"] == "cross_site"
    assert _json(proxy.request("GET", "/v1/videos/1", None, page), 403)["error"]["code"] == "cross_site"
    own = {"Host": f"localhost:{proxy.port}", "Origin": f"http://localhost:{proxy.port}"}
    assert proxy.request("POST", "/v1/videos", CREATE, {**JSON, **own}).status == 200


def test_a_page_that_is_let_in_asks_first_and_reads_the_answer(start_proxy: StartProxy, nobody: socket.socket) -> None:
    proxy = start_proxy(f"{_config(nobody)}\nallowedOrigins: [https://app.example]\n", *SIMULATE)
    page = {"Origin": "https://app.example", "Sec-Fetch-Site": "cross-site"}
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}

    preflight = proxy.request("OPTIONS", "/v1/videos", None, {**page, **asks})
    assert (preflight.status, preflight.body) == (204, b"")
    assert preflight.headers["Access-Control-Allow-Headers"] == "authorization,content-type"
    created = proxy.request("POST", "/v1/videos", CREATE, {**JSON, **page})
    assert (created.status, created.headers["Access-Control-Allow-Origin"]) == (200, "https://app.example")
    assert proxy.request("OPTIONS", "/v1/videos", None, {**asks, "Origin": "https://evil.example"}).status == 403


def test_in_regular_mode_links_lead_to_the_host_that_the_client_asked(
    start_proxy: StartProxy, nobody: socket.socket
) -> None:
    proxy = start_proxy(_config(nobody), *SIMULATE, "--mode", "regular", "--set", "connection_strategy=lazy")
    created = _json(proxy.request("POST", "http://api.openai.com/v1/videos", CREATE, JSON))
    task = created["data"]["task_id"]
    video = _json(proxy.request("GET", f"http://api.openai.com/v1/videos/{task}"))["data"]["task_result"]["videos"][0]

    assert video["url"].startswith("http://api.openai.com/simulated/")
    assert proxy.request("GET", video["url"]).body[4:8] == b"ftyp"


def test_a_wrong_setting_of_the_simulator_ends_the_start(start_proxy: StartProxy) -> None:
    proxy = start_proxy("provider: {type: kling}\nsimulator: {sped: 1}", *SIMULATE, wait=False)

    assert proxy.ended() != 0
    assert "simulator.sped: unknown key" in proxy.log
    assert "Traceback" not in proxy.log


def test_the_option_stays_as_it_was_at_the_start(start_proxy: StartProxy, nobody: socket.socket) -> None:
    setter = "from mitmproxy import ctx\ndef running():\n    ctx.options.update(ai_simulate='false')\n"
    first = start_proxy("provider: {type: kling}", *SIMULATE, wait=False)
    first.close()
    (first.folder / "setter.py").write_text(setter)
    proxy = start_proxy(_config(nobody), *SIMULATE, "-s", str(first.folder / "setter.py"), wait=False)

    assert proxy.ended() != 0
    assert "ai_simulate can only be set at the start" in proxy.log

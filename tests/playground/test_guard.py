"""What stands before every route: in front of a small app of our own, and of a real Gradio app that is called wrongly."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr
import gradio_client
import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from playground import guard
from playground.guard import BadCall, Buckets, Guard
from playground.uploads import Refused

TOKEN = "a-browser-of-my-own"


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def length(request: Request) -> JSONResponse:
    return JSONResponse(len(await request.body()))


async def swallowing(request: Request) -> PlainTextResponse:
    """As FastAPI does: whatever goes wrong in the body is an error of the app's own."""
    try:
        await request.body()
    except Exception:
        return PlainTextResponse("There was an error parsing the body", 400)
    return PlainTextResponse("fine")


async def page(request: Request) -> HTMLResponse:
    return HTMLResponse("<p>a page</p>")


async def plain(request: Request) -> PlainTextResponse:
    return PlainTextResponse("x")


async def stream(request: Request) -> StreamingResponse:
    async def rows():
        for row in range(3):
            yield bytes([row])

    return StreamingResponse(rows())


async def breaking(request: Request) -> StreamingResponse:
    async def rows():
        yield b"first"
        raise RuntimeError("in the middle")

    return StreamingResponse(rows())


async def bad(request: Request) -> None:
    raise BadCall("Nine is too many: choose 1 to 8.", 422)


async def refused(request: Request) -> None:
    raise Refused("The file is empty.")


async def fault(request: Request) -> None:
    raise ZeroDivisionError("ours")


async def echo(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text("hello")
    await socket.close()


ROUTES = [
    Route("/", page),
    Route("/play/length", length, methods=["GET", "POST"]),
    Route("/play/prepare", length, methods=["POST"]),
    Route("/play/swallowing", swallowing, methods=["POST"]),
    Route("/play/stream", stream),
    Route("/play/breaking", breaking),
    Route("/play/bad", bad),
    Route("/play/refused", refused),
    Route("/play/fault", fault),
    Mount("/play/static", routes=[Route("/pad.js", plain)]),
    Route("/gradio_api/fault", fault),
    Route("/gradio_api/length", length, methods=["POST"]),
    Route("/fault", fault),
    WebSocketRoute("/play/socket", echo),
]


def app(**options: object) -> Starlette:
    return Starlette(routes=ROUTES, middleware=[Middleware(Guard, **options)])


def client(**options: object) -> TestClient:
    return TestClient(app(**options), base_url="http://here.test")


def assert_sentence(response: httpx.Response, status: int, *words: str) -> None:
    assert response.status_code == status, response.text
    said = response.json()["error"]
    assert said[0].isupper(), said
    assert said.endswith("."), said
    assert all(word in said for word in words), said
    assert response.headers["x-content-type-options"] == "nosniff"


# Sizes


@pytest.mark.parametrize(
    ("path", "limit"), [("/play/length", 1_000_000), ("/gradio_api/length", 1_000_000), ("/play/prepare", 20_000_000)]
)
def test_a_body_is_allowed_up_to_the_limit_of_its_path(path, limit):
    with client() as caller:
        assert caller.post(path, content=bytes(limit)).json() == limit
        assert_sentence(caller.post(path, content=bytes(limit + 1)), 413, f"{limit + 1:,}", f"{limit:,}", path)


@pytest.mark.parametrize("path", ["/play/length", "/play/swallowing"])
def test_a_chunked_body_is_counted_as_it_comes(path):
    sent = 0

    def chunks():
        nonlocal sent
        for _ in range(1000):
            sent += 1
            yield bytes(100_000)

    response = asyncio.run(streamed(path, chunks()))
    assert_sentence(response, 413, "1,100,000", "1,000,000")
    assert sent < 20


async def streamed(path: str, chunks) -> httpx.Response:
    """A POST without a length, straight to the ASGI app: pieces are only made when asked for."""
    started: dict = {}
    body = b""

    async def receive():
        piece = next(chunks, None)
        return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

    async def send(message):
        nonlocal body
        if message["type"] == "http.response.start":
            assert not started
            started.update(message)
        else:
            body += message.get("body", b"")

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "headers": [(b"host", b"here.test")],
        "query_string": b"",
        "client": None,
    }
    await app()(scope, receive, send)
    return httpx.Response(started["status"], headers=started["headers"], content=body)


def test_a_chunked_body_within_the_limit_passes():
    assert asyncio.run(streamed("/play/length", iter([b"abc", b"de"]))).json() == 5


def test_a_prefix_means_whole_path_segments():
    with client() as caller:
        assert_sentence(caller.post("/play/prepared", content=bytes(1_000_001)), 413)


@pytest.mark.parametrize("value", ["-1", "+5", "five", "5, 5", "1e3", "", "9" * 5000, "٣".encode()])
def test_a_malformed_content_length_is_400(value):
    with client() as caller:
        assert_sentence(caller.get("/play/length", headers={"Content-Length": value}), 400, "Content-Length")


def test_contradicting_content_lengths_are_400():
    with client() as caller:
        assert_sentence(caller.get("/play/length", headers=[("Content-Length", "0"), ("Content-Length", "7")]), 400, "'0, 7'")


# Origins


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        (None, "here.test"),
        ("http://here.test", "here.test"),
        ("http://HERE.test", "here.test"),
        ("https://here.test", "here.test:443"),
        ("http://here.test:80", "here.test"),
        ("http://127.0.0.1:7860", "127.0.0.1:7860"),
    ],
)
def test_pages_of_this_site_and_callers_without_origin_may_post(origin, host):
    headers = {"Host": host} | ({} if origin is None else {"Origin": origin})
    with client() as caller:
        assert caller.post("/play/length", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "origin",
    ["http://evil.test", "null", "", "http://here.test.evil.test", "http://here.test:8080", "here.test", "file://", "http://"],
)
def test_pages_of_other_sites_may_not_post(origin):
    with client() as caller:
        assert_sentence(caller.post("/play/length", headers={"Origin": origin}), 403, origin)
        assert caller.get("/play/length", headers={"Origin": origin}).status_code == 200


def test_every_origin_given_must_be_ours():
    with client() as caller:
        both = [("Origin", "http://here.test"), ("Origin", "http://evil.test")]
        assert_sentence(caller.post("/play/length", headers=both), 403)


def test_the_forwarded_host_is_believed_behind_a_proxy_only():
    headers = {"Origin": "https://me-space.hf.space", "X-Forwarded-Host": "me-space.hf.space, inner"}
    with client(proxied=True) as caller:
        assert caller.post("/play/length", headers=headers).status_code == 200
        assert_sentence(caller.post("/play/length", headers=headers | {"Origin": "http://inner"}), 403)
        assert_sentence(caller.post("/play/length", headers={"Origin": "null"}), 403)
    with client() as caller:
        assert_sentence(caller.post("/play/length", headers=headers), 403)


def test_spaces_counts_as_a_proxy(monkeypatch):
    monkeypatch.setenv("SPACE_ID", "me/space")
    with client() as caller:
        assert caller.post("/play/length", headers={"Origin": "https://a.b", "X-Forwarded-Host": "a.b"}).status_code == 200


def test_web_sockets_are_checked_like_posts():
    with client() as caller:
        with caller.websocket_connect("/play/socket", headers={"Origin": "http://testserver", "Host": "testserver"}) as opened:
            assert opened.receive_text() == "hello"
        with pytest.raises(WebSocketDisconnect) as closed, caller.websocket_connect("/play/socket", headers={"Origin": "null"}):
            pass
        assert closed.value.code == 1008


# Rates


class Rated:
    """A guarded app that answers 200, called directly: thousands of calls in a moment, while no clock runs."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.guard = Guard(PlainTextResponse("x"), clock=self.clock)

    async def _call(self, token: str | None, path: str, method: str) -> httpx.Response:
        sent = []

        async def send(message):
            sent.append(message)

        headers = [] if token is None else [(b"x-playground-token", token.encode())]
        scope = {"type": "http", "method": method, "path": path, "headers": headers, "client": ("192.0.2.7", 1)}
        await self.guard(scope, None, send)
        return httpx.Response(sent[0]["status"], headers=sent[0]["headers"], content=sent[1]["body"])

    def answers(self, tokens, path: str = "/play/decode", method: str = "POST") -> list[httpx.Response]:
        async def one_after_the_other():
            return [await self._call(token, path, method) for token in tokens]

        return asyncio.run(one_after_the_other())

    def __call__(self, tokens, path: str = "/play/decode", method: str = "POST") -> list[int]:
        return [answer.status_code for answer in self.answers(tokens, path, method)]


def test_a_browser_may_burst_then_is_held_to_its_rate():
    rated = Rated()
    assert rated([TOKEN] * 301) == [200] * 300 + [429]
    rated.clock.now += 0.5  # half a second of 150
    assert rated([TOKEN] * 76) == [200] * 75 + [429]
    rated.clock.now += 3600
    assert rated([TOKEN] * 301) == [200] * 300 + [429]
    [late] = rated.answers([TOKEN])
    assert_sentence(late, 429, "150", "this browser", "1 s")
    assert late.headers["retry-after"] == "1"


def test_sixty_browsers_share_an_address_without_harm():
    assert set(Rated()([f"person-number-{person:04}" for person in range(60)] * 60)) == {200}


@pytest.mark.parametrize("token", ["short", "x" * 65, "sixteen letters!", "ünïcödé-ünïcödé-", ""])
def test_malformed_and_missing_tokens_share_the_bucket_of_their_address(token):
    rated = Rated()
    assert rated([None] * 280) == [200] * 280
    assert rated([token] * 21) == [200] * 20 + [429]
    assert rated([TOKEN]) == [200]


def test_minting_tokens_is_no_way_round_the_address():
    rated = Rated()
    assert rated(f"minted-{n:012}" for n in range(6002)) == [200] * 6000 + [429] * 2
    assert_sentence(rated.answers([None], "/gradio_api/run/predict")[0], 429, "3,000", "address")
    assert rated([None], "/play/static/pad.js", "GET") == rated([None], "/", "GET") == [200]
    rated.clock.now += 0.01
    assert rated([TOKEN]) == [200]


def test_static_files_are_not_rated_but_posts_to_them_are():
    rated = Rated()
    assert set(rated([None] * 300, "/play/static/pad.js", "GET")) == {200}
    assert rated([None] * 301, "/play/static/pad.js")[-1] == 429


def test_buckets_forget_the_longest_unused_and_stay_bounded(monkeypatch):
    monkeypatch.setattr(guard, "MAX_BUCKETS", 3)
    buckets = Buckets(1, 1, Clock())
    assert [buckets.take(key) for key in "abca"] == [0, 0, 0, 1]  # the last is refused, and counts as use
    assert buckets.take("d") == 0
    assert list(buckets.table) == ["c", "a", "d"]


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("testclient", "testclient"),
    ],
)
def test_an_ipv6_customer_is_one_network(address, network):
    scope = {"client": (address, 1)}
    assert guard.client_network(scope, guard.Headers({"x-forwarded-for": "203.0.113.9"}), proxied=False) == network
    assert (
        guard.client_network(scope, guard.Headers({"x-forwarded-for": "203.0.113.9, 2001:db8::1"}), proxied=True)
        == "2001:db8::/64"
    )
    assert guard.client_network({"client": None}, guard.Headers({}), proxied=False) == "unknown"


# Faults


def test_refusals_keep_their_sentence_and_status():
    with client() as caller:
        assert caller.get("/play/bad").json() == {"error": "Nine is too many: choose 1 to 8."}
        assert_sentence(caller.get("/play/bad"), 422)
        assert_sentence(caller.get("/play/refused"), 400, "The file is empty")


@pytest.mark.parametrize("path", ["/play/fault", "/fault"])
def test_a_fault_of_ours_is_500_and_logged_with_its_traceback(path, caplog):
    with client() as caller:
        response = caller.get(path)
    assert response.status_code == 500
    assert response.json() == {"error": "Something broke here; it has been written to the log."}
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert isinstance(record.exc_info[1], ZeroDivisionError)
    assert path in record.getMessage()


def test_a_fault_in_gradios_interface_is_the_calls_and_logged(caplog):
    with client() as caller:
        assert_sentence(caller.get("/gradio_api/fault"), 400, "Gradio")
    assert any(record.exc_info for record in caplog.records)


def test_an_answer_that_has_begun_is_not_replaced():
    with client() as caller, pytest.raises(RuntimeError, match="in the middle"):
        caller.get("/play/breaking")


def test_html_and_json_carry_security_headers_and_may_be_framed():
    with client() as caller:
        for response in (caller.get("/"), caller.get("/play/length"), caller.get("/play/bad")):
            assert response.headers["x-content-type-options"] == "nosniff"
            assert response.headers["referrer-policy"] == "same-origin"
            assert "x-frame-options" not in response.headers
        assert "x-content-type-options" not in caller.get("/play/static/pad.js").headers


def test_streams_pass_piece_by_piece():
    sent = []

    async def receive():
        await asyncio.sleep(10)

    async def send(message):
        sent.append(message.get("body"))

    scope = {"type": "http", "method": "GET", "path": "/play/stream", "headers": [], "query_string": b""}
    asyncio.run(app()(scope, receive, send))
    assert sent == [None, b"\0", b"\1", b"\2", b""]


# A real Gradio app


def raising(value):
    raise RuntimeError("inside a server function")


def doubling(value):
    return value * 2


def broken_event(value):
    raise RuntimeError("inside an event")


def worded_event(value):
    raise gr.Error("Nine is too many: choose 1 to 8.", print_exception=False)


@pytest.fixture(scope="module")
def gradio_app():
    """Its address, and the id of its component with server functions."""
    with gr.Blocks(analytics_enabled=False) as demo:
        number, result, words, file = gr.Number(), gr.Number(), gr.Textbox(), gr.File()
        gr.Button().click(doubling, number, result, api_name="double")
        gr.Button().click(broken_event, number, result, api_name="broken", queue=False)
        gr.Button().click(worded_event, number, result, api_name="worded", queue=False)
        gr.Button().click(lambda path: Path(path).read_text(), file, words, api_name="read")
        served = gr.HTML({}, html_template="<b></b>", server_functions=[raising, doubling], js_on_load="")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {"server_name": "127.0.0.1", "server_port": port, "prevent_thread_lock": True, "quiet": True, "ssr_mode": False}
    demo.launch(**settings, app_kwargs={"middleware": [Middleware(Guard)]}, max_file_size="20mb")
    yield f"http://127.0.0.1:{port}", served._id
    demo.close()


@pytest.fixture
def caller(gradio_app):
    with httpx.Client(base_url=gradio_app[0], timeout=60) as opened:
        yield opened


def predict(**changes: object) -> dict:
    return {"data": [1], "fn_index": 0, "session_hash": "me"} | changes


MALFORMED = [
    *(
        (f"/gradio_api/{where}", body)
        for where in ("run/predict", "api/predict", "queue/join")
        for body in (
            predict(fn_index=999),
            predict(fn_index=-1),
            predict(fn_index=10**30),
            predict(fn_index="x"),
            predict(data="x"),
            predict(data=None),
            [1, 2],
            {},
            b"{nope",
            b"",
            b"\xff\xfe{}",
            b'{"data": NaN}',
            b'{"data": "\\ud800"}',
            b'{"data": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
            b'{"data": [' + b"9" * 6000 + b"]}",
        )
    ),
    ("/gradio_api/queue/join", predict(session_hash=None)),
    ("/gradio_api/run/predict", predict(data=[])),
    ("/gradio_api/run/predict", predict(data=[{"a": 1}])),
    ("/gradio_api/run/predict", predict(fn_index=3, data=[{"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}])),
    ("/gradio_api/run/nowhere", {"data": [1]}),
    ("/gradio_api/call/nowhere", {"data": [1]}),
    ("/gradio_api/call/v2/nowhere", {"value": 1}),
    ("/gradio_api/call/v2/double", {"nonsense": 1}),
    ("/gradio_api/run/broken", {"data": [1]}),
    ("/gradio_api/cancel", {}),
    ("/gradio_api/stream/nothing", {"data": [1]}),
    ("/gradio_api/upload", {}),
    ("/gradio_api/upload", b""),
    ("/gradio_api/nowhere", {}),
]


@pytest.mark.parametrize(("path", "body"), MALFORMED)
def test_malformed_calls_of_gradio_get_a_4xx_that_says_something(caller, path, body):
    sent = {"content": body, "headers": {"Content-Type": "application/json"}} if isinstance(body, bytes) else {"json": body}
    says_something(caller.post(path, **sent))


def says_something(response: httpx.Response) -> None:
    assert 400 <= response.status_code < 500, (response.status_code, response.text)
    said = response.json() if response.headers["content-type"].startswith("application/json") else {"error": response.text}
    assert said.get("error") or said.get("detail")


@pytest.mark.parametrize(
    "changes",
    [
        {"component_id": 999},
        {"component_id": -1},
        {"component_id": "x"},
        {"component_id": None},
        {"component_id": [1]},
        {"fn_name": "nowhere"},
        {"fn_name": "__init__"},
        {"fn_name": None},
        {"fn_name": "raising"},
        {"data": {}},
        {"session_hash": None},
    ],
)
def test_malformed_server_function_calls_get_a_4xx(caller, gradio_app, changes):
    call = {"data": 1, "component_id": gradio_app[1], "fn_name": "doubling", "session_hash": "me"}
    assert caller.post("/gradio_api/component_server", json=call).json() == 2
    says_something(caller.post("/gradio_api/component_server", json=call | changes))


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/queue/data?session_hash=unknown",
        "/gradio_api/queue/data",
        "/gradio_api/call/double/unknown",
        "/gradio_api/call/nowhere/unknown",
        "/gradio_api/call/v2/double/unknown",
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/gradio_api/file/etc/passwd",
        "/gradio_api/file=",
        "/gradio_api/file=a%00b",
        "/gradio_api/file=http://127.0.0.1:1/x",
        "/gradio_api/proxy=::::",
        "/gradio_api/proxy=http://127.0.0.1:1/x",
        "/gradio_api/stream/a/b/1/playlist.m3u8",
        "/gradio_api/stream/a/b/x/y.ts",
        "/gradio_api/custom_component/x/client/component/index.js",
        "/gradio_api/deep_link",
        "/static/%2e%2e/%2e%2e/etc/passwd",
        "/nowhere",
    ],
)
def test_unknown_events_files_and_routes_get_a_4xx(caller, path):
    says_something(caller.get(path))


@pytest.mark.parametrize(
    "headers", [{}, {"Content-Type": "multipart/form-data"}, {"Content-Type": "multipart/form-data; boundary=q"}]
)
def test_an_upload_without_a_file_gets_a_4xx(caller, headers):
    for path in ("/gradio_api/upload", "/gradio_api/component_server"):
        says_something(caller.post(path, content=b"rubbish", headers=headers))


def test_uploads_over_the_limit_get_413_with_and_without_a_length(caller):
    says_something(caller.post("/gradio_api/upload", files={"files": ("a.txt", bytes(20_000_000))}))
    body, kind = httpx.Request("POST", "http://x", files={"files": ("a.txt", bytes(20_000_000))}), "content-type"
    whole = body.read()
    pieces = (whole[n : n + 500_000] for n in range(0, len(whole), 500_000))
    assert_sentence(caller.post("/gradio_api/upload", content=pieces, headers={kind: body.headers[kind]}), 413, "20,000,000")
    json_pieces = iter([b'{"data": ["', *[b"a" * 100_000] * 11, b'"]}'])
    json_type = {kind: "application/json"}
    assert_sentence(caller.post("/gradio_api/run/double", content=json_pieces, headers=json_type), 413, "1,000,000")


def test_what_an_event_said_survives(caller):
    assert_sentence(caller.post("/gradio_api/run/worded", json={"data": [1]}), 400, "Nine is too many")


def test_config_and_pages_open_with_unknown_parameters(caller):
    for path in ("/config?x=%ff&deep_link=unknown", "/?deep_link=unknown&v=nonsense"):
        response = caller.get(path)
        assert response.status_code == 200
        assert response.headers["referrer-policy"] == "same-origin"


def test_other_sites_may_not_call_gradio(caller):
    assert_sentence(caller.post("/gradio_api/run/double", json={"data": [1]}, headers={"Origin": "http://evil.test"}), 403)
    ours = {"Origin": str(caller.base_url)}
    assert caller.post("/gradio_api/run/double", json={"data": [1]}, headers=ours).json()["data"] == [2]


def test_the_heartbeat_arrives_before_its_second_beat(caller):
    with caller.stream("GET", "/gradio_api/heartbeat/me", timeout=12) as response:  # seconds; it beats every 15
        assert next(response.iter_raw()) == b"data: ALIVE\n\n"


def test_the_queue_works_as_browsers_use_it(caller):
    joined = caller.post("/gradio_api/queue/join", json=predict(session_hash="browser")).json()
    messages = []
    with caller.stream("GET", "/gradio_api/queue/data?session_hash=browser") as response:
        assert response.status_code == 200
        messages = [json.loads(line[6:]) for line in response.iter_lines() if line.startswith("data: ")]
    done = next(message for message in messages if message["msg"] == "process_completed")
    assert done["event_id"] == joined["event_id"]
    assert done["output"]["data"] == [2]
    assert messages[-1]["msg"] == "close_stream"


def test_ordinary_clients_predict_and_upload(gradio_app, tmp_path, caller):
    used = gradio_client.Client(gradio_app[0], verbose=False, download_files=False)
    assert used.predict(21, api_name="/double") == 42
    text = tmp_path / "note.txt"
    text.write_text("read me")
    assert used.predict(gradio_client.handle_file(str(text)), api_name="/read") == "read me"
    event = caller.post("/gradio_api/call/double", json={"data": [4]}).json()["event_id"]
    assert caller.get(f"/gradio_api/call/double/{event}").text == "event: complete\ndata: [8]\n\n"

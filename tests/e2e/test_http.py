"""The HTTP port byte by byte: whatever a client or proxy sends, in whatever pieces."""

import json
import os
import socket
import time

import pytest

from clients import Live
from cluster import wait_until

OK = b"HTTP/1.1 200"


@pytest.fixture(scope="module")
def bearer(t):
    return b"Authorization: Bearer %s\r\n" % t.tokens["TENANT_ADMIN"].encode()


class Connection:
    def __init__(self, g):
        self.socket = socket.create_connection(("127.0.0.1", g.http_port), timeout=15)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = b""

    def send(self, line, *headers, body=b""):
        self.socket.sendall(line.encode() + b" HTTP/1.1\r\nHost: x\r\n" + b"".join(headers) +
                            b"\r\n" + body)

    def more(self):
        piece = self.socket.recv(65536)
        if not piece:
            raise EOFError
        self.data += piece

    def take(self, head=False):
        """(status, {header: value}, body) of the next answer."""
        while b"\r\n\r\n" not in self.data:
            self.more()
        top, self.data = self.data.split(b"\r\n\r\n", 1)
        lines = top.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:])
        length = 0 if head else int(headers.get("content-length", 0))
        while len(self.data) < length:
            self.more()
        body, self.data = self.data[:length], self.data[length:]
        return int(lines[0].split()[1]), headers, body

    def is_closed(self, deadline_s=10):
        self.socket.settimeout(deadline_s)
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False


@pytest.fixture
def c(g):
    connection = Connection(g)
    yield connection
    connection.socket.close()


def problem(answer):
    status, headers, body = answer
    told = json.loads(body)
    assert headers["content-type"] == "application/problem+json" and told["status"] == status
    assert told["title"] != told["code"]
    return told


def test_requests_in_one_piece_are_answered_in_order(c, bearer):
    """Pipelined requests, to the node and to the database, are answered one by one, in order."""
    c.socket.sendall(b"".join(b"GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n" % (path, bearer) for path in
                              (b"/livez", b"/api/v1/auth/me", b"/api/health", b"/livez")))
    bodies = [c.take()[2] for _ in range(4)]
    assert bodies[0] == bodies[3] == b"ok\n" and bodies[2] == b'{"status":"ok"}'
    assert json.loads(bodies[1])["data"]["role"] == "TENANT_ADMIN"


@pytest.mark.parametrize("path", [b"/livez", b"/api/v1/auth/me", b"/api/v1/wsx", b"/"])
def test_one_byte_at_a_time(c, bearer, path):
    """A request that comes in single bytes is answered as one that comes whole."""
    for byte in b"GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n" % (path, bearer):
        c.socket.sendall(bytes([byte]))
    assert c.take()[0] == (404 if path.endswith(b"x") else 200)


def test_keep_alive_and_its_end(g, c, bearer):
    """A connection serves many requests, errors among them; `close` and HTTP/1.0 end it."""
    for line, status in (("GET /api/v1/auth/me", 200), ("GET /api/v1/nothing", 404),
                         ("DELETE /api/v1/auth/me", 405), ("GET /livez", 200)):
        c.send(line, bearer)
        assert c.take()[0] == status
    c.send("GET /livez", b"Connection: close\r\n")
    assert c.take()[0] == 200 and c.is_closed()
    c = Connection(g)
    c.send("POST /api/v1/auth/me", bearer)  # no length: no body, and the end
    assert c.take()[0] == 405 and c.is_closed()
    old = Connection(g)
    old.socket.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
    assert old.take()[0] == 200 and old.is_closed()


@pytest.mark.parametrize("path", ["/livez", "/api/v1/auth/me"])
def test_head_is_get_without_the_body(c, bearer, path):
    """HEAD tells the length that GET has, sends no body and leaves the connection usable."""
    c.send("HEAD " + path, bearer)
    status, headers, _ = c.take(head=True)
    c.send("GET " + path, bearer)
    _, got, body = c.take()
    assert status == 200 and headers["content-length"] == got["content-length"] == str(len(body))


def test_bodies_of_either_kind(c, t, bearer):
    """A body is taken with a length, in chunks of any size, and after 100 Continue."""
    line, body = "POST " + "/api/v1/tenants/%s/devices" % t.id, b'{"name":"by hand"}'
    length = b"Content-Length: %d\r\n" % len(body)
    c.send(line, bearer, length)
    for byte in body:
        c.socket.sendall(bytes([byte]))
    assert c.take()[0] == 201
    c.send(line, bearer, length, b"Expect: 100-continue\r\n")
    assert c.take()[0] == 100
    c.socket.sendall(body)
    assert c.take()[0] == 201
    c.send(line, bearer, b"Transfer-Encoding: chunked\r\n",
           body=b"5;x=y\r\n%s\r\n%X\r\n%s\r\n0\r\nTrailer: x\r\n\r\n"
           % (body[:5], len(body) - 5, body[5:]))
    status, headers, answer = c.take()
    assert status == 201 and json.loads(answer)["data"]["name"] == "by hand"
    assert headers["connection"] == "close" and c.is_closed()


def test_bodies_past_the_limit(g, t, bearer):
    """More than 1 MiB is 413, told before it is sent where its length is, and never kept."""
    line = "POST /api/v1/tenants/%s/devices" % t.id
    c = Connection(g)
    c.send(line, bearer, b"Content-Length: 1048577\r\n")
    assert problem(c.take())["title"] == "Content Too Large"
    c = Connection(g)
    c.send(line, bearer, b"Transfer-Encoding: chunked\r\n")
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    try:
        for _ in range(32):
            c.socket.sendall(chunk)
    except OSError:
        pass  # it has closed already
    else:
        assert problem(c.take())["code"] == "too_large"
    c = Connection(g)
    c.send(line, bearer, b"Transfer-Encoding: chunked\r\n", body=b"xyz\r\n")
    assert problem(c.take())["title"] == "Bad Request"


def test_a_refused_request_whose_body_is_still_coming(c, t):
    """401 comes before the body; the body is passed over and the connection serves on."""
    c.send("POST /api/v1/tenants/%s/devices" % t.id, b"Authorization: Bearer x.y.z\r\n",
           b"Content-Length: 16\r\n")
    status, headers, body = c.take()
    assert status == 401 and headers["www-authenticate"] == "bearer"
    c.socket.sendall(b'{"name":"never"}')
    c.send("GET /livez")
    assert c.take()[0] == 200


def test_addresses_are_decoded_once(t, c, bearer):
    """Encoded &, = and + in a query stay in their value; + in a timestamp is a plus."""
    name = "a&b=c+d %41"
    t.make_device(name)
    c.send("GET /api/v1/tenants/%s/devices?search=a%%26b%%3Dc%%2Bd%%20%%2541&page=1" % t.id, bearer)
    status, _, body = c.take()
    assert status == 200 and [x["name"] for x in json.loads(body)["data"]] == [name]
    device = json.loads(body)["data"][0]["id"]
    for plus in ("+", "%2B"):
        c.send("GET /api/v1/tenants/%s/devices/%s/telemetry?from=2026-01-01T00:00:00%s02:00"
               % (t.id, device, plus), bearer)
        assert c.take()[0] == 200
    c.send("GET /api/v1/tenants/%s/devices/%%%02x%s" % (t.id, ord(device[0]), device[1:]), bearer)
    assert c.take()[0] == 200


def test_long_addresses(c, t, bearer):
    """Path or query past 8 KiB is 414."""
    for path in ("/api/v1/" + "a" * 9000, "/api/v1/tenants/%s/devices?search=%s" % (t.id, "a" * 9000)):
        c.send("GET " + path, bearer)
        assert problem(c.take())["title"] == "URI Too Long"


def test_methods(g, c, bearer):
    """A method that the path lacks is 405 with Allow; one that nobody knows is 501."""
    for line in ("PATCH /api/v1/auth/me", "OPTIONS /api/v1/auth/me", "POST /index.html"):
        c.send(line, bearer, b"Content-Length: 0\r\n")
        answer = c.take()
        assert answer[0] == 405 and "get" in answer[1]["allow"]
        problem(answer)
    for method in ("FOO", "TRACE", "CONNECT", "\x16\x03\x01\x02"):
        odd = Connection(g)
        odd.send(method + " /livez")
        assert problem(odd.take())["code"] == "not_implemented" and odd.is_closed()


def test_files_stay_below_their_folder(g, make_gito, tmp_path):
    """Files are served whole, with type and caching; nothing outside their folder is."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<title>here</title>")
    big = os.urandom(3 << 20)
    (tmp_path / "assets/big.js").write_bytes(big)
    (tmp_path.parent / "secret.txt").write_text("secret")
    gito = make_gito(nodes="eu-1", environment={"WEB_ROOT": str(tmp_path)})
    c = Connection(gito)
    c.send("GET /assets/big.js")
    status, headers, body = c.take()
    assert (status, body) == (200, big) and "immutable" in headers["cache-control"]
    assert headers["content-type"].startswith("text/javascript")
    for path in ("/", "/devices/7", "/assets/"):
        c.send("GET " + path)
        _, headers, body = c.take()
        assert body == b"<title>here</title>" and headers["cache-control"] == "no-store", path
    c.send("GET /missing.js")
    assert problem(c.take())["title"] == "Not Found"
    for path in ("/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/assets/../../secret.txt",
                 "//secret.txt", "/assets/..%5c..%5csecret.txt"):
        c = Connection(gito)
        c.send("GET " + path)
        try:
            assert b"secret" not in c.take()[2], path
        except EOFError:
            pass  # refused by closing is refused
    retry = gito.stop_postgres() or wait_until(
        lambda: gito.request("GET", "/readyz").status_code == 503, 30, "readiness to end")
    assert retry and gito.request("GET", "/readyz").headers["Retry-After"]
    assert gito.request("GET", "/livez").ok
    gito.start_postgres()
    gito.wait_ready()


def cpu_seconds(pid):
    with open("/proc/%d/stat" % pid, encoding="utf-8") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("how", ["closes", "ends its half", "asks more"])
def test_who_waits_for_an_answer_costs_nothing(g, t, bearer, how):
    """A slow call whose client closes, says its end or sends its next request meanwhile."""
    c = Connection(g)
    line = "GET /api/v1/tenants/%s/devices" % t.id
    lock = g.pg("admin")
    try:
        lock.autocommit = False
        lock.cursor().execute("LOCK TABLE devices IN ACCESS EXCLUSIVE MODE")
        c.send(line, bearer)
        wait_until(lambda: g.sql("SELECT pid FROM pg_locks WHERE NOT granted"), 10, "the call to wait")
        if how == "closes":
            c.socket.close()
        elif how == "ends its half":
            c.socket.shutdown(socket.SHUT_WR)
        else:
            c.send(line, bearer)
        began, used = time.monotonic(), cpu_seconds(g.node_pid())
        wait_until(lambda: time.monotonic() - began >= 1, 5, "a second")  # what is measured
        assert cpu_seconds(g.node_pid()) - used < 0.3
    finally:
        lock.close()
    for _ in range({"closes": 0, "ends its half": 1, "asks more": 2}[how]):
        assert c.take()[0] == 200
    assert g.request("GET", "/livez").ok


@pytest.mark.parametrize("name", [b"X-Auth", b"User", b"A", b"Content", b"If"])
def test_a_header_whose_name_begins_another(g, t, bearer, name):
    """It swallows no other header, wherever it stands."""
    for headers in ([name + b": 1\r\n", bearer], [bearer, name + b": 1\r\n"]):
        c = Connection(g)
        c.send("GET /api/v1/auth/me", *headers)
        assert c.take()[0] == 200
        assert c.is_closed()


def test_who_signs_in_may_send_a_token_that_has_expired(g, t, c):
    """Paths that need no token take no offence at a bad one; all others do."""
    bad = b"Authorization: Bearer expired\r\n"
    for line, status in (("GET /api/v1/cluster/endpoints", 200), ("GET /api/v1/openapi.json", 200),
                         ("GET /api/v1/auth/me", 401), ("GET /api/v1/nothing", 401)):
        c.send(line, bad)
        assert c.take()[0] == status, line
    body = b'{"email":"admin@gito.demo","password":"admin123"}'
    c.send("POST /api/v1/auth/login", bad, b"Content-Length: %d\r\n" % len(body), body=body)
    assert c.take()[0] == 200


def test_what_cannot_be_understood_is_answered(g):
    """A header past 16 KiB, a NUL in the address; a target with scheme and host is understood."""
    for line, header, status in (
            ("GET /livez", b"Cookie: %s\r\n" % (b"x" * 20000), 431),
            ("GET /api/v1/x%00y", b"", 400), ("GET http://x/livez", b"", 200)):
        c = Connection(g)
        c.send(line, header)
        answer = c.take()
        assert answer[0] == status
        if status != 200:
            problem(answer)


def test_silence_is_not_waited_for_long(g):
    """A connection without a request, and one with half of it, are closed; others do not wait."""
    began = time.monotonic()
    halves = [Connection(g) for _ in range(3)]
    for half, sent in zip(halves, (b"", b"GET /api/v1/w", b"GET /api/v1/ws HTTP/1")):
        half.socket.sendall(sent)
    c = Connection(g)
    c.send("GET /livez")
    assert c.take()[0] == 200 and time.monotonic() - began < 2
    for half in halves:
        assert half.is_closed(deadline_s=20)


def test_a_live_socket_next_to_requests(g, t):
    """Upgrades and requests share the port."""
    with Live(g, "", protocol="bearer." + t.tokens["VIEWER"]) as live:
        assert g.request("GET", "/livez").ok
        live.synchronise()

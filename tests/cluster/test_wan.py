"""The WAN that the other tests rely on does what it is told: it delays, loses, limits and cuts."""

import os
import socket
import subprocess
import time

import pytest

from wan import Wan
from cluster import wait_until

pytestmark = pytest.mark.namespaces
PORT = 9000


@pytest.fixture
def w():
    with Wan("a", "b", "c") as wan:
        yield wan


def udp(wan, host):
    """A bound socket of the host, which gives up after a while."""
    with wan.inside(host):
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((wan.address[host], PORT))
    made.settimeout(10)
    return made


def tcp(wan, a, b):
    """(a's end, b's end) of a connection that a made."""
    with wan.inside(b):
        listener = socket.create_server((wan.address[b], 0))
    with listener:
        port = listener.getsockname()[1]
        with wan.inside(a):
            one = socket.create_connection((wan.address[b], port), timeout=10)
        other = listener.accept()[0]
    for end in (one, other):
        end.settimeout(20)
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return one, other


def ping_pong(one, other):
    """Seconds for a byte there and back; the other end is served by this thread as well."""
    begin = time.monotonic()
    one.sendall(b"?")
    assert other.recv(1) == b"?"
    other.sendall(b"!")
    assert one.recv(1) == b"!"
    return time.monotonic() - begin


def median_ms(one, other, rounds=9):
    return sorted(ping_pong(one, other) for _ in range(rounds))[rounds // 2] * 1000


def test_delay_is_paid_each_way(w):
    """A byte there and back over 20 ms each way takes 40 ms and little more; without, next to none."""
    w.link("a", "b", delay=20)
    with_delay, without = tcp(w, "a", "b"), tcp(w, "a", "c")
    assert 40 <= median_ms(*with_delay) < 60
    assert median_ms(*without) < 10
    w.path("a", "b", delay=5)
    assert 25 <= median_ms(*with_delay) < 40


def test_jitter_spreads_and_keeps_the_order(w):
    """Packets over 10 ms with 8 ms of jitter take different times, and none overtakes another."""
    w.path("a", "b", delay=10, jitter=8)
    ends = tcp(w, "a", "b")
    times = sorted(ping_pong(*ends) * 1000 for _ in range(40))
    assert times[0] >= 2 and times[-1] - times[0] > 4
    one, other = udp(w, "a"), udp(w, "b")
    for number in range(100):
        one.sendto(b"%d" % number, (w.address["b"], PORT))
    assert [int(other.recv(16)) for _ in range(100)] == list(range(100))


def test_loss_is_about_its_share(w):
    """Of 2000 packets with a loss of 20 % so many arrive, give or take; the count agrees."""
    w.path("a", "b", loss=20)
    one, other = udp(w, "a"), udp(w, "b")
    other.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    for number in range(2000):
        one.sendto(b"%d" % number, (w.address["b"], PORT))
    wait_until(lambda: sum(w.count("a", "b").values()) == 2000, 10, "the way of all packets")
    w.link("a", "b")  # nothing is lost any more: the last one tells that all are there
    one.sendto(b"end", (w.address["b"], PORT))
    arrived = 0
    while other.recv(16) != b"end":
        arrived += 1
    assert 1500 <= arrived <= 1700
    assert w.count("a", "b") == {"passed": arrived + 1, "lost": 2000 - arrived, "cut": 0, "full": 0}


def test_rate_is_a_limit(w):
    """A megabyte over 20 Mbit/s takes the 0.4 s that it must, and not much more."""
    w.link("a", "b", rate=20, delay=1)
    one, other = tcp(w, "a", "b")
    one.setblocking(False)
    data, received = memoryview(bytes(1000000)), 0
    begin = time.monotonic()
    while received < 1000000:
        if data:
            try:
                data = data[one.send(data):]
            except BlockingIOError:
                pass
        received += len(other.recv(65536))
    assert 0.38 < time.monotonic() - begin < 2


def test_cut_and_heal(w):
    """What is sent while a link is cut is lost both ways; TCP goes on when it is whole again."""
    ends, others = tcp(w, "a", "b"), tcp(w, "a", "c")
    w.cut("a", "b")
    for end in ends:
        end.sendall(b"x")
    wait_until(lambda: w.count("a", "b")["cut"] and w.count("b", "a")["cut"], 10, "a lost packet")
    ping_pong(*others)
    for end in ends:
        end.setblocking(False)
        with pytest.raises(BlockingIOError):
            end.recv(1)
        end.settimeout(20)
    w.heal("a", "b")
    assert ends[0].recv(1) == ends[1].recv(1) == b"x"
    ping_pong(*ends)


def test_cut_loses_what_is_on_its_way(w):
    """A packet that is under way when the link is cut does not arrive."""
    w.link("a", "b", delay=1000)
    one, other = udp(w, "a"), udp(w, "b")
    one.sendto(b"before", (w.address["b"], PORT))
    one.sendto(b"behind it", (w.address["c"], PORT))
    wait_until(lambda: w.count("a", "c")["passed"] == 1, 10, "the packet that was sent behind it")
    assert sum(w.count("a", "b").values()) == 0, "it has had its end already"
    w.cut("a", "b")
    wait_until(lambda: w.count("a", "b")["cut"] == 1, 10, "the end of the packet")
    w.heal("a", "b")
    one.sendto(b"after", (w.address["b"], PORT))
    assert other.recv(16) == b"after"


def test_one_way_cut(w):
    """A path that is cut carries nothing while the way back carries all."""
    one, other = udp(w, "a"), udp(w, "b")
    w.cut_path("a", "b")
    one.sendto(b"lost", (w.address["b"], PORT))
    other.sendto(b"back", (w.address["a"], PORT))
    assert one.recv(16) == b"back"
    wait_until(lambda: w.count("a", "b")["cut"] == 1, 10, "a lost packet")
    w.heal_path("a", "b")
    one.sendto(b"there", (w.address["b"], PORT))
    assert other.recv(16) == b"there"


def test_one_host_from_all(w):
    """`all` cuts a host off from every other, which still reach each other."""
    ends = tcp(w, "b", "c")
    w.cut("a", "all")
    one, other = udp(w, "a"), udp(w, "b")
    for host in ("b", "c"):
        one.sendto(b"lost", (w.address[host], PORT))
        wait_until(lambda: w.count("a", host)["cut"] == 1, 10, "a lost packet")
    ping_pong(*ends)
    w.heal("all", "all")
    one.sendto(b"there", (w.address["b"], PORT))
    assert other.recv(16) == b"there"


def test_a_namespace_that_has_a_name(w):
    """A host may live in a namespace of `ip netns`, where its device is called wan."""
    name = "gito-test-%d" % os.getpid()
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        w.add("d", name)
        shown = subprocess.run(["ip", "-n", name, "-4", "-o", "addr", "show", "dev", "wan"],
                               stdout=subprocess.PIPE, text=True, check=True).stdout
        assert w.address["d"] + "/24" in shown
        ping_pong(*tcp(w, "d", "a"))
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


def test_wrong_words_are_told(w):
    """A command that is none, a host that is none and a setting that is none are errors."""
    for words in (["fly"], ["cut", "a"], ["cut", "a", "x"], ["link", "a", "b", "delay"],
                  ["link", "a", "b", "delay", "-1"], ["link", "a", "b", "weight", "1"],
                  ["host", "a", "198.18.0.9"], ["host", "e", "10.0.0.1"],
                  ["host", "e", "198.18.0.1"], ["host", "e", "198.18.0.9", "no-such-namespace"]):
        with pytest.raises(AssertionError, match="error"):
            w.tell(*words)
    w.tell("count", "a", "b")

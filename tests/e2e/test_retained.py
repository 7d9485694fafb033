"""What was kept comes to who subscribes: all of it, however much there is and whatever is away."""

import random
import string

import pytest

from clients import Device, Mqtt, make_account
from cluster import wait_until
from packets import PUBLISH, Client
from tenants import make_tenant

pytestmark = pytest.mark.sanitizer

MANY = 12000


@pytest.fixture
def t(g):
    return make_tenant(g)


def keep(g, t, topic, count, payload="kept"):
    """Retained messages under topics with %d in them, numbered from 1."""
    g.sql("INSERT INTO retained_messages (tenant_id, topic, payload, qos)"
          " SELECT %s, %s || '/' || replace(%s, '%%d', n::text), convert_to(%s, 'UTF8'), 1"
          " FROM generate_series(1, %s) n", [t.id, t.id, topic, payload, count])


def take_all(client, count, deadline_s=60):
    """The topics of so many messages, each retained and none twice."""
    topics = set()
    for _ in range(count):
        message = client.take(deadline_s)
        assert message.retain and message.topic not in topics
        topics.add(message.topic)
    assert client.arrived.empty()
    return topics


@pytest.mark.parametrize("qos", [0, 1])
def test_every_status_comes_to_a_new_subscriber(g, t, qos):
    """A tenant has more devices than a client's queue holds: it is told the status of each."""
    g.sql("INSERT INTO devices (tenant_id, name) SELECT %s, 'd' FROM generate_series(1, %s)",
          [t.id, MANY])
    with Mqtt(g, *make_account(t), version=5) as client:
        assert client.subscribe("%s/devices/+/status" % t.id, qos) == qos
        take_all(client, MANY)
        assert not client.closed.is_set()


def test_every_filter_of_one_subscribe_gets_what_was_kept(g, t):
    """Hundreds of filters in one SUBSCRIBE, each with a message that was kept."""
    keep(g, t, "x/%d", 700)
    with Mqtt(g, *make_account(t), version=5) as client:
        client.client.subscribe([("%s/x/%d" % (t.id, n + 1), 1) for n in range(700)])
        assert len(take_all(client, 700)) == 700


def test_what_does_not_match_hides_nothing(g, t):
    """Ten thousand others below the filter's beginning do not keep the one from its subscriber."""
    keep(g, t, "a/%d/other", 10050)
    keep(g, t, "b/want", 1)
    keep(g, t, "z/c/want", 1)
    with Mqtt(g, *make_account(t), version=5) as client:
        client.subscribe("%s/+/want" % t.id)
        assert take_all(client, 1) == {"%s/b/want" % t.id}
        client.subscribe("%s/z/+/#" % t.id)
        assert take_all(client, 1) == {"%s/z/c/want" % t.id}
        client.subscribe("%s/b/want/#" % t.id)  # and so its parent, 4.7.1.2
        assert take_all(client, 1) == {"%s/b/want" % t.id}


def test_topics_of_any_length_come_in_pages(g, t):
    """Three hundred topics as long as MQTT has them: no page of them is too much, for its place nor
    for its bytes."""
    g.sql("INSERT INTO retained_messages (tenant_id, topic, payload, qos) SELECT %s,"
          " rpad(%s || '/' || n || '/', 65535, 'x'), 'kept', 1 FROM generate_series(1, 300) n",
          [t.id, t.id])
    with Mqtt(g, *make_account(t), version=5) as client:
        client.subscribe("%s/#" % t.id)
        assert {len(topic) for topic in take_all(client, 300)} == {65535}


def test_a_topic_that_cannot_be_kept_is_refused(g, t):
    """A message is kept, or its client is told that it is not: the database takes no topic of 3,000
    letters of no pattern. It may still be sent, to be kept by nobody."""
    letters = "".join(random.Random(1).choices(string.ascii_letters, k=3000))
    kept, refused = ("%s/%s" % (t.id, letters[:n]) for n in (2000, 3000))
    with Mqtt(g, *make_account(t), version=5) as client:
        code, reason = client.publish(refused, "x", retain=True)
        assert code == 0x90 and "too long" in reason
        assert client.publish(kept, "x", retain=True)[0] == 0
        client.subscribe("%s/#" % t.id)
        assert take_all(client, 1) == {kept}
        assert client.publish(refused, "x")[0] == 0
        assert client.publish(refused, "", retain=True)[0] == 0
        assert [client.take().topic for _ in range(2)] == [refused, refused]


@pytest.mark.parametrize("qos", [0, 1])
def test_who_does_not_read_gets_it_when_he_does(g, t, qos):
    """More than all buffers on the way hold waits for its client, and is there when it reads."""
    keep(g, t, "large/%d", 6000, "x" * 4000)
    account, seen = make_account(t), set()
    with Client(g, account=account, client_id="slow-%d" % qos) as slow:
        assert slow.subscribe("%s/large/+" % t.id, qos=qos) == qos
        with Mqtt(g, *account) as other:
            other.subscribe("%s/large/+" % t.id, qos)
            take_all(other, 6000)
        while len(seen) < 6000:
            kind, flags, body = slow.read_packet()
            assert kind == PUBLISH and flags & 1
            length = int.from_bytes(body[:2], "big")
            seen.add(body[2:2 + length])
            if qos:
                slow.send(b"\x40\x02" + body[2 + length:4 + length])


def test_unsubscribing_ends_it_and_subscribing_begins_anew(g, t):
    """In the middle of what was kept a client unsubscribes, and subscribes again: it gets all."""
    keep(g, t, "large/%d", 3000, "x" * 4000)
    topic = "%s/large/+" % t.id
    with Client(g, account=make_account(t), client_id="changes") as client:
        client.subscribe(topic)
        client.read_packet()
        client.send(b"\xa2" + bytes([4 + len(topic)]) + b"\0\2" + bytes([0, len(topic)]) +
                    topic.encode())
        while client.read_packet()[0] == PUBLISH:
            pass
        client.subscribe(topic, packet_id=3)
        seen = {client.read_packet()[2][:2 + len(topic) + 4] for _ in range(3000)}
        assert len(seen) == 3000


def test_subscribing_again_loses_nothing_that_is_owed(g, t):
    """Who subscribes again, and asks for what was kept only if that is new, gets all of the first."""
    keep(g, t, "large/%d", 3000, "x" * 4000)
    topics = set()
    with Mqtt(g, *make_account(t), version=5) as client:
        for _ in range(3):
            client.subscribe("%s/large/+" % t.id, retainHandling=1)
        while len(topics) < 3000:
            topics.add(client.take().topic)


def test_it_comes_when_the_database_is_back(make_gito):
    """PostgreSQL is away while a client subscribes: what was kept comes after its return."""
    g = make_gito()
    t = make_tenant(g)
    device, account = Device(t), make_account(t)
    keep(g, t, "x", 1)
    with Mqtt(g, *account, version=5) as client:
        g.stop_postgres()
        assert client.subscribe("%s/x" % t.id) == 1
        assert client.subscribe(device.topic("status")) == 1
        wait_until(lambda: g.request("GET", "/readyz").status_code == 503, 30, "the outage")
        g.start_postgres()
        assert take_all(client, 2) == {"%s/x" % t.id, device.topic("status")}

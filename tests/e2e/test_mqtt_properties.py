"""What MQTT 5 says of a message besides its payload (3.3.2.3), on its way to subscribers."""

import struct

import pytest

from clients import Mqtt, make_account
from cluster import wait_until
from packets import PUBLISH, Client, packet, text

pytestmark = pytest.mark.sanitizer

SAYS = {"UserProperty": [("trace", "1"), ("trace", "ü")], "ContentType": "text/plain",
        "ResponseTopic": "answers/7", "CorrelationData": b"\0\xff", "PayloadFormatIndicator": 1}
PACKET_MAX = (256 + 68) * 1024


def said(message):
    """Of what SAYS says, what has arrived."""
    return {name: getattr(message.properties, name, None) for name in SAYS}


@pytest.mark.parametrize("retain", [False, True])
def test_what_a_message_says_of_itself_goes_with_it(g, t, device, retain):
    """MQTT 5's properties of a message reach its subscribers, with what is left of its time; who
    speaks 3.1.1 gets the message all the same."""
    topic, account = device.topic("commands"), make_account(t)
    with device.connect(version=5) as client, device.connect(version=4) as former, \
            Mqtt(g, *account, version=5) as back_end:
        if not retain:
            client.subscribe(topic)
            former.subscribe(topic)
        back_end.publish(topic, "open", retain=retain, MessageExpiryInterval=100, **SAYS)
        if retain:
            client.subscribe(topic)
            former.subscribe(topic)
        message = client.take()
        assert (message.payload, message.retain) == (b"open", retain)
        assert said(message) == SAYS
        assert 90 <= message.properties.MessageExpiryInterval <= 100
        assert former.take().payload == b"open"


def test_a_mounted_account_asks_and_a_device_answers(g, t, device):
    """The response topic of a request is a topic of the answerer's, also if the asker is mounted."""
    with device.connect(version=5) as client, \
            Mqtt(g, *make_account(t, mount_point=True), version=5) as asker:
        client.subscribe(device.topic("commands"))
        asker.subscribe("devices/+/answers")
        asker.publish("devices/%s/commands" % device.id, "how warm?",
                      ResponseTopic="devices/%s/answers" % device.id, CorrelationData=b"7")
        request = client.take().properties
        client.publish(request.ResponseTopic, "21", CorrelationData=request.CorrelationData)
        answer = asker.take()
        assert (answer.payload, answer.properties.CorrelationData) == (b"21", b"7")


def test_the_largest_packet_is_all_properties(g, t):
    """What a mounted account's response topic becomes longer by has room in any packet it sends."""
    rest = PACKET_MAX - 4 - len(text("a")) - 2 - 3  # fixed header, topic, packet id, their length
    said = b"\x08" + text("answers")
    while len(said) < rest:
        said += b"\x26" + text("k" * min(65535, rest - len(said) - 5)) + text("")
    assert len(said) == rest
    length = bytes([rest & 127 | 128, rest >> 7 & 127 | 128, rest >> 14])
    whole = packet(PUBLISH, text("a") + struct.pack(">H", 1) + length + said, 2)
    assert len(whole) == PACKET_MAX
    with Client(g, account=make_account(t, mount_point=True), version=5) as client:
        client.send(whole)
        assert client.acknowledged() == (1, 0)


def test_an_expired_message_is_given_to_nobody(g, t):
    """A retained message whose time is over is not sent to who subscribes, and is dropped."""
    topic = t.id + "/kept/%s"
    count = "SELECT count(*) FROM retained_messages WHERE topic = %s"
    with Mqtt(g, *make_account(t), version=5) as client:
        client.publish(topic % "a", "short", retain=True, MessageExpiryInterval=1)
        client.publish(topic % "b", "long", retain=True, MessageExpiryInterval=1000)
        client.publish(topic % "c", "ever", retain=True)
        wait_until(lambda: g.sql("SELECT count(*) FROM retained_messages WHERE topic = %s AND"
                                 " expires_at > clock_timestamp()", [topic % "a"])[0][0] == 0,
                   10, "the end of its time")
        client.subscribe(topic % "+")
        messages = [client.take() for _ in range(2)]
        assert [message.payload for message in messages] == [b"long", b"ever"]
        assert 980 <= messages[0].properties.MessageExpiryInterval < 1000
        wait_until(lambda: g.sql(count, [topic % "a"])[0][0] == 0, 60, "its row's end")
        assert g.sql(count, [topic % "b"])[0][0] == 1

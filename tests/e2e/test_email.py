"""Alerts reach people by e-mail: through a real SMTP server, in every way of securing it, once."""

import signal
import time

import paho.mqtt.client as mqtt
import pytest

from cluster import TENANT, port_is_free, wait_until
from conftest import bring_up, take_down
from mail_server import PASSWORD, USER, Authority, MailServer

EVERYBODY = ["admin@gito.demo", "ops@gito.demo"]
DEADLINE_S = 60


class Desk:
    """A Gito of one node whose mail settings can be changed, and its mail server's port."""

    def __init__(self, folder):
        self.trusted, self.other = Authority(folder, "trusted"), Authority(folder, "other")
        self.g = bring_up(nodes="eu-1")
        # Beside the ports of the cluster's kinds, within the range that its claim covers.
        self.port = next(port for port in range(2525 + self.g.base, 2535 + self.g.base)
                         if port_is_free(port))
        self.servers = []

    def configure(self, tls=True, implicit=False, auth=False):
        """Starts the node again, to send to this desk's port."""
        self.g.kill_node(signal.SIGTERM)
        self.g.environment.update(
            SMTP_HOST="localhost", SMTP_PORT=str(self.port), SMTP_FROM_EMAIL="alerts@gito.example",
            SMTP_USE_TLS=str(tls).lower(), SMTP_IMPLICIT_TLS=str(implicit).lower(),
            SMTP_CA_FILE=self.trusted.file, SMTP_USER=USER.decode(),
            SMTP_PASSWORD=(PASSWORD if auth else b"of-no-use").decode())
        self.g.start_node()
        self.g.wait_ready()

    def serve(self, **options):
        self.servers.append(MailServer(self.port, **options))
        return self.servers[-1]

    def close_servers(self):
        while self.servers:
            self.servers.pop().stop()

    def fire(self, name="Boiler", **rule):
        """A new device, whose one reading fires its one rule; (device id, alert event id)."""
        token = self.g.login()
        base = "/tenants/" + TENANT
        device = self.g.api("POST", base + "/devices", token, {"name": name}, 201)["data"]
        self.g.api("POST", base + "/alert-rules", token, {
            "device_id": device["id"], "metric": "temperature", "operator": "gt", "threshold": 30.5,
            "cooldown_minutes": 60, **rule}, 201)
        client = mqtt.Client()
        client.username_pw_set("%s:%s" % (TENANT, device["id"]), device["secret"])
        client.connect("127.0.0.1", self.g.mqtt_port)
        client.loop_start()
        wait_until(client.is_connected, DEADLINE_S, "the connection")

        def fired():
            """A rule takes effect within a second."""
            client.publish("%s/devices/%s/telemetry" % (TENANT, device["id"]),
                           '{"temperature": 35.25}', qos=1).wait_for_publish()
            return self.g.sql("SELECT id FROM alert_events WHERE device_id = %s", (device["id"],))

        try:
            return device["id"], wait_until(fired, DEADLINE_S, "the alert")[0][0]
        finally:
            client.disconnect()
            client.loop_stop()

    def row(self, event):
        """(attempts, last_error, claimed_by) of what waits for that alert, or None."""
        rows = self.g.sql("SELECT attempts, last_error, claimed_by FROM outbox "
                          "WHERE alert_event_id = %s", (event,))
        return rows[0] if rows else None

    def is_notified(self, event):
        sent, fresh = self.g.sql(
            "SELECT notification_sent, notification_sent_at > fired_at - interval '1 min'"
            " AND notification_sent_at <= clock_timestamp()"  # now () may be before what is seen
            " FROM alert_events WHERE id = %s", (event,))[0]
        assert bool(fresh) == sent
        return sent

    def wait_notified(self, event):
        wait_until(lambda: self.is_notified(event), DEADLINE_S, "the notification")
        assert self.row(event) is None

    def wait_failed(self, event):
        """The error of an attempt."""
        def failed():
            row = self.row(event)
            return row and row[0] >= 1 and row
        return wait_until(failed, DEADLINE_S, "a failed attempt")[1]

    def make_due(self):
        self.g.sql("UPDATE outbox SET next_attempt_at = now(), claimed_until = NULL")


def starttls(desk):
    return {"tls_context": desk.trusted.server_context("localhost"), "require_starttls": True}


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    desk = Desk(tmp_path_factory.mktemp("mail"))
    yield desk
    desk.close_servers()
    take_down(desk.g)


@pytest.fixture(autouse=True)
def clean(desk):
    yield
    desk.close_servers()
    desk.g.sql("DELETE FROM outbox")
    desk.g.sql("UPDATE users SET status = 'active'")


def one_mail(server, event):
    mails = [mail for mail in server.mails if mail.id == "<%s@gito>" % event]
    assert len(mails) == 1
    return mails[0]


def test_without_a_mail_server_alerts_are_skipped_and_the_log_says_so_once(desk):
    for _ in range(2):
        event = desk.fire()[1]
        wait_until(lambda: desk.row(event) is None, DEADLINE_S, "the row's end")
        assert not desk.is_notified(event)
    assert len(desk.g.logged("email_not_configured")) == 1


def test_starttls_with_authentication(desk):
    server = desk.serve(auth=True, **starttls(desk))
    desk.configure(auth=True)
    device, event = desk.fire("Boiler 7")
    desk.wait_notified(event)
    mail = one_mail(server, event)
    assert mail.tls and mail.user == USER
    assert mail.sender == "alerts@gito.example" and mail.recipients == EVERYBODY
    message = mail.message
    assert message["Subject"] == "[Gito] Alert: Boiler 7 temperature > 30.5"
    assert message["From"] == "alerts@gito.example" and message["Date"]
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content_type() == "multipart/alternative"
    for kind in ("plain", "html"):
        body = mail.body(kind)
        for piece in ("Boiler 7", device, "temperature", "35.25", "30.5", "UTC"):
            assert piece in body, body
    assert "> 30.5" in mail.body("plain") and "&gt; 30.5" in mail.body("html")


def test_one_mail_for_each_of_many_alerts(desk):
    server = desk.serve(auth=True, **starttls(desk))
    events = [desk.fire("Boiler %d" % i)[1] for i in range(5)]
    for event in events:
        desk.wait_notified(event)
    assert sorted(mail.id for mail in server.mails) == sorted("<%s@gito>" % e for e in events)
    log = desk.g.node_log(lines=100000)
    assert PASSWORD.decode() not in log and "@gito.demo" not in log
    metrics = desk.g.request("GET", "/metrics").text
    assert any(line.startswith("gito_emails_sent_total") and float(line.split()[-1]) >= 5
               for line in metrics.splitlines())


def test_a_name_cannot_add_headers_or_markup(desk):
    server = desk.serve(auth=True, **starttls(desk))
    server.answer = lambda recipient: "450 not yet"
    device, event = desk.fire()
    desk.wait_failed(event)
    # By SQL: REST may refuse such a name.
    desk.g.sql("UPDATE devices SET name = %s WHERE id = %s",
               ("\u00e4\u6e29\U0001f321 <b>\r\nBcc: eve@gito.example\r\n\r\nevil\r\n.\r\nRSET",
                device))
    server.answer = lambda recipient: "250 OK"
    desk.make_due()
    desk.wait_notified(event)
    mail = one_mail(server, event)
    assert mail.recipients == EVERYBODY and mail.message["Bcc"] is None
    assert mail.message["Subject"] == ("[Gito] Alert: \u00e4\u6e29\U0001f321 <b>  Bcc: "
                                       "eve@gito.example    evil  .  RSET temperature > 30.5")
    assert mail.message.is_multipart() and len(mail.message.get_payload()) == 2
    assert "&lt;b&gt;" in mail.body("html") and "<b>" not in mail.body("html")
    assert "\u00e4\u6e29\U0001f321" in mail.body("plain")


def test_recipients_are_the_active_users_and_one_refused_is_not_all(desk):
    server = desk.serve(auth=True, **starttls(desk))
    server.answer = lambda to: "550 no such user" if to.startswith("ops") else "250 OK"
    event = desk.fire()[1]
    desk.wait_notified(event)
    assert one_mail(server, event).recipients == EVERYBODY[:1]

    desk.g.sql("UPDATE users SET status = 'disabled' WHERE email = 'ops@gito.demo'")
    event = desk.fire()[1]
    desk.wait_notified(event)
    assert one_mail(server, event).message["To"] == "admin@gito.demo"


def test_whom_the_server_takes_later_gets_it_later(desk):
    """452, too many recipients: the others are sent it apart, and nobody twice."""
    server = desk.serve(auth=True, **starttls(desk))
    server.answer = lambda to: "452 too many" if to.startswith("ops") else "250 OK"
    event = desk.fire()[1]
    assert "1 of 2" in desk.wait_failed(event)
    assert desk.is_notified(event) and one_mail(server, event).recipients == EVERYBODY[:1]
    server.answer = lambda to: "250 OK"
    desk.make_due()
    wait_until(lambda: desk.row(event) is None, DEADLINE_S, "the row's end")
    mails = [mail for mail in server.mails if mail.id == "<%s@gito>" % event]
    assert [mail.recipients for mail in mails] == [EVERYBODY[:1], EVERYBODY[1:]]


def test_a_tenant_without_active_users_is_not_notified(desk):
    server = desk.serve(auth=True, **starttls(desk))
    event = desk.fire()[1]
    desk.wait_notified(event)
    desk.g.sql("UPDATE users SET status = 'disabled'")
    desk.g.sql("UPDATE alert_events SET notification_sent = false, notification_sent_at = NULL")
    desk.g.sql("INSERT INTO outbox (tenant_id, kind, alert_event_id) VALUES (%s, 'email', %s)",
               (TENANT, event))
    wait_until(lambda: desk.row(event) is None, DEADLINE_S, "the row's end")
    assert not desk.is_notified(event) and len(server.mails) == 1


def test_a_mail_server_that_is_away_only_delays(desk):
    event = desk.fire()[1]
    assert desk.wait_failed(event)
    assert not desk.is_notified(event)
    server = desk.serve(auth=True, **starttls(desk))
    desk.wait_notified(event)
    one_mail(server, event)


@pytest.mark.parametrize("authority, host", [("other", "localhost"), ("trusted", "mail.example")])
def test_a_wrong_certificate_is_refused_and_nothing_delivered(desk, authority, host):
    context = getattr(desk, authority).server_context(host)
    wrong = desk.serve(auth=True, tls_context=context, require_starttls=True)
    event = desk.fire()[1]
    desk.wait_failed(event)
    assert wrong.asked == 0 and not desk.is_notified(event)
    desk.close_servers()
    right = desk.serve(auth=True, **starttls(desk))
    desk.make_due()
    desk.wait_notified(event)
    one_mail(right, event)


def test_a_server_without_starttls_gets_nothing(desk):
    server = desk.serve(auth_require_tls=False)
    event = desk.fire()[1]
    desk.wait_failed(event)
    assert server.asked == 0 and not desk.is_notified(event)


def test_an_outage_of_the_database_after_acceptance_sends_nothing_twice(desk):
    server = desk.serve(auth=True, **starttls(desk))
    server.gate.clear()
    event = desk.fire()[1]
    wait_until(lambda: server.waiting, DEADLINE_S, "the message")
    desk.g.stop_postgres()
    server.gate.set()
    wait_until(lambda: server.mails, DEADLINE_S, "the acceptance")
    desk.g.start_postgres()
    desk.wait_notified(event)
    one_mail(server, event)


def test_a_node_that_dies_while_sending_leaves_the_mail_to_its_next_life(desk):
    server = desk.serve(auth=True, **starttls(desk))
    server.gate.clear()
    event = desk.fire()[1]
    wait_until(lambda: server.waiting, DEADLINE_S, "the message")
    desk.g.kill_node()
    wait_until(lambda: not server.waiting, DEADLINE_S, "the end of the connection")
    assert not server.mails and desk.row(event)[2].startswith("eu-1/")
    server.gate.set()
    desk.g.start_node()
    desk.make_due()  # else the claim of the dead would run out within a minute
    desk.wait_notified(event)
    one_mail(server, event)


def test_the_node_stops_while_the_mail_server_hangs(desk):
    server = desk.serve(auth=True, **starttls(desk))
    server.gate.clear()
    event = desk.fire()[1]
    wait_until(lambda: server.waiting, DEADLINE_S, "the message")
    started = time.monotonic()
    desk.g.kill_node(signal.SIGTERM)
    assert time.monotonic() - started < 15
    assert desk.row(event) == (0, None, None)
    desk.g.start_node()


def test_implicit_tls(desk):
    server = desk.serve(ssl_context=desk.trusted.server_context("localhost"), auth=True,
                        auth_require_tls=False)
    desk.configure(implicit=True, auth=True)
    event = desk.fire()[1]
    desk.wait_notified(event)
    assert one_mail(server, event).user == USER
    desk.close_servers()

    wrong = desk.serve(ssl_context=desk.other.server_context("localhost"))
    event = desk.fire()[1]
    desk.wait_failed(event)
    assert wrong.asked == 0 and not desk.is_notified(event)


def test_plain_text_where_it_is_asked_for(desk):
    server = desk.serve(auth=True, auth_require_tls=False)
    desk.configure(tls=False, auth=True)
    event = desk.fire()[1]
    desk.wait_notified(event)
    mail = one_mail(server, event)
    assert not mail.tls and mail.user == USER


def test_a_wrong_password_delivers_nothing(desk):
    server = desk.serve(auth=True, auth_require_tls=False)
    desk.configure(tls=False)
    event = desk.fire()[1]
    desk.wait_failed(event)
    assert server.asked == 0 and not desk.is_notified(event)

"""A person signs in at a running node's dashboard, in a browser, and sees a device live.

The story itself is tests/web/dashboard.test.mjs, which also runs against a mock server; here the
demo device publishes while it is told.
"""

import contextlib
import os
import subprocess
import threading

import cluster
import paho.mqtt.client as mqtt
import pytest


@contextlib.contextmanager
def publishing(g):
    """The demo device sends a reading twice a second, as its tenant's back end would."""
    stop = threading.Event()
    client = mqtt.Client("dashboard-test")
    client.username_pw_set("admin", "admin-password")
    client.connect("127.0.0.1", g.mqtt_port)
    client.loop_start()

    def publish():
        n = 0
        while not stop.wait(0.5):
            n += 1
            client.publish(f"{cluster.TENANT}/devices/{cluster.DEVICE}/telemetry",
                           f'{{"temperature":{20 + n % 50 / 10},"humidity":{40 + n % 7}}}', qos=1)

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        client.disconnect()
        client.loop_stop()


@pytest.mark.skipif(not os.path.exists(os.path.join(cluster.ROOT, "web/dist/index.html")),
                    reason="the dashboard is not built (GITO_NODE builds none)")
def test_the_dashboard_works_in_a_browser(g):
    with publishing(g):
        result = subprocess.run(
            ["node", "--test", os.path.join(cluster.ROOT, "tests/web/dashboard.test.mjs")],
            env=dict(os.environ, BASE_URL=g.http_url, EMAIL=cluster.ADMIN[0],
                     PASSWORD=cluster.ADMIN[1], NO_COLOR="1"),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=300)
    assert result.returncode == 0, result.stdout

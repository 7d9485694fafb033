"""A person signs in at a running node's dashboard, in a browser, and sees a device live.

The story itself is tests/web/dashboard.test.mjs, which also runs against a mock server.
"""

import os
import subprocess

import cluster


def test_the_dashboard_works_in_a_browser(g):
    result = subprocess.run(
        ["node", "--test", os.path.join(cluster.ROOT, "tests/web/dashboard.test.mjs")],
        env=dict(os.environ, BASE_URL=g.http_url, EMAIL=cluster.ADMIN[0], PASSWORD=cluster.ADMIN[1],
                 NO_COLOR="1"),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=300)
    assert result.returncode == 0, result.stdout

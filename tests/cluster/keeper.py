"""A cluster lasts from test to test: bringing one up for each would take longer than the tests.

For each test it is made whole again. Where that fails, or a test has failed meanwhile, it is taken
down and the next test gets a new one, so one failure does not bring others with it. There is one
at a time: a machine of two processors has no room for two.
"""

import contextlib

from members import wait_settled

FAILED = []


def note_failure():
    FAILED.append(True)


def make_whole(gito, nodes):
    """These nodes run and are members, no other is; the servers run; nothing is cut or paused."""
    gito.resume_all()
    gito.mend_network()
    gito.start_servers()
    running = gito.running()
    for node in nodes:
        if node not in running:
            gito.start_node(node)
    for node in running:
        if node not in nodes:
            gito.down("--node", node)
    wait_settled(gito)


class Keeper:
    def __init__(self):
        self.kind = self.gito = self.nodes = None
        self.undo = contextlib.ExitStack()

    def leave(self):
        self.kind = None
        self.undo.close()

    def get(self, kind, make):
        """The cluster of that kind; `make (undo)` brings it up and says how to undo it."""
        if kind != self.kind or FAILED:
            self.leave()
        FAILED.clear()
        if self.kind is not None:
            try:
                make_whole(self.gito, self.nodes)
            except Exception:  # whatever is wrong with it, the next one is new
                self.leave()
        if self.kind is None:
            self.gito = make(self.undo)
            self.kind, self.nodes = kind, list(self.gito.nodes)
            wait_settled(self.gito)
        return self.gito

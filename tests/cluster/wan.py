"""Hosts in network namespaces with a wide area network between them: gito-wan, told what to do.

A namespace belongs to a thread: `with wan.inside ("eu-1")` lets this thread, and the threads and
processes that it starts meanwhile, open their sockets there. A socket stays where it was opened.
"""

import contextlib
import ctypes
import os
import subprocess

from builds import program

NEWNET = 0x40000000  # CLONE_NEWNET


def why_not():
    """Why this machine cannot do it, or None."""
    checked = subprocess.run([program("gito-wan"), "--check"], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, text=True)
    return None if checked.returncode == 0 else checked.stdout.strip()


def enter(netns):
    """This thread goes into the open namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(netns, NEWNET) != 0:
        error = ctypes.get_errno()
        raise OSError(error, "setns: " + os.strerror(error))


class Wan:
    """Starts with these hosts, 198.18.0.1 and on, and perfect links between them all."""

    def __init__(self, *hosts, seed=1):
        self.address, self.netns = {}, {}
        self.process = subprocess.Popen([program("gito-wan"), "--seed", str(seed)], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            for host in hosts:
                self.add(host)
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        """With the last process of a host and this, its namespace is gone as well."""
        for netns in self.netns.values():
            os.close(netns)
        self.netns.clear()
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(10)

    def tell(self, *words):
        """Sends a command; what the answer says behind its `ok`."""
        line = " ".join(str(word) for word in words)
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        assert answer.split()[:1] == ["ok"], "%s: %s" % (line, answer or "gito-wan has ended")
        return answer[3:]

    def add(self, host, *netns):
        """A new host, in a new namespace or the named one."""
        self.address[host] = "198.18.0.%d" % (len(self.address) + 1)
        path = self.tell("host", host, self.address[host], *netns)
        self.netns[host] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    @contextlib.contextmanager
    def inside(self, host):
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            enter(self.netns[host])
            try:
                yield self
            finally:
                enter(before)
        finally:
            os.close(before)

    # Settings: delay and jitter in ms, loss in percent, rate in Mbit/s; `all` is every host.

    def link(self, a, b, **settings):
        self.tell("link", a, b, *(word for pair in settings.items() for word in pair))

    def path(self, a, b, **settings):
        self.tell("path", a, b, *(word for pair in settings.items() for word in pair))

    def cut(self, a, b):
        self.tell("cut", a, b)

    def heal(self, a, b):
        self.tell("heal", a, b)

    def cut_path(self, a, b):
        self.tell("cut-path", a, b)

    def heal_path(self, a, b):
        self.tell("heal-path", a, b)

    def count(self, a, b):
        """{"passed": …, "lost": …, "cut": …, "full": …} of the packets from a to b."""
        words = self.tell("count", a, b).split()
        return dict(zip(words[::2], map(int, words[1::2])))

"""Counts results: a line for what passed, the whole output for what failed."""

import contextlib
import time


class Part:
    """One part of the tests (unit, lint ...): its counts, and what to print about them."""

    def __init__(self, name):
        self.name = name
        self.passed = self.failed = self.skipped = 0
        self.may_be_empty = False

    def say(self, text):
        print("%s: %s" % (self.name, text), flush=True)

    def add(self, title, counts, seconds, output=""):
        """counts is (passed, failed, skipped); a program that counted nothing has failed."""
        passed, failed, skipped = counts
        if passed + failed + skipped == 0:
            failed = 1
            output += "\n(no test was run)"
        self.passed += passed
        self.failed += failed
        self.skipped += skipped
        words = "%d passed" % passed
        words += ", %d FAILED" % failed if failed else ""
        words += ", %d skipped" % skipped if skipped else ""
        self.say("%s: %s (%.1f s)" % (title, words, seconds))
        if failed and output:
            print(output.rstrip("\n"), flush=True)


class Report:
    def __init__(self):
        self.parts = []
        self.empty = []

    @contextlib.contextmanager
    def part(self, name):
        part = Part(name)
        self.parts.append(part)
        started = time.monotonic()
        try:
            yield part
        except Exception as error:  # the other parts shall still run, and this one be red
            part.add("run", (0, 1, 0), time.monotonic() - started, repr(error))
        if part.passed + part.failed + part.skipped == 0 and not part.may_be_empty:
            part.say("no test was run")
            self.empty.append(name)

    def close(self):
        passed = sum(part.passed for part in self.parts)
        failed = sum(part.failed for part in self.parts)
        skipped = sum(part.skipped for part in self.parts)
        for part in self.parts:
            if part.failed:
                part.say("%d FAILED" % part.failed)
        for name in self.empty:
            print("%s: ran no test" % name)
        tail = ", %d skipped" % skipped if skipped else ""
        print("%d passed, %d failed%s" % (passed, failed, tail), flush=True)
        return 1 if failed or self.empty else 0

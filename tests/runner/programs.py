"""Runs programs with a deadline, and builds presets; every process that is started is ended."""

import concurrent.futures
import contextlib
import fcntl
import os
import signal
import subprocess
import time

GRACE_S = 60
JOBS = max(1, len(os.sched_getaffinity(0)))

SANITIZER_ENV = {
    # A stopped run must be told from a failed assertion, and the first report is the one to read.
    "ASAN_OPTIONS": "abort_on_error=0:detect_stack_use_after_return=1:strict_string_checks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "LSAN_OPTIONS": "suppressions=%s:print_suppressions=0" % os.path.abspath("tests/lsan.supp"),
    "TSAN_OPTIONS": "suppressions=%s:second_deadlock_stack=1:halt_on_error=1" % os.path.abspath("tests/tsan.supp"),
}


class Result:
    def __init__(self, status, output, seconds):
        self.status, self.output, self.seconds = status, output, seconds


def end_group(process):
    """Asks first: a test run takes down what it started, which has sessions of its own."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        return process.communicate(timeout=GRACE_S)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.communicate()[0]


def run(command, deadline_s, env=None, cwd=None, echo=False):
    """Runs a command in its own process group and ends the whole group at the deadline."""
    started = time.monotonic()
    environment = dict(os.environ, **SANITIZER_ENV, **(env or {}))
    process = subprocess.Popen(
        command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, start_new_session=True,
        stdout=None if echo else subprocess.PIPE, stderr=None if echo else subprocess.STDOUT)
    try:
        output, _ = process.communicate(timeout=deadline_s)
        status = process.returncode
    except subprocess.TimeoutExpired:
        output = end_group(process)
        status = -signal.SIGKILL
        output = (output or b"") + b"\n(ended at its deadline of %d s)" % deadline_s
    text = (output or b"").decode("utf-8", "replace")
    return Result(status, text, time.monotonic() - started)


def run_all(commands, deadline_s):
    """Runs several commands, as many at a time as there are processors; results in their order."""
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        return list(pool.map(lambda command: run(command, deadline_s), commands))


@contextlib.contextmanager
def build_lock():
    """One build at a time per tree; the launcher takes the same lock."""
    os.makedirs("build", exist_ok=True)
    with open("build/.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build(preset, targets, deadline_s=3600):
    """Configures and builds a preset; returns what failed as text, or None.

    -k 0: one file that does not compile shall not hide the tests that do.
    """
    with build_lock():
        configured = run(["cmake", "--preset", preset], 300)
        if configured.status != 0:
            return configured.output
        built = run(["cmake", "--build", "--preset", preset, "--target", *targets,
                     "--", "-k", "0", "--quiet"], deadline_s)
    return None if built.status == 0 else built.output

"""The programs under test and those that test it: as named by GITO_LOAD and the like, else built."""

import fcntl
import functools
import os
import subprocess

from cluster import ROOT


@functools.lru_cache(maxsize=None)
def program(name):
    """The path of gito-load or gito-wan; GITO_LOAD, GITO_WAN name one that is built already."""
    named = os.environ.get(name.upper().replace("-", "_"))
    if named:
        return named
    os.makedirs(os.path.join(ROOT, "build"), exist_ok=True)
    with open(os.path.join(ROOT, "build/.lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in (["cmake", "--preset", "release"],
                        ["cmake", "--build", "--preset", "release", "--target", name]):
            done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            assert done.returncode == 0, done.stdout
    return os.path.join(ROOT, "build/release/tests", name)

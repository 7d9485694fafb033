#!/usr/bin/python3
"""House rules as tests: `ok NAME` or `FAILED NAME: reason`, then "N passed, N failed".

It sees what a commit of everything would hold: tracked files and new ones that are not ignored.
--list also names the files over 250 lines and the functions over 40, as information.
"""

import os
import subprocess
import sys

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
os.chdir(ROOT)

import includes  # noqa: E402
import prove  # noqa: E402
import shape  # noqa: E402
import words  # noqa: E402

SHOWN_MAX = 20


def files():
    """Paths from the root of all files that are, or are about to be, in the repository."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "-co", "--exclude-standard"],
        stdout=subprocess.PIPE, check=True).stdout.decode("utf-8", "surrogateescape")
    return sorted({path for path in listed.split("\0") if path and os.path.isfile(path)})


def run(check, subject):
    reasons = check(subject)
    name = check.__name__
    if not reasons:
        print("ok %s" % name)
        return True
    print("FAILED %s: %s" % (name, reasons[0]))
    for reason in reasons[1:SHOWN_MAX]:
        print("    %s" % reason)
    if len(reasons) > SHOWN_MAX:
        print("    and %d more" % (len(reasons) - SHOWN_MAX))
    return False


def main(arguments):
    if arguments not in ([], ["--list"]):
        print("usage: tests/lint/lint.py [--list]", file=sys.stderr)
        return 2
    paths = files()
    checks = includes.CHECKS + shape.CHECKS + words.CHECKS
    results = [run(check, paths) for check in checks]
    results.append(run(prove.every_check_can_fail, checks))
    shape.inform(paths, full=bool(arguments))
    print("%d passed, %d failed" % (results.count(True), results.count(False)))
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

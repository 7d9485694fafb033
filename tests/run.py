#!/usr/bin/python3
"""Runs the tests, all or one part, counts them and closes with "N passed, N failed".

Exit status 1 when anything failed or a part ran no test: a part that silently tests nothing
would look green for ever.
"""

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests"))
sys.dont_write_bytecode = True

from runner import native, outer  # noqa: E402
from runner.report import Report  # noqa: E402

# In this order: the quick ones first.
PARTS = {
    "lint": outer.lint,
    "unit": native.unit,
    "fuzz": native.fuzz,
    "sim": native.sim,
    "web": outer.web,
    "e2e": outer.e2e,
    "cluster": outer.cluster,
}


def main(arguments):
    if len(arguments) > 1 or (arguments and arguments[0] not in PARTS):
        print("usage: tests/run.py [%s]" % "|".join(PARTS), file=sys.stderr)
        return 2
    os.chdir(ROOT)
    if not arguments:
        os.environ["GITO_TEST_WHOLE"] = "1"  # a part by itself may take longer
    report = Report()
    for name in arguments or PARTS:
        with report.part(name) as part:
            PARTS[name](part)
    return report.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

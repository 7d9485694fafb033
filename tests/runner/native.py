"""The compiled tests: unit (cmocka), fuzz (replay of the corpora), sim."""

import glob
import os
import re
import time

from . import programs

UNIT_PRESETS = ("release", "clang", "asan", "tsan")
UNIT_DEADLINE_S = 300
FUZZ_DEADLINE_S = 300
SIM_DEADLINE_S = 1800


def names_of(pattern):
    return sorted(os.path.splitext(os.path.basename(path))[0] for path in glob.glob(pattern))


def build(part, preset, targets):
    """Builds; what fails to build counts as one failed test. True when all was built."""
    started = time.monotonic()
    errors = programs.build(preset, targets)
    if errors is not None:
        part.add("build %s" % preset, (0, 1, 0), time.monotonic() - started, errors)
        return False
    part.say("build %s (%.1f s)" % (preset, time.monotonic() - started))
    return True


def cmocka_counts(result):
    """Sums the groups of one program; a death or a sanitizer's report is a failure as well."""
    def total(word):
        found = re.findall(r"^\[  %s *\] (\d+) test\(s\)" % word, result.output, re.MULTILINE)
        return sum(int(number) for number in found)

    passed, failed, skipped = total("PASSED"), total("FAILED"), total("SKIPPED")
    if result.status != 0 and failed == 0:
        failed = 1
    return passed, failed, skipped


def unit(part):
    names = names_of("tests/unit/test_*.c")
    if not names:
        return
    for preset in UNIT_PRESETS:
        build(part, preset, names)
        present = [name for name in names if os.path.exists("build/%s/tests/%s" % (preset, name))]
        commands = [["build/%s/tests/%s" % (preset, name)] for name in present]
        for name, result in zip(present, programs.run_all(commands, UNIT_DEADLINE_S)):
            output = result.output + "\n(exit status %d)" % result.status
            part.add("%s %s" % (preset, name), cmocka_counts(result), result.seconds, output)


def fuzz(part):
    """One test a fuzzer: the address-sanitized build replays its whole corpus."""
    names = names_of("tests/fuzz/fuzz_*.c")
    if not names:
        return
    build(part, "asan", names)
    for name in names:
        corpus = "tests/fuzz/corpus/" + name[len("fuzz_"):]
        program = "build/asan/tests/" + name
        if not os.path.exists(program):
            continue
        if not os.path.isdir(corpus) or not os.listdir(corpus):
            part.add(name, (0, 1, 0), 0, "its corpus is empty: " + corpus)
            continue
        result = programs.run([program, corpus], FUZZ_DEADLINE_S)
        counts = (1, 0, 0) if result.status == 0 else (0, 1, 0)
        output = result.output + "\n(exit status %d)" % result.status
        part.add("%s, %d inputs" % (name, len(os.listdir(corpus))), counts, result.seconds, output)


def closing_counts(result):
    """The last "N passed, N failed[, N skipped]" line a program printed."""
    lines = re.findall(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?\s*$", result.output,
                       re.MULTILINE)
    if not lines:
        return (0, 1, 0)
    passed, failed, skipped = (int(number or 0) for number in lines[-1])
    if result.status != 0 and failed == 0:
        failed = 1
    return passed, failed, skipped


def sim(part):
    if not glob.glob("tests/sim/*.c"):
        part.say("no simulator yet")
        part.may_be_empty = True
        return
    if not build(part, "release", ["gito-sim"]):
        return
    result = programs.run(["build/release/tests/gito-sim"], SIM_DEADLINE_S)
    part.add("gito-sim", closing_counts(result), result.seconds, result.output)

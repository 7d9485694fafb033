"""The tests from outside: lint, the web app, and pytest against a running Gito."""

import concurrent.futures
import glob
import os
import re
import tempfile
import time
import xml.etree.ElementTree as ElementTree

from . import native, programs

LINT_DEADLINE_S = 120
WEB_DEADLINE_S = 900
PYTEST_DEADLINE_S = 3600
PYTHON = "/usr/bin/python3"


def lint(part):
    result = programs.run([PYTHON, "tests/lint/lint.py"], LINT_DEADLINE_S)
    part.add("lint", native.closing_counts(result), result.seconds, result.output)


def npm(part, title, arguments):
    result = programs.run(["npm", *arguments], WEB_DEADLINE_S, cwd="web", env={"NO_COLOR": "1"})
    if result.status != 0:
        part.add(title, (0, 1, 0), result.seconds, result.output)
    return result.status == 0


def modules_are_fresh():
    """npm writes this file last; what is older than the lock file is installed anew."""
    written = "web/node_modules/.package-lock.json"
    return (os.path.exists(written)
            and os.path.getmtime(written) >= os.path.getmtime("web/package-lock.json"))


def vitest(part):
    """`npm test` of the web app; its JSON report has the counts."""
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        result = programs.run(
            ["npm", "test", "--", "--reporter=default", "--reporter=junit",
             "--outputFile.junit=" + report.name],
            WEB_DEADLINE_S, cwd="web", env={"NO_COLOR": "1", "CI": "true"})
        counts = junit_counts(report.name)
    if result.status != 0 and counts[1] == 0:
        counts = (counts[0], counts[1] + 1, counts[2])
    part.add("npm test", counts, result.seconds, result.output)


def node_test(part, path):
    """Node's own test runner, told to report in TAP: its closing comments have the counts."""
    result = programs.run(["node", "--test", "--test-reporter=tap", os.path.abspath(path)],
                          WEB_DEADLINE_S, cwd="web", env={"NO_COLOR": "1"})

    def total(word):
        found = re.findall(r"^# %s (\d+)$" % word, result.output, re.MULTILINE)
        return int(found[-1]) if found else 0

    passed, failed, skipped = total("pass"), total("fail") + total("cancelled"), total("skipped")
    if result.status != 0 and failed == 0:
        failed = 1
    part.add(os.path.basename(path), (passed, failed, skipped), result.seconds, result.output)


def build_web(part):
    """True when web/dist is up to date; else a failure has been counted."""
    started = time.monotonic()
    with programs.build_lock():
        if not modules_are_fresh() and not npm(part, "npm ci", ["ci", "--no-audit", "--no-fund"]):
            return False
        if not npm(part, "npm run build", ["run", "build"]):
            return False
    part.say("npm packages and build (%.1f s)" % (time.monotonic() - started))
    return True


def web(part):
    if not os.path.exists("web/package.json"):
        part.say("no web app yet")
        part.may_be_empty = True
        return
    build_web(part)
    vitest(part)
    for path in sorted(glob.glob("tests/web/*.test.mjs")):
        node_test(part, path)


def junit_counts(path):
    """(passed, failed, skipped) of a JUnit report; zeros when there is none."""
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError):
        return (0, 0, 0)
    cases = list(root.iter("testcase"))
    failed = [case for case in cases
              if case.find("failure") is not None or case.find("error") is not None]
    skipped = [case for case in cases if case.find("skipped") is not None]
    return (len(cases) - len(failed) - len(skipped), len(failed), len(skipped))


def pytest(folder, build, marker=None, programs_built=()):
    """(counts, seconds, output)."""
    with tempfile.NamedTemporaryFile(suffix=".xml") as report:
        command = [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", "-rs",
                   "--junitxml=" + report.name, folder]
        if marker:
            command += ["-m", marker]
        env = {"GITO_BUILD": build, "GITO_NODE": os.path.abspath("build/%s/gito-node" % build),
               "PYTHONDONTWRITEBYTECODE": "1"}
        for name in programs_built:
            env[name.upper().replace("-", "_")] = os.path.abspath("build/release/tests/" + name)
        result = programs.run(command, PYTEST_DEADLINE_S, env=env)
        counts = junit_counts(report.name)
    # 5 is "no test was collected", which Part.add tells by itself.
    if result.status not in (0, 5) and counts[1] == 0:
        counts = (counts[0], counts[1] + 1, counts[2])
    return counts, result.seconds, result.output


def pytests(part, runs):
    """Several of tests/e2e at once, as (name, build, marker): they mostly wait, and each has
    servers and ports of its own."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        outcomes = pool.map(lambda run: pytest("tests/e2e", run[1], marker=run[2]), runs)
        for run, outcome in zip(runs, outcomes):
            part.add(run[0], *outcome)


def e2e(part):
    """All under the release build; the files marked `sanitizer` again under asan and tsan."""
    if build_web(part) and native.build(part, "release", ["gito-node"]):
        pytests(part, [("release", "release", "sanitizer"),
                       ("release, the rest", "release", "not sanitizer")])
    pytests(part, [(name, name, "sanitizer") for name in ("asan", "tsan")
                   if native.build(part, name, ["gito-node"])])


def cluster(part):
    """Several nodes, brought up by the launcher and in network namespaces with a WAN between."""
    tools = ("gito-load", "gito-wan")
    if native.build(part, "release", ["gito-node", *tools]):
        part.add("release", *pytest("tests/cluster", "release", programs_built=tools))

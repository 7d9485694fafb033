"""What no file may say: promises to be kept later, places on one machine, registry hosts."""

import re

# Spelled in pieces, or this file would find itself. With both capitals it is HTTP's status 501.
LATER = re.compile(r"\b(?i:TO" r"DO|FIX" r"ME|XX" r"X)\b|[Nn]ot " r"implemented")
MACHINE_PATH = re.compile(r"(?<![\w.)}*$\]-])/(?:work|home|root|Users)/")
REGISTRY = re.compile(r'"resolved":\s*"https?:|\bregistry\s*=|registry\.(?:npm|yarn)')


def found(paths, pattern):
    reasons = []
    for path in paths:
        with open(path, "rb") as source:
            content = source.read()
        if b"\0" in content:
            continue
        for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
            if pattern.search(line):
                reasons.append("%s:%d: %s" % (path, number, line.strip()[:120]))
    return reasons


def nothing_left_for_later(paths):
    return found([path for path in paths if not path.endswith("package-lock.json")], LATER)


def no_machine_paths(paths):
    return found([path for path in paths if not path.startswith("tests/lint/")], MACHINE_PATH)


def no_registry_hosts(paths):
    return found([path for path in paths if path.endswith(("package-lock.json", ".npmrc"))],
                 REGISTRY)


CHECKS = [nothing_left_for_later, no_machine_paths, no_registry_hosts]

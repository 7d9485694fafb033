"""Who may include whom: the layers, written paths, and no circles."""

import os
import re

# A folder of the product and the folders it may include from; tests/ may include all.
LAYERS = {
    "proto": {"proto"},
    "actors": {"actors", "proto"},
    "cluster": {"cluster", "proto"},
    "sql": {"sql", "proto"},
    "node": {"node", "actors", "cluster", "sql", "proto"},
}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


def includes_of(path):
    with open(path, encoding="utf-8", errors="replace") as source:
        return INCLUDE.findall(source.read())


def c_files(paths):
    return [path for path in paths if path.endswith((".c", ".h", ".def"))]


def layers(paths):
    reasons = []
    for path in c_files(paths):
        folder = path.split("/")[0]
        for target in includes_of(path) if folder in LAYERS else []:
            if target.split("/")[0] not in LAYERS[folder]:
                reasons.append("%s includes %s" % (path, target))
    return reasons


def resolved(path, target):
    """The included file's path from the root; programs of tests/ may name a file beside them."""
    beside = os.path.join(os.path.dirname(path), target)
    if path.startswith("tests/") and os.path.isfile(beside):
        return beside
    return target


def includes_from_the_root(paths):
    return ['%s includes "%s", which is no path from the root' % (path, target)
            for path in c_files(paths) for target in includes_of(path)
            if not os.path.isfile(resolved(path, target))]


def no_include_circle(paths):
    """Two files that include each other are the shortest circle."""
    graph = {path: [resolved(path, target) for target in includes_of(path)]
             for path in c_files(paths)}
    reasons, done = [], set()

    def visit(path, way):
        if path in way:
            reasons.append(" -> ".join(way[way.index(path):] + [path]))
        elif path not in done:
            done.add(path)
            for target in graph.get(path, []):
                visit(target, way + [path])

    for path in graph:
        visit(path, [])
    return reasons


CHECKS = [layers, includes_from_the_root, no_include_circle]

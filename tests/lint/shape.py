"""How the code looks: format, and the length of files and functions."""

import ast
import concurrent.futures
import os
import re
import subprocess

FILE_LINES_MAX, FILE_LINES_AIM = 500, 250
FUNCTION_LINES_MAX, FUNCTION_LINES_AIM = 70, 40
README_LINES_MAX = 40
README_FOLDERS = ("node", "actors", "proto", "sql", "cluster", "tests", "web")
FILE_BYTES_MAX = 1024 * 1024
CODE = (".c", ".h", ".def", ".py", ".sh", ".sql", ".ts", ".tsx", ".js", ".mjs", ".css", ".txt")


def lines_of(path):
    with open(path, encoding="utf-8", errors="replace") as source:
        return source.read().splitlines()


def is_shell(path):
    if path.endswith(".sh"):
        return True
    if os.path.splitext(path)[1]:
        return False
    with open(path, "rb") as source:
        return re.match(rb"#!.*\b(ba)?sh\b", source.readline(200)) is not None


def is_code(path):
    return path.endswith(CODE) or is_shell(path)


def clang_format_clean(paths):
    """Batches, one for each processor: the formatter itself uses one."""
    sources = [path for path in paths if path.endswith((".c", ".h"))]
    jobs = max(1, len(os.sched_getaffinity(0)))

    def unclean(batch):
        result = subprocess.run(["clang-format", "--dry-run", "--ferror-limit=1", *batch],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        found = set(re.findall(r"^(.+?):\d+:\d+: ", result.stdout, re.MULTILINE))
        if result.returncode != 0 and not found:
            found.add("clang-format: " + result.stdout.strip()[:200])
        return found

    batches = [batch for batch in (sources[job::jobs] for job in range(jobs)) if batch]
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        return sorted(set().union(*pool.map(unclean, batches)))


def file_length(paths):
    counts = ((path, len(lines_of(path))) for path in paths if is_code(path))
    return ["%s has %d lines" % (path, count) for path, count in counts if count > FILE_LINES_MAX]


def c_functions(lines):
    """(name, lines): with this brace style a body alone begins and ends in the first column."""
    start, signature = None, ""
    for number, line in enumerate(lines):
        if line.startswith("{"):
            start = number
            signature = " ".join(lines[max(0, number - 4):number])
        elif line.startswith("}") and start is not None:
            names = re.findall(r"(\w+)\s*\(", signature)
            yield (names[-1] if names else "?"), number - start + 1
            start = None


def python_functions(lines):
    for node in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name, node.end_lineno - node.lineno + 1


def shell_functions(lines):
    start, name = None, ""
    for number, line in enumerate(lines):
        opened = re.match(r"(\w+)\(\) [{(]$", line)
        if opened:
            start, name = number, opened.group(1)
        elif line in ("}", ")") and start is not None:
            yield name, number - start + 1
            start = None


def functions(path):
    if path.endswith((".c", ".h")):
        return c_functions(lines_of(path))
    if path.endswith(".py"):
        return python_functions(lines_of(path))
    if is_shell(path):
        return shell_functions(lines_of(path))
    return ()


def function_length(paths):
    return ["%s: %s has %d lines" % (path, name, count) for path in paths
            for name, count in functions(path) if count > FUNCTION_LINES_MAX]


def folders_have_a_readme(paths):
    reasons = []
    for folder in README_FOLDERS:
        readme = folder + "/README.md"
        if readme not in paths:
            reasons.append("%s is missing" % readme)
        elif len(lines_of(readme)) > README_LINES_MAX:
            reasons.append("%s has more than %d lines" % (readme, README_LINES_MAX))
    return reasons


def shell_scripts_parse(paths):
    reasons = []
    for path in filter(is_shell, paths):
        result = subprocess.run(["bash", "-n", path], stderr=subprocess.PIPE, text=True)
        if result.returncode != 0:
            reasons.append(result.stderr.strip().splitlines()[0])
    return reasons


def no_large_files(paths):
    return ["%s has %d bytes" % (path, os.path.getsize(path)) for path in paths
            if os.path.getsize(path) > FILE_BYTES_MAX]


def inform(paths, full):
    """What is allowed but long: the counts, or with `full` each by name."""
    long_files = [(path, len(lines_of(path))) for path in paths if is_code(path)]
    long_files = [item for item in long_files if item[1] > FILE_LINES_AIM]
    long_functions = [("%s: %s" % (path, name), count) for path in paths
                      for name, count in functions(path) if count > FUNCTION_LINES_AIM]
    print("information: %d files over %d lines, %d functions over %d"
          % (len(long_files), FILE_LINES_AIM, len(long_functions), FUNCTION_LINES_AIM))
    for name, count in long_files + long_functions if full else []:
        print("    %4d %s" % (count, name))


CHECKS = [clang_format_clean, file_length, function_length, folders_have_a_readme,
          shell_scripts_parse, no_large_files]

"""Shows every check one breach of its rule: a check that cannot fail proves nothing."""

import os
import tempfile

LONG_BODY = "    x++;\n" * 80
# The breach of each check: files with their content, in a tree of their own.
BREACHES = {
    "layers": {"proto/a.h": '#include "node/b.h"\n', "node/b.h": ""},
    "includes_from_the_root": {"proto/a.c": '#include "a.h"\n', "proto/a.h": ""},
    "no_include_circle": {"proto/a.h": '#include "proto/b.h"\n',
                          "proto/b.h": '#include "proto/a.h"\n'},
    "clang_format_clean": {"proto/a.c": "int   a ;\n"},
    "file_length": {"proto/a.c": "int a;\n" * 501},
    "function_length": {"proto/a.c": "int a(int x)\n{\n" + LONG_BODY + "}\n"},
    "folders_have_a_readme": {"proto/README.md": "line\n" * 41},
    "shell_scripts_parse": {"run": "#!/bin/bash\nif true; then\n"},
    "no_large_files": {"data": "x" * (1024 * 1024 + 1)},
    "nothing_left_for_later": {"proto/a.c": "/* FIX" + "ME */\n"},
    "no_machine_paths": {"proto/a.c": "/* see /ho" + "me/someone/a */\n"},
    "no_registry_hosts": {"web/package-lock.json": '{"resolved": "https:' + '//host/a.tgz"}\n'},
}


def every_check_can_fail(checks):
    """The reasons why not: checks without a breach, or that let theirs pass."""
    reasons = []
    home = os.getcwd()
    for check in checks:
        breach = BREACHES.get(check.__name__)
        if breach is None:
            reasons.append("no breach for %s" % check.__name__)
            continue
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            try:
                for path, content in breach.items():
                    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
                    with open(path, "w", encoding="utf-8") as file:
                        file.write(content)
                if not check(sorted(breach)):
                    reasons.append("%s let its breach pass" % check.__name__)
            finally:
                os.chdir(home)
    return reasons

"""The Gitos that a test run has brought up: all are taken down with it, however it ends."""

import signal

from cluster import Gito

RUNNING = []


def end_as_by_ctrl_c(signum, frame):
    raise KeyboardInterrupt("signal %d" % signum)


def end_well_when_told():
    """A run that is ended from outside still takes its clusters down."""
    signal.signal(signal.SIGTERM, end_as_by_ctrl_c)


def bring_up(kind=Gito, **options):
    gito = kind(**options)
    RUNNING.append(gito)
    try:
        gito.up()
    except BaseException:
        take_down(gito)
        raise
    return gito


def take_down(gito):
    try:
        gito.destroy()
    finally:
        RUNNING.remove(gito)


def show_logs(report):
    """The end of every node's log goes with a failed test."""
    for gito in RUNNING if report.failed else []:
        for node in gito.nodes:
            log = gito.node_log(node, lines=60)
            if log:
                report.sections.append(("log of %s" % node, log))

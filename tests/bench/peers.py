"""The predecessor, measured in the same run: BASELINE names the folder of its run_baseline.sh."""

import json
import os
import subprocess
import sys

# Above what each can store, so that rows_per_s is its capacity; the broker holds the rest.
LOADS = {"faithful": ["--rate", "1200", "--seconds", "12", "--drain", "10"],
         "batched": ["--rate", "20000", "--seconds", "12", "--drain", "30"]}
COMMON = ["--devices", "10000", "--connections", "200", "--window", "100", "--spike-ppm", "1000",
          "--tenants", "1", "--latency-rate", "500", "--latency-seconds", "8"]


def measure(variant):
    """What run_baseline.sh prints for the variant; None without BASELINE."""
    folder = os.environ.get("BASELINE")
    if not folder:
        return None
    print("measuring the predecessor, %s" % variant, file=sys.stderr, flush=True)
    command = [os.path.join(folder, "run_baseline.sh"), variant, *LOADS[variant], *COMMON]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True,
                            env=dict(os.environ, PYTHON="/usr/bin/python3"))
    return json.loads(result.stdout)


def measure_all():
    return {variant: measure(variant) for variant in LOADS}


def rows_per_s(peer):
    return peer and peer["throughput"]["rows_per_s"]


def cpu_per_million(peer):
    return peer and sum(peer["throughput"]["cpu_s_per_million_rows"].values())


def latency_ms(peer, quantile):
    return peer and peer["latency"][quantile + "_ms"]

"""`python -m tests.support.busy N TIMES COMMAND…`: runs the command TIMES times in a row alongside N busy
processes.

The status is that of the first run that failed. The busy processes end with this one, however it ends.
"""

import os
import signal
import subprocess
import sys
import time

_LOOP = """
import os
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(1_000_000):
        pass
"""


def main() -> int:
    number, times, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    busy = [subprocess.Popen([sys.executable, "-c", _LOOP]) for _ in range(number)]
    try:
        for run in range(1, times + 1):
            begun = time.monotonic()
            status = subprocess.run(command, check=False, env=os.environ).returncode
            print(f"run {run} of {times} ended with {status} after {time.monotonic() - begun:.0f} s", flush=True)
            if status:
                return status
    finally:
        for each in busy:
            each.kill()
            each.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Puts load on a proxy with wrk, and reads from /proc what its processes take."""
import os
import pathlib
import re
import subprocess
from typing import NamedTuple


class Load(NamedTuple):
    """What wrk measured."""
    requests: int
    rate: float  # requests a second
    p50: float  # milliseconds, as p99
    p99: float


class Failed(Exception):
    """A measurement that is worth nothing, with the reason."""


def load(url, clients, seconds, body_size, folder, authorization=None):
    """Sends requests for some seconds: GET, or POST with a body of that size. All answers must be 2xx."""
    script = pathlib.Path(folder, f"wrk-{body_size}.lua")
    script.write_text(wrk_script(body_size))
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "10s", "--latency", "-s", str(script)]
    if authorization:
        command += ["-H", f"Authorization: {authorization}"]
    done = subprocess.run(command + [url], capture_output=True, text=True, timeout=seconds + 30)
    wrong = re.search(r"Non-2xx[^\n]*|Socket errors[^\n]*", done.stdout)
    if done.returncode or wrong:
        raise Failed(f"{url}: {wrong.group(0) if wrong else done.stderr.strip()}")
    return parse(done.stdout)


def wrk_script(body_size):
    """Returns the Lua script of a request."""
    if not body_size:
        return 'wrk.method = "GET"\n'
    return (f'wrk.method = "POST"\nwrk.body = string.rep("y", {body_size})\n'
            'wrk.headers["Content-Type"] = "application/json"\n')


def parse(text):
    """Reads what wrk prints."""
    def find(pattern):
        return re.search(pattern, text, re.MULTILINE).group(1)
    return Load(int(find(r"(\d+) requests in")), float(find(r"^Requests/sec:\s+(\S+)")),
                milliseconds(find(r"^\s+50%\s+(\S+)")), milliseconds(find(r"^\s+99%\s+(\S+)")))


def milliseconds(text):
    """Reads a duration as wrk prints it."""
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(number) * {"us": 1e-3, "ms": 1, "s": 1e3, "m": 60e3}[unit]


def family(pid):
    """Returns a process and all that descend from it."""
    parents = {}
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int(fields(entry.name)[1])
        except OSError:  # it has ended
            pass
    found = [pid]
    for one in found:  # which grows
        found += [child for child, parent in parents.items() if parent == one]
    return found


def fields(pid):
    """Returns the fields of /proc/PID/stat after the name, which may have spaces: proc(5) begins with 3 there."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def cpu_seconds(pids):
    """Returns what the processes have taken of the processors, in user and system mode."""
    ticks = sum(int(tick) for pid in pids for tick in fields(pid)[11:13])
    return ticks / os.sysconf("SC_CLK_TCK")


def resident(pids):
    """Returns how much of the processes' memory is resident, in MB."""
    status = (pathlib.Path(f"/proc/{pid}/status").read_text() for pid in pids)
    return sum(int(re.search(r"VmRSS:\s+(\d+)", text).group(1)) for text in status) / 1024

"""Runs SLURM on this machine alone, on 127.0.0.1 and as root, from Debian's packages slurm-wlm and munge."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol")
MUNGE = Path("/run/munge")  # where SLURM looks for its socket
PORTS = (16817, 16818)
CONF = """\
ClusterName=local
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=cred_expire=10
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
MpiDefault=none
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
JobRequeue=1
KillWait=10
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} State=UNKNOWN
PartitionName=local Nodes=ALL Default=YES MaxTime=INFINITE State=UP GraceTime=60
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=9
"""  # cred_expire: seconds until a requeued job may start again, 120 by default; GraceTime: seconds after a preemption


def why_not() -> str:
    """Why SLURM cannot be started here; empty if it can."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return "one SLURM at a time: make test ARGS='-m slurm -n 0'"
    if find_spec("submitit") is None:
        return "needs the extra: pip install -e '.[slurm]'"
    if os.geteuid() != 0:
        return "needs root to start SLURM"
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"needs {missing[0]}: apt-get install slurm-wlm munge"
    return "munge is running here already" if (MUNGE / "munge.socket.2").exists() else ""


@contextmanager
def one_machine_cluster(folder: Path) -> Iterator[dict[str, str]]:
    """Starts the daemons, gives the environment in which SLURM's commands find them, and stops all in the end.

    Args: folder, a new one, for the configuration, the state and the logs.
    """
    (folder / "state").mkdir(parents=True)
    (folder / "spool").mkdir()
    MUNGE.mkdir(exist_ok=True)
    shutil.chown(MUNGE, "munge", "munge")
    MUNGE.chmod(0o755)
    host = os.uname().nodename.partition(".")[0]
    conf = folder / "slurm.conf"
    conf.write_text(CONF.format(host=host, ports=PORTS, folder=folder, cores=os.cpu_count()), encoding="utf-8")
    environment = {"SLURM_CONF": str(conf)}
    munge = ["munged", f"--pid-file={MUNGE}/munged.pid", f"--log-file={MUNGE}/munged.log"]
    daemons = [["runuser", "-u", "munge", "--", *munge], ["slurmctld", "-f", str(conf)], ["slurmd", "-f", str(conf)]]
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever stops the tests stops the daemons, too
    try:
        for daemon in daemons:
            subprocess.run(daemon, env=os.environ | environment, check=True, stdin=subprocess.DEVNULL)
        wait_until(lambda: "idle" in ask(environment, "sinfo", "--noheader", "--format=%t", "--partition=local"), 60)
        yield environment
    finally:
        for job in ask(environment, "squeue", "--noheader", "--array", "--format=%i").split():
            ask(environment, "scancel", "--signal=KILL", "--full", job)
            ask(environment, "scancel", job)
        with suppress(TimeoutError):
            wait_until(lambda: not ask(environment, "squeue", "--noheader"), 30)
        for file in (folder / "slurmd.pid", folder / "slurmctld.pid", MUNGE / "munged.pid"):
            stop(file)
        signal.signal(signal.SIGTERM, before)


def ask(environment: dict[str, str], *command: str) -> str:
    """What a command of SLURM prints; empty if it fails."""
    ended = subprocess.run(command, env=os.environ | environment, capture_output=True, encoding="utf-8", check=False)
    return ended.stdout


def stop(pid_file: Path) -> None:
    """Stops the process that a daemon's file names, and waits for its end."""
    if pid_file.is_file():
        number = int(pid_file.read_text(encoding="utf-8"))
        with suppress(ProcessLookupError, TimeoutError):
            os.kill(number, signal.SIGTERM)
            wait_until(lambda: not is_alive(number), 30)
        pid_file.unlink(missing_ok=True)


def is_alive(number: int) -> bool:
    """Whether a process exists and has not ended; in a container, ended daemons may stay in the list."""
    try:
        return Path(f"/proc/{number}/stat").read_text(encoding="utf-8").rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def wait_until(is_so, seconds: float) -> None:
    """Waits until `is_so()`; raises TimeoutError after that many seconds."""
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s in vain")
        time.sleep(0.2)

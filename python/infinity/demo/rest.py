"""What a process did while nothing was to do: CPU time and context switches, as the kernel counts them (I9)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_SWITCHES = re.compile(r"^(?:non)?voluntary_ctxt_switches:\s*(\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Rest:
    """Over all threads of a process: nanoseconds on a CPU, context switches, and how many threads there are."""

    cpu_ns: int
    switches: int
    threads: int

    @staticmethod
    def of(pid: int) -> Rest | None:
        """Count for a process, since each of its threads began.

        Args:
            pid: Its id.

        Returns:
            ``None`` where the system does not tell (anything but Linux).
        """
        tasks = Path(f"/proc/{pid}/task")
        if not tasks.is_dir():
            return None
        cpu_ns = switches = threads = 0
        for task in tasks.iterdir():
            # Per thread, because the process's own counters are rounded to ticks.
            cpu_ns += int((task / "schedstat").read_text().split()[0])
            switches += sum(map(int, _SWITCHES.findall((task / "status").read_text())))
            threads += 1
        return Rest(cpu_ns, switches, threads)

    def since(self, earlier: Rest) -> Rest:
        return Rest(self.cpu_ns - earlier.cpu_ns, self.switches - earlier.switches, self.threads)

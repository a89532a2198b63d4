"""The benchmark's side of the observer: starts it, and keeps what it says."""

import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping

from bench import ROOT
from bench.failover.observer import RECORD, Probe, What, plan
from bench.failover.watch import Answer, Track
from outgate.daemon.closing import Closing

_RUN = "from bench.failover.observer import main; main()"
_CHUNK = 64 * RECORD.size


class Listener(Closing):
    """Probes run, from its start to its end. tracks: what is known of each, by its name."""

    def __init__(self, probes: Mapping[str, Probe]) -> None:
        self.tracks = {name: Track() for name in probes}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _RUN, plan(list(probes.values()))],
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def check(self) -> None:
        """RuntimeError if the observer has ended: what it said is on standard error."""
        if self._process.poll() is not None:
            raise RuntimeError(f"the observer ended with {self._process.returncode}")

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        self._thread.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        tracks, rest = list(self.tracks.values()), b""
        while data := self._process.stdout.read1(_CHUNK):  # type: ignore[attr-defined]
            data = rest + data
            whole = len(data) - len(data) % RECORD.size
            rest = data[whole:]
            keep(tracks, RECORD.iter_unpack(data[:whole]))


def keep(tracks: list[Track], records: Iterable[tuple[int, int, int, float, bytes]]) -> None:
    """Enter records into the tracks that they are about."""
    for what, index, number, at, whose in records:
        track, who = tracks[index], int.from_bytes(whose)
        match What(what):
            case What.SENT:
                track.sent[number] = at
            case What.ANSWERED:
                track.answers.append(Answer(at, number, who))
            case What.SEEN:
                track.seen.append(Answer(at, number, who))

"""The prober's threads, with targets that answer or not as the test says."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from prometheus_client import REGISTRY

from outgate.agent.probes.prober import Prober
from outgate.api.probes import HealthProbes, HTTPProbe, ICMPProbe

A, B, URL = "203.0.113.7", "203.0.113.8", "http://203.0.113.7/"


class Net:
    """What answers, and what was asked."""

    def __init__(self) -> None:
        self.silent: set[str] = set()
        self.asked: list[str] = []

    def ask(self, target: str, *, patience: float, stop: threading.Event) -> str:
        self.asked.append(target)
        if target in self.silent:
            stop.wait(patience)
            return "no answer"
        return ""


def ping(*targets: str, interval: float = 0.02, timeout: float = 0.06) -> HealthProbes:
    # Users have whole seconds; a test has no time for that.
    probe = ICMPProbe(ips=targets, interval=interval, timeout=timeout)  # type: ignore[arg-type]
    return HealthProbes(icmp=probe)


@pytest.fixture
def net() -> Net:
    return Net()


@pytest.fixture
def prober(net: Net) -> Iterator[Prober]:
    made = Prober({"icmp": net.ask, "http": net.ask})
    stop = threading.Event()
    thread = threading.Thread(target=made.run, args=(stop,))
    thread.start()
    yield made
    stop.set()
    thread.join(5.0)
    assert not thread.is_alive()


def fit(prober: Prober, gateway: str = "gw") -> bool:
    return prober.fitness()[gateway].fit


def test_a_target_that_is_cut_off_and_comes_back_is_told_at_once(net: Net, prober: Prober) -> None:
    changes: list[bool] = []
    prober.subscribe(lambda: changes.append(fit(prober)))
    prober.want({"gw": ping(A, B)})
    _eventually(lambda: {A, B} <= set(net.asked))
    net.silent = {A}
    asked = len(net.asked)
    _eventually(lambda: len(net.asked) > asked + 20)
    assert fit(prober)
    assert prober.unready() == ""
    net.silent = {A, B}
    _eventually(lambda: changes[-1:] == [False])
    assert prober.fitness()["gw"].reason == "ProbesFailed"
    assert prober.unready().startswith("gateway gw: icmp: no target has answered for 0.06 s")
    net.silent = {A}
    _eventually(lambda: changes[-1:] == [True])
    assert prober.ready()


def test_gateways_fail_each_by_their_own_probes_and_share_equal_ones(
    net: Net, prober: Prober
) -> None:
    net.silent = {A}
    prober.want({"gw": ping(A), "same": ping(A), "other": ping(B), "none": None})
    _eventually(lambda: not fit(prober))
    assert [name for name, one in prober.fitness().items() if one.fit] == ["other", "none"]
    threads = [thread.name for thread in threading.enumerate() if thread.name == f"icmp {A}"]
    assert len(threads) == 1


def test_each_kind_has_to_pass(net: Net, prober: Prober) -> None:
    net.silent = {URL}
    http = HTTPProbe(urls=(URL,), interval=0.02, timeout=0.06)  # type: ignore[arg-type]
    prober.want({"gw": HealthProbes(icmp=ping(A).icmp, http=http)})
    _eventually(lambda: not fit(prober))
    assert prober.fitness()["gw"].message.startswith("http: ")


def test_what_is_not_wanted_any_more_is_not_asked_any_more(net: Net, prober: Prober) -> None:
    prober.want({"gw": ping(A), "other": ping(B)})
    _eventually(lambda: _up(A) == _up(B) == 1.0)
    prober.want({"other": ping(B)})
    assert prober.fitness().keys() == {"other"}
    _eventually(lambda: _up(A) is None)
    asked = net.asked.count(A)
    others = net.asked.count(B)
    _eventually(lambda: net.asked.count(B) > others + 5)
    assert net.asked.count(A) <= asked + 1
    assert _up(B) == 1.0
    assert _sample("outgate_agent_probe_fit", gateway="gw") is None


def test_a_node_that_was_unwell_stays_so_over_a_restart_until_a_target_answers(
    net: Net, prober: Prober
) -> None:
    net.silent = {A}
    prober.want({"gw": ping(A, timeout=3600), "well": ping(B)}, unfit=["gw"])
    assert not fit(prober)
    assert fit(prober, "well")
    net.silent = set()
    _eventually(lambda: fit(prober))


def test_an_edit_of_failing_probes_does_not_make_the_node_well(net: Net, prober: Prober) -> None:
    net.silent = {A, B}
    prober.want({"gw": ping(A)})
    _eventually(lambda: not fit(prober))
    prober.want({"gw": ping(B, timeout=3600)})
    assert not fit(prober)
    prober.want({"gw": None})
    assert fit(prober)


def test_an_edit_of_passing_probes_begins_as_passing(net: Net, prober: Prober) -> None:
    prober.want({"gw": ping(A)})
    net.silent = {B}
    prober.want({"gw": ping(B, timeout=3600)}, unfit=["gw"])  # an old word on a known gateway
    assert fit(prober)


def test_answers_and_misses_are_counted(net: Net, prober: Prober) -> None:
    net.silent = {A}
    prober.want({"gw": ping(A, B)})
    _eventually(lambda: (_sample("outgate_agent_probe_failures_total", **_labels(A)) or 0) >= 2)
    assert (_up(A), _up(B)) == (0.0, 1.0)
    assert _sample("outgate_agent_probe_fit", gateway="gw") == 1.0
    assert _sample("outgate_agent_probe_seconds_count", kind="icmp")


def _labels(target: str) -> dict[str, str]:
    return {"kind": "icmp", "target": target}


def _up(target: str) -> float | None:
    return _sample("outgate_agent_probe_up", **_labels(target))


def _sample(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def _eventually(true: Callable[[], bool], *, within: float = 5.0) -> None:
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, "not in time"
        threading.Event().wait(0.005)

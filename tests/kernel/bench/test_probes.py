"""The observer and the flows on a real segment, with a fault that is known."""

import os
import time
from collections.abc import Iterator
from ipaddress import IPv4Address, ip_address

import pytest

from bench.failover import watch
from bench.failover.bare import segment
from bench.failover.contestant import arp as who_has
from bench.failover.listener import Listener
from bench.failover.observer import How, Probe
from bench.failover.sweep import Sweep
from bench.failover.watch import Span
from bench.flows.continuity import goes_on, silence
from bench.flows.crowd import Crowd, wanted
from bench.flows.talk import Plan
from outgate.lab import Families, Lab, Options
from outgate.lab.passing import Fault, Kind, happening

pytestmark = pytest.mark.kernel

MAC = 0x02300000000B  # gw1's, by the lab's topology


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with segment(Options(name=f"ob{os.getpid()}", families=Families.DUAL)) as made:
        yield made


def arp(lab: Lab) -> Probe:
    return who_has(lab, ip_address("172.30.0.11"))


def ndp(lab: Lab) -> Probe:
    return who_has(lab, ip_address("fd00:30::11"))


def ping(lab: Lab) -> Probe:
    return Probe(How.PING, str(lab.paths.netns("outside")), "172.30.0.11")


def udp(lab: Lab, target: str = "203.0.113.10") -> Probe:
    outside = str(lab.paths.netns("outside"))
    return Probe(How.UDP, str(lab.paths.netns("gw1")), target, server=outside, port=8090)


def udp6(lab: Lab) -> Probe:
    return udp(lab, "2001:db8:cafe::10")


def test_an_outage_is_seen_by_every_probe_as_long_as_it_was(lab: Lab) -> None:
    probes = {make.__name__: make(lab) for make in (arp, ndp, ping, udp, udp6)}
    with Listener(probes) as listener:
        tracks = listener.tracks
        lab.wait("answers", lambda: all(track.answers for track in tracks.values()))
        start = time.monotonic()
        with happening(lab, Fault(Kind.CUT_OFF, "gw1")):
            time.sleep(0.5)  # how long the fault lasts, not a wait for something
        fault = time.monotonic() - start
        healed = time.monotonic()
        lab.wait(
            "answers again",
            lambda: all(t.answers[-1].at > healed + 0.1 for t in tracks.values()),
        )
    for name, track in tracks.items():
        seen = watch.unserved(track.during(Span(start - 0.1, healed + 0.05)), end=healed)
        assert 0.4 < seen < fault + 0.2, name


def test_the_observer_tells_who_answers_and_which_source_arrives(lab: Lab) -> None:
    probes = {make.__name__: make(lab) for make in (arp, ndp, udp, udp6)}
    with Listener(probes) as listener:
        tracks = listener.tracks
        lab.wait("answers", lambda: all(t.answers or t.seen for t in tracks.values()))
    for asked in ("arp", "ndp"):
        assert {one.who for one in tracks[asked].answers} == {MAC}, asked
    assert {one.who for one in tracks["udp"].seen} == {int(ip_address("172.30.0.11"))}
    assert {one.who for one in tracks["udp6"].seen} == {int(ip_address("fd00:30::11"))}


def test_a_dead_observer_is_not_taken_for_an_outage(lab: Lab) -> None:
    missing = Probe(How.PING, "/run/netns/not-there", "172.30.0.11")
    with Listener({"ping": missing}) as listener:

        def told() -> bool:
            try:
                listener.check()
            except RuntimeError:
                return True
            return False

        assert lab.wait("the observer's end", told)


def test_flows_speak_both_ways_until_they_are_ended(lab: Lab) -> None:
    namespaces = [str(lab.paths.netns(name)) for name in ("gw1", "gw2")]
    server = str(lab.paths.netns("outside"))
    flows = wanted(namespaces, flows=8, shared=2)
    with Crowd(Plan(server, "203.0.113.10", 8091, flows)) as crowd:
        began = time.monotonic()
        lab.wait("a second of words", lambda: time.monotonic() > began + 1.0)
        span = Span(began, time.monotonic())
        ended = crowd.end()
    assert [one.pushed for one in ended] == [one.pushed for one in flows]
    assert all(goes_on(one, span) for one in ended)
    assert max(silence(one, span) for one in ended) < 0.6
    assert not any(one.remapped for one in ended)  # nobody translates here


def test_a_sweep_tells_who_answers_for_each_address_and_misses_those_of_nobody(lab: Lab) -> None:
    sweep = Sweep(lab.paths.netns("router"), source=IPv4Address("172.30.0.1"))
    own, other, nobodys = (IPv4Address(f"172.30.0.{number}") for number in (11, 12, 99))
    try:
        taken = sweep.until_taken([own, other, nobodys], seconds=0.5)
        assert {address: one.mac for address, one in taken.items()} == {own: MAC, other: MAC + 1}
        assert set(sweep.until_taken([own, other], but={MAC}, seconds=0.5)) == {other}
    finally:
        sweep.close()

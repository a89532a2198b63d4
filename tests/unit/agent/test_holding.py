from dataclasses import dataclass
from ipaddress import ip_address

from outgate.agent.holding import PATIENCE, Silence, fitness_of, holding_of
from outgate.agent.probes.course import FIT, Verdict
from outgate.api.tunnel import Fitness, Holding
from outgate.api.view import IPAddress


@dataclass(frozen=True)
class Claim:
    gateway: str
    epoch: int
    addresses: tuple[IPAddress, ...]


def claim(gateway: str, epoch: int, *texts: str) -> Claim:
    return Claim(gateway, epoch, tuple(map(ip_address, texts)))


OLD = (Holding(gateway="gw", epoch=3, addresses=("198.51.100.9",)),)


def test_claims_are_reported_in_an_order_that_is_always_the_same() -> None:
    claims = [
        claim("gw", 7, "2001:db8::1", "198.51.100.10", "198.51.100.9"),
        claim("gw", 5, "198.51.100.11"),
        claim("a", 9, "203.0.113.1"),
        claim("gw", 8),
    ]
    expected = (
        Holding(gateway="a", epoch=9, addresses=("203.0.113.1",)),
        Holding(gateway="gw", epoch=5, addresses=("198.51.100.11",)),
        Holding(gateway="gw", epoch=7, addresses=("198.51.100.9", "198.51.100.10", "2001:db8::1")),
    )
    assert holding_of(claims, before=OLD, silent=0.0) == expected
    assert holding_of(claims[::-1], before=(), silent=0.0) == expected


def test_a_vip_process_that_says_it_holds_nothing_is_believed_at_once() -> None:
    assert holding_of((), before=OLD, silent=0.0) == ()


def test_the_last_word_of_one_that_says_nothing_stays_for_a_while() -> None:
    assert holding_of(None, before=OLD, silent=PATIENCE - 1) == OLD
    assert holding_of(None, before=OLD, silent=PATIENCE) == ()


def test_silence_lasts_from_its_first_moment_to_the_next_word() -> None:
    silence = Silence(None).after(False, now=10.0).after(False, now=14.0)
    assert silence.lasted(15.0) == 5.0
    assert silence.after(True, now=15.0).lasted(20.0) == 0.0


def test_fitness_is_reported_for_each_gateway_within_what_the_api_takes() -> None:
    verdicts = {"b": Verdict(False, "ProbesFailed", "m" * 600), "a": FIT}
    assert fitness_of(verdicts) == (
        Fitness(gateway="a", fit=True),
        Fitness(gateway="b", fit=False, reason="ProbesFailed", message="m" * 512),
    )

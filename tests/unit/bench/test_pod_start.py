from ipaddress import IPv4Address

import pytest

from bench.pod_start import Seen, Start, figures, packet, seen
from bench.workload import pod_address4

ETHERNET = bytes(12) + b"\x08\x00"
MS = 1_000_000


@pytest.mark.parametrize("flow", [True, False])
def test_a_pods_packet_says_whose_it_is(flow: bool) -> None:
    frame = ETHERNET + packet(300, flow=flow, port=4711)
    assert seen(frame) == Seen(300, flow, pod_address4(300))


def test_the_source_is_the_one_that_is_seen_outside() -> None:
    frame = bytearray(ETHERNET + packet(7, flow=False, port=4711))
    frame[26:30] = IPv4Address("203.0.113.100").packed
    found = seen(bytes(frame))
    assert found is not None
    assert found.source == IPv4Address("203.0.113.100")


@pytest.mark.parametrize("frame", [b"", bytes(60), ETHERNET + bytes(60)])
def test_what_others_send_is_not_ours(frame: bytes) -> None:
    assert seen(frame) is None


def test_a_start_takes_from_the_request_to_the_first_right_packet() -> None:
    starts = [
        Start(asked=0, answered=5 * MS, first=(20 + number) * MS, flow=90 * MS, wrong=number)
        for number in range(100)
    ]
    told = {one.id: one.value for one in figures(starts, rate=20.0)}
    assert (told["p50"], told["p99"], told["worst"]) == (69.0, 118.0, 119.0)
    assert (told["flow-p50"], told["write-p50"]) == (90.0, 5.0)
    assert (told["wrong"], told["wrong-worst"]) == (49.5, 99)

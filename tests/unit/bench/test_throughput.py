from bench.throughput import FLOWS, figures


def test_ratios_are_of_samples_of_one_round() -> None:
    taken = {
        (kind, flows, way): samples
        for kind in ("tcp", "udp", "cpu")
        for flows in FLOWS
        for way, samples in (
            ("outgate", [9e9, 18e9, 90e9]),
            ("vxlan", [10e9, 20e9, 100e9]),
            ("least", [8e9, 16e9, 80e9]),
            ("plain", [18e9, 36e9, 180e9]),
        )
    }
    told = {one.id: one for one in figures(taken)}
    assert (told["tcp-1"].value, told["tcp-1-spread"].value) == (0.9, 0.0)
    assert told["tcp-1"].met is False
    assert told["udp-8-plain"].value == told["udp-8-cpu-plain"].value == 0.5
    assert told["udp-1-least"].value == 0.8
    assert told["udp-1-cpu"].met is None
    assert (told["tcp-8-vxlan-rate"].value, told["tcp-8-vxlan-rate"].unit) == (20.0, "Gbit/s")

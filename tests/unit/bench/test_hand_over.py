from bench.hand_over import FLOWS, Moved, figures


def test_the_worst_round_counts() -> None:
    well = Moved(told=1.5, took=2.0, flows=FLOWS, alive=FLOWS, changed=5000)
    badly = Moved(told=3.1, took=3.9, flows=FLOWS, alive=FLOWS - 500, changed=4990)
    by_id = {one.id: one for one in figures([well, badly])}
    assert {id_: one.value for id_, one in by_id.items()} == {
        "told": 3.1,
        "took": 3.9,
        "go-on": 99.0,
        "flows": FLOWS,
        "remapped": 4990,
    }
    assert [id_ for id_, one in by_id.items() if one.met is False] == ["told", "go-on"]

from outgate.api.gateway import ADDRESSES_MAX
from outgate.api.view import EGRESS_ID_MAX
from outgate.controller.ids import EgressKey, IdMemory, Resting, allocate_ids

A, B = ("gw", "192.0.2.1"), ("gw", "192.0.2.2")


def full(but: int) -> list[tuple[EgressKey, int]]:
    """Ids of so many addresses of several gateways that only a few are left."""
    return [((f"g{n // 16000}", str(n)), n) for n in range(1, EGRESS_ID_MAX + 1 - but)]


def test_id_is_kept_once_given() -> None:
    ids = allocate_ids([A, B], recorded=[(A, 77)], memory=IdMemory(), now=0.0)
    assert ids.of[A] == 77
    assert ids.of[B] != 77


def test_same_addresses_get_the_same_ids_everywhere() -> None:
    one = allocate_ids([A, B], recorded=[], memory=IdMemory(), now=0.0)
    two = allocate_ids([B, A], recorded=[], memory=IdMemory(), now=99.0)
    assert dict(one.of) == dict(two.of)


def test_of_two_that_show_one_id_the_first_keeps_it() -> None:
    ids = allocate_ids([A, B], recorded=[(B, 5), (A, 5)], memory=IdMemory(), now=0.0)
    assert ids.of[B] == 5
    assert ids.of[A] != 5


def test_freed_id_rests_from_when_no_status_shows_it() -> None:
    memory = IdMemory(given={A: 5})
    shown = allocate_ids([], recorded=[(A, 5)], memory=memory, now=10.0)
    assert shown.memory.resting[5] == Resting(A, 70.0)
    later = allocate_ids([], recorded=[(A, 5)], memory=shown.memory, now=30.0)
    assert later.memory.resting[5] == Resting(A, 90.0)
    gone = allocate_ids([], recorded=[], memory=later.memory, now=40.0)
    assert gone.memory.resting[5] == Resting(A, 90.0)
    free = allocate_ids([], recorded=[], memory=gone.memory, now=90.0)
    assert not free.memory.resting


def test_id_of_a_gateway_that_is_gone_rests_too() -> None:
    ids = allocate_ids([], recorded=[], memory=IdMemory(given={A: 5}), now=0.0)
    assert ids.memory.resting[5] == Resting(A, 60.0)


def test_resting_id_goes_to_nobody_but_its_own_address() -> None:
    recorded = full(1)  # one id is left, and it rests
    used = [key for key, _ in recorded]
    resting = IdMemory(resting={EGRESS_ID_MAX: Resting(A, 60.0)})
    other = allocate_ids([*used, B], recorded=recorded, memory=resting, now=0.0)
    assert other.short == {B}
    own = allocate_ids([*used, A], recorded=recorded, memory=resting, now=0.0)
    assert own.of[A] == EGRESS_ID_MAX
    after = allocate_ids([*used, B], recorded=recorded, memory=resting, now=60.0)
    assert after.of[B] == EGRESS_ID_MAX


def test_all_ids_in_use_is_a_shortage_not_an_error() -> None:
    recorded = full(0)
    used = [key for key, _ in recorded]
    ids = allocate_ids([*used, B], recorded=recorded, memory=IdMemory(), now=0.0)
    assert ids.short == {B}
    assert len(set(ids.of.values())) == EGRESS_ID_MAX


def test_one_gateway_gets_no_more_than_its_status_holds() -> None:
    wanted = [("gw", str(n)) for n in range(ADDRESSES_MAX + 3)]
    ids = allocate_ids(wanted, recorded=[], memory=IdMemory(), now=0.0)
    assert len(ids.of) == ADDRESSES_MAX
    assert len(ids.short) == 3

"""The members' Leases against a real API server."""

import select
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from apiserver.harness import ApiServer, until

from outgate.api.kinds import LEASE
from outgate.kube.client import Client
from outgate.vip.engine.actions import ReadLeases, WriteLease
from outgate.vip.engine.events import (
    ApiFailed,
    Event,
    LeaseRefused,
    LeasesRead,
    LeaseWritten,
    Record,
)
from outgate.vip.engine.settings import DEFAULTS
from outgate.vip.leases import LeaseClient
from outgate.vip.leases.names import GATEWAY, lease_name

pytestmark = pytest.mark.kernel

NEW = Record("internet", "node-a", epoch=1, boot=1, inside=True, term=0.0)
NAME = lease_name("internet", "node-a")
FIRST = 5.0
"""Seconds for what only has to work: a client's first request opens a connection."""
BUSY = 2.0
"""Seconds that a thread may have to wait for a CPU."""


class Member:
    """What a node's loop is to its `LeaseClient`. api: the client that it uses."""

    def __init__(self, kubeconfig: str, namespace: str, *, patience: float) -> None:
        self.api = Client.connect(kubeconfig)
        settings = replace(DEFAULTS, api_patience=patience)
        self.leases = LeaseClient(namespace=namespace, settings=settings, connect=lambda: self.api)
        self._request = 0

    def write(self, record: Record) -> Event:
        self._request += 1
        self.leases.submit(WriteLease(self._request, record))
        return self._answer()

    def written(self, record: Record) -> Record:
        event = self.write(record)
        assert isinstance(event, LeaseWritten), event
        return event.record

    def read(self) -> Event:
        self._request += 1
        self.leases.submit(ReadLeases(self._request))
        return self._answer()

    def records(self) -> tuple[Record, ...]:
        event = self.read()
        assert isinstance(event, LeasesRead), event
        return event.records

    def _answer(self) -> Event:
        assert select.select([self.leases], [], [], 20)[0], "no answer in 20 s"
        (event,) = self.leases.take()
        return event

    def close(self) -> None:
        self.leases.close()
        self.api.close()


Make = Callable[..., Member]


@pytest.fixture
def make(apiserver: ApiServer, namespace: str) -> Iterator[Make]:
    made: list[Member] = []

    def member(*, patience: float = FIRST, kubeconfig: str = apiserver.kubeconfig) -> Member:
        made.append(Member(kubeconfig, namespace, patience=patience))
        return made[-1]

    yield member
    for one in made:
        one.close()


@pytest.fixture
def member(make: Make) -> Member:
    return make()


def test_a_lease_is_created_swapped_and_read(member: Member) -> None:
    created = member.written(NEW)
    assert member.records() == (created,)
    relied = member.written(replace(created, epoch=4, boot=2, term=1.5))
    assert member.records() == (relied,)
    deposed = member.written(replace(relied, epoch=5, inside=False, term=0.0))
    assert deposed == replace(relied, epoch=5, inside=False, term=0.0, version=deposed.version)
    assert member.records() == (deposed,)


def test_a_renewal_that_says_the_same_is_a_new_version(member: Member) -> None:
    created = member.written(NEW)
    assert member.written(created).version != created.version


def test_the_longest_names_are_taken(member: Member) -> None:
    longest = ".".join(["a" * 63] * 4)[:253]
    written = member.written(replace(NEW, gateway=longest, node=longest))
    assert member.records() == (written,)


def test_a_swap_on_an_old_version_is_refused(member: Member) -> None:
    created = member.written(NEW)
    member.written(replace(created, epoch=2))
    assert isinstance(member.write(replace(created, epoch=3)), LeaseRefused)


def test_creating_what_is_there_is_refused(member: Member) -> None:
    member.written(NEW)
    assert isinstance(member.write(NEW), LeaseRefused)


def test_swapping_what_was_deleted_is_refused_and_it_can_be_created_again(
    member: Member, client: Client, namespace: str
) -> None:
    created = member.written(NEW)
    client.delete(LEASE, NAME, namespace=namespace)
    assert isinstance(member.write(replace(created, epoch=2)), LeaseRefused)
    assert member.records() == ()
    assert member.written(replace(NEW, epoch=3)).epoch == 3


def test_only_the_gateways_of_this_node_are_read(member: Member) -> None:
    longest = ".".join(["a" * 63] * 4)[:253]
    own, long, _other = (
        member.written(replace(NEW, gateway=gateway)) for gateway in ("internet", longest, "uplink")
    )
    member.leases.own({"internet": "1", longest: "2"})
    assert set(member.records()) == {own, long}


def test_who_wrote_which_field_is_not_kept_for_it_would_double_each_list(
    member: Member, apiserver: ApiServer, namespace: str
) -> None:
    member.written(replace(member.written(NEW), epoch=2))
    shown = apiserver.kubectl(
        "-n", namespace, "get", "lease", NAME, "--show-managed-fields", "-o", "yaml"
    )
    assert yaml.safe_load(shown)["spec"]["leaseTransitions"] == 2
    assert "managedFields" not in yaml.safe_load(shown)["metadata"]


@pytest.mark.parametrize("label", [f"{GATEWAY}-", f"{GATEWAY}=other"])
def test_a_lease_without_its_label_is_created_again(
    member: Member, apiserver: ApiServer, namespace: str, label: str
) -> None:
    member.written(NEW)
    apiserver.kubectl("-n", namespace, "label", "--overwrite", "lease", NAME, label)
    assert member.records() == ()
    again = member.written(replace(NEW, epoch=2))
    assert member.records() == (again,)


@pytest.mark.parametrize(
    "patch",
    [
        '{"spec": {"holderIdentity": null}}',
        '{"spec": {"holderIdentity": "node-b"}}',
        '{"spec": {"leaseDurationSeconds": 3600}}',
        '{"metadata": {"annotations": null}}',
        '{"metadata": {"annotations": {"outgate.dev/term": "soon"}}}',
    ],
)
def test_an_edit_makes_nobody_deposed_and_its_member_writes_it_anew(
    member: Member, apiserver: ApiServer, namespace: str, patch: str
) -> None:
    relied = member.written(replace(NEW, term=1.2))
    apiserver.kubectl("-n", namespace, "patch", "lease", NAME, "--type=merge", "-p", patch)
    assert isinstance(member.write(replace(relied, inside=False, term=0.0)), LeaseRefused)
    (found,) = member.records()
    assert found == replace(relied, boot=0, term=DEFAULTS.term, version=found.version)
    again = member.written(replace(found, boot=1, term=0.0))
    assert member.records() == (again,)


def test_of_many_who_swap_one_version_exactly_one_does(make: Make) -> None:
    members = [make() for _ in range(4)]
    stands = members[0].written(NEW)
    for _ in range(10):
        answers: list[Event] = []
        start = threading.Barrier(len(members))

        def swap(number: int, *, on: Record, start: threading.Barrier, to: list[Event]) -> None:
            start.wait(20)
            to.append(members[number].write(replace(on, epoch=number)))

        threads = [
            threading.Thread(
                target=swap, args=(number,), kwargs={"on": stands, "start": start, "to": answers}
            )
            for number in range(len(members))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        (won,) = [event for event in answers if isinstance(event, LeaseWritten)]
        assert sum(isinstance(event, LeaseRefused) for event in answers) == len(members) - 1
        assert members[0].records() == (won.record,)
        stands = won.record


def test_of_two_who_create_exactly_one_does(make: Make) -> None:
    one, other = make(), make()
    for number in range(10):
        record = replace(NEW, gateway=f"gateway-{number}")
        one.leases.submit(WriteLease(1, record))
        other.leases.submit(WriteLease(1, record))
        answers = [one._answer(), other._answer()]
        assert sorted(type(event).__name__ for event in answers) == ["LeaseRefused", "LeaseWritten"]


def test_while_the_server_is_silent_each_request_fails_in_time(
    apiserver: ApiServer, make: Make
) -> None:
    patient, member = make(), make(patience=0.4)
    created = patient.written(NEW)
    apiserver.pause()
    try:
        # Late by what a busy machine is, but not by another time-out.
        for ask in (member.read, lambda: member.write(created), member.read):
            began = time.monotonic()
            assert isinstance(ask(), ApiFailed)
            assert time.monotonic() - began < 0.4 + BUSY
    finally:
        apiserver.resume()
    until("it works again", lambda: isinstance(member.read(), LeasesRead))


def test_a_server_that_is_gone_fails_at_once_and_works_when_it_is_back(
    apiserver: ApiServer, member: Member
) -> None:
    created = member.written(NEW)
    apiserver.stop()
    began = time.monotonic()
    assert isinstance(member.read(), ApiFailed)
    assert time.monotonic() - began < FIRST / 2
    apiserver.start()
    assert member.records() == (created,)


def test_a_connection_whose_other_end_lost_its_power_is_given_up_for_a_new_one(
    make: Make,
) -> None:
    member = make(patience=0.5)
    until("it is connected", lambda: isinstance(member.read(), LeasesRead))
    (port,) = _ports(member)
    nft = "add table inet dead; add chain inet dead input { type filter hook input priority 0; }; "
    nft += f"add rule inet dead input tcp sport {port} drop; "
    nft += f"add rule inet dead input tcp dport {port} drop"
    subprocess.run(["nft", nft], check=True)
    try:
        assert isinstance(member.read(), ApiFailed)
        assert isinstance(member.read(), LeasesRead)
        assert _ports(member) != [port]
    finally:
        subprocess.run(["nft", "delete", "table", "inet", "dead"], check=True)


def test_a_connection_is_kept(make: Make) -> None:
    member = make()
    member.written(NEW)
    before = _ports(member)
    for _ in range(5):
        member.records()
    assert _ports(member) == before


def test_a_service_account_with_rights_to_leases_in_one_namespace_is_enough(
    apiserver: ApiServer, make: Make, namespace: str, tmp_path: Path
) -> None:
    member = make(kubeconfig=_restricted(apiserver, namespace, tmp_path))
    created = member.written(NEW)
    assert member.records() == (created,)
    assert isinstance(member.write(replace(created, epoch=2)), LeaseWritten)
    elsewhere = LeaseClient(namespace="default", settings=DEFAULTS, connect=lambda: member.api)
    try:
        elsewhere.submit(ReadLeases(1))
        assert select.select([elsewhere], [], [], 20)[0]
        assert elsewhere.take() == [ApiFailed(1)]
    finally:
        elsewhere.close()


def _restricted(apiserver: ApiServer, namespace: str, folder: Path) -> str:
    """A kubeconfig of the rights that the chart gives the agent for its Leases, and no others."""
    kubectl, account = apiserver.kubectl, f"{namespace}:agent"
    kubectl("-n", namespace, "create", "serviceaccount", "agent")
    kubectl("-n", namespace, "create", "role", "agent", "--verb=get,list,create,update",
        "--resource=leases.coordination.k8s.io")  # fmt: skip
    kubectl("-n", namespace, "create", "rolebinding", "agent", "--role=agent",
        f"--serviceaccount={account}")  # fmt: skip
    config = yaml.safe_load(Path(apiserver.kubeconfig).read_text())
    config["users"][0]["user"]["token"] = kubectl("-n", namespace, "create", "token", "agent")
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return str(path)


def _ports(member: Member) -> list[int]:
    """Local ports of the client's connections: while nothing is asked, all are in its pool."""
    pools = member.api._access.pool.pools
    queues = [pools[key].pool for key in pools.keys()]  # noqa: SIM118 - it can't be iterated
    connections = [one for queue in queues if queue is not None for one in queue.queue]
    return [one.sock.getsockname()[1] for one in connections if one is not None and one.sock]

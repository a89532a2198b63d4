import threading

from outgate.api.core import ConfigMap
from outgate.api.meta import ObjectMeta
from outgate.kube.store import Store

KEY = ("team", "a")


def config(version: str = "1", **data: str) -> ConfigMap:
    return ConfigMap(
        metadata=ObjectMeta(name="a", namespace="team", resource_version=version), data=data
    )


class Bell:
    def __init__(self, store: Store[ConfigMap]) -> None:
        self.rings = 0
        store.subscribe(self.ring)

    def ring(self) -> None:
        self.rings += 1


def test_a_store_is_synced_once_everything_was_listed() -> None:
    store: Store[ConfigMap] = Store()
    store.put(KEY, config())
    assert not store.synced
    assert not store.wait_synced(0)
    store.replace({})
    assert store.synced
    assert store.wait_synced(0)


def test_a_snapshot_does_not_change_under_its_reader() -> None:
    store: Store[ConfigMap] = Store()
    store.replace({KEY: config()})
    before = store.snapshot()
    store.put(("team", "b"), config())
    store.remove(KEY)
    assert set(before) == {KEY}
    assert set(store.snapshot()) == {("team", "b")}


def test_a_snapshot_of_an_unchanged_store_costs_no_copy() -> None:
    store: Store[ConfigMap] = Store()
    store.replace({KEY: config()})
    assert store.snapshot() is store.snapshot()


def test_becoming_synced_is_told_even_if_there_is_nothing() -> None:
    store: Store[ConfigMap] = Store()
    bell = Bell(store)
    store.replace({})
    assert bell.rings == 1
    store.replace({})
    assert bell.rings == 1


def test_each_change_is_told_once() -> None:
    store: Store[ConfigMap] = Store()
    store.replace({})
    bell = Bell(store)
    store.put(KEY, config(key="1"))
    store.put(KEY, config("2", key="2"))
    store.remove(KEY)
    assert bell.rings == 3


def test_the_same_object_again_is_not_told() -> None:
    store: Store[ConfigMap] = Store()
    store.replace({KEY: config()})
    bell = Bell(store)
    store.put(KEY, config())
    store.replace({KEY: config()})
    store.remove(("team", "unknown"))
    assert bell.rings == 0


def test_a_new_version_without_a_change_is_kept_but_not_told() -> None:
    store: Store[ConfigMap] = Store()
    store.replace({KEY: config("1")})
    bell = Bell(store)
    store.put(KEY, config("2"))
    assert bell.rings == 0
    kept = store.get("a", namespace="team")
    assert kept is not None
    assert kept.metadata.resource_version == "2"


def test_a_list_tells_of_what_is_new_changed_or_gone() -> None:
    store: Store[ConfigMap] = Store()
    store.replace({KEY: config()})
    bell = Bell(store)
    store.replace({KEY: config("2", key="2")})
    store.replace({KEY: config("2", key="2"), ("team", "b"): config()})
    store.replace({})
    assert bell.rings == 3


def test_a_subscriber_may_read_the_store() -> None:
    store: Store[ConfigMap] = Store()
    seen: list[int] = []
    store.subscribe(lambda: seen.append(len(store.snapshot())))
    store.replace({KEY: config()})
    assert seen == [1]


def test_readers_in_other_threads_always_see_a_whole_list() -> None:
    store: Store[ConfigMap] = Store()
    lists = [{("team", str(n)): config() for n in range(size)} for size in (3, 300)]
    store.replace(lists[0])
    sizes: set[int] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            sizes.add(len(store.snapshot()))

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(400):
        store.replace(lists[turn % 2])
    done.set()
    reader.join()
    assert sizes <= {3, 300}

import pytest

from outgate.lab import LabError
from outgate.lab.cgroups import Hierarchy, hierarchies

HYBRID = """\
proc /proc proc rw 0 0
tmpfs /sys/fs/cgroup tmpfs rw,mode=755 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,nodev,noexec,relatime,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/freezer cgroup rw,relatime,freezer 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,name=systemd 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0
cgroup /somewhere/else/freezer cgroup rw,relatime,freezer 0 0
"""


def test_each_v1_hierarchy_is_found_with_what_mounts_it_again() -> None:
    assert hierarchies(HYBRID) == (
        Hierarchy("cpu,cpuacct", "cpu,cpuacct"),
        Hierarchy("freezer", "freezer"),
        Hierarchy("systemd", "none,name=systemd"),
    )


def test_a_machine_with_cgroup_v2_only_is_refused_in_words() -> None:
    with pytest.raises(LabError, match="need cgroup v1"):
        hierarchies("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n")

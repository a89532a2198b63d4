from bench.process import Memory, memory

ROLLUP = """\
55d0c0a00000-7ffd3b5e9000 ---p 00000000 00:00 0                          [rollup]
Rss:               52000 kB
Pss:               43000 kB
Pss_Dirty:         40000 kB
"""
STATUS = "Name:\tpython\nVmHWM:\t   60000 kB\nVmRSS:\t   52000 kB\n"


def test_memory_is_read_by_its_whole_name() -> None:
    assert memory(ROLLUP, STATUS) == Memory(pss=43000 << 10, rss=52000 << 10, peak=60000 << 10)

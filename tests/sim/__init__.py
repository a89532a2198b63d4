"""The virtual-IP engine against everything that can go wrong, by a virtual clock.

`python -m sim` plays many seeded schedules (`make sim`); `--seed N` plays one and tells its story.
"""

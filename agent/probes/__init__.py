"""Health probes of gateways: whether this node reaches what it must, to hold their addresses.

`checks` reads what a gateway asks for, `course` decides, both pure; `ping` and `get` ask one target
once; `prober` runs them, a thread for each target.
"""

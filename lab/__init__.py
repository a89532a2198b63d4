"""The lab: real Kubernetes in namespaces of one machine, for tests and demonstrations.

The public names are in `outgate.lab.lab`. Nothing is imported here, since the first process of
every node is one of this package's modules, and should start at once and stay small.
"""

"""The custom resources as frozen values, and what one node has to program. All pure."""
